# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What comes out of a benchmark: a Markdown table, the numbers as JSON, and the table in docs/performance.md."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / ".cache" / "benchmarks"
DOCUMENT = ROOT / "docs" / "performance.md"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def mebibytes(count: float) -> str:
    """Return bytes as text with three digits that say something."""
    value = count / 1048576
    return f"{value:.0f} MiB" if value >= 100 else f"{value:.3g} MiB"  # noqa: PLR2004


def replace_between_markers(text: str, name: str, content: str) -> str:
    """Return the text with other content between the markers of a name; refuse a text without them."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    pattern = re.compile(re.escape(begin) + r"\n.*?" + re.escape(end), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        msg = f"{begin} and {end} have to stand there once"
        raise ValueError(msg)
    return pattern.sub(lambda _: f"{begin}\n{content.rstrip()}\n{end}", text)


def commit() -> str:
    """Return the commit that is measured, and whether something is changed beside it."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty=, with changes", "--exclude=*"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"


def circumstances() -> str:
    """Return what was run, of which commit, on what: a sentence that stands above the table."""
    program = Path(sys.argv[0]).resolve()
    name = program.relative_to(ROOT) if program.is_relative_to(ROOT) else program
    arguments = shlex.join(argument for argument in sys.argv[1:] if argument != "--write-docs")
    command = f"./run exec python {name} {arguments}".rstrip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"`{command}`, commit {commit()}, {os.cpu_count()} cores and {memory:.0f} GiB of memory "
        "for the controller and all hosts together."
    )


def publish(name: str, text: str, numbers: dict[str, Any], *, write_docs: bool) -> None:
    """Print the text, write the numbers beside, and where asked put the text into docs/performance.md."""
    text = f"{circumstances()}\n\n{text}"
    print(text)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"circumstances": circumstances(), **numbers}, indent=1) + "\n", encoding="utf-8")
    print(f"\nnumbers: {path.relative_to(ROOT)}", file=sys.stderr)
    if write_docs:
        document = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(replace_between_markers(document, name, text), encoding="utf-8")
