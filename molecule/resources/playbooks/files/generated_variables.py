#!/usr/bin/env python3
"""Write the values that a test site made for itself as inventory variables, and print the file's path if it changed.

usage: generated_variables.py MIRROR_STATE_FOLDER OUTPUT.yml
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    state, output = Path(sys.argv[1]), Path(sys.argv[2])
    certificate = (state / "ca.crt").read_text(encoding="ascii")
    lines = ["---", "# Written by create.yml; not for editing.", "test_site_ca_certificate: |"]
    lines += [f"  {line}" for line in certificate.splitlines()]
    made = json.loads((state / "site.json").read_text(encoding="utf-8"))
    lines += [f"test_site_{name}: {json.dumps(value)}" for name, value in made.items()]
    text = "\n".join(lines) + "\n"
    if output.is_file() and output.read_text(encoding="utf-8") == text:
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    print(output)


if __name__ == "__main__":
    main()
