#!/usr/bin/env python3
"""Note every process that shows a word in its command line or its environment, until the file "stop" appears.

Arguments: folder for the notes, the word. The word itself comes from a file, or this process would find itself.
"""

import os
import sys
import time
from pathlib import Path

folder, word = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes().strip()
own = str(os.getpid())
seen: set[tuple[str, str]] = set()
looks = 0
end = time.monotonic() + 1800
with (folder / "processes").open("w", encoding="utf-8") as notes:
    # Whoever started it may have failed: it ends with its folder, or after a time.
    while not (folder / "stop").exists() and (folder / "watch_processes.py").exists() and time.monotonic() < end:
        looks += 1
        for process in os.listdir("/proc"):  # noqa: PTH208 (many times a second)
            if not process.isdigit() or process == own:
                continue
            for kind in ("cmdline", "environ"):
                try:
                    with open(f"/proc/{process}/{kind}", "rb") as file:  # noqa: PTH123
                        text = file.read()
                except OSError:
                    continue
                if word in text and (process, kind) not in seen:
                    seen.add((process, kind))
                    place = text.find(word)
                    shown = text[max(place - 80, 0) : place + 60].replace(b"\0", b" ").decode(errors="replace")
                    notes.write(f"{kind} {process}: {shown!r}\n")
                    notes.flush()
        time.sleep(0.02)
if (folder / "stop").exists():
    (folder / "looks").write_text(str(looks), encoding="utf-8")
