#!/usr/bin/env python3
"""Build the stand-in wheels. SOURCES/PROJECT/ holds wheel.json and the files to install; same input, same bytes.

wheel.json: {"version": "1.0", "requires": ["other==1.0"], "console_scripts": {"name": "module:function"}}

usage: build_stand_in_wheels.py SOURCES OUTPUT
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import zipfile
from pathlib import Path

TIMESTAMP = (2026, 1, 1, 0, 0, 0)


def build(source: Path, output: Path) -> Path:
    about = json.loads((source / "wheel.json").read_text(encoding="utf-8"))
    name, version = source.name, about["version"]
    information = f"{name}-{version}.dist-info"
    files = {
        path.relative_to(source).as_posix(): path.read_bytes()
        for path in sorted(source.rglob("*"))
        if path.is_file() and path.name != "wheel.json" and "__pycache__" not in path.parts
    }
    metadata = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        f"Summary: stand-in for {name}, for the test hosts of opensora-site: no real {name} in here",
        "Requires-Python: >=3.9",
        *(f"Requires-Dist: {requirement}" for requirement in about.get("requires", [])),
    ]
    files[f"{information}/METADATA"] = ("\n".join(metadata) + "\n").encode()
    files[f"{information}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    scripts = about.get("console_scripts", {})
    if scripts:
        lines = ["[console_scripts]", *(f"{script} = {target}" for script, target in scripts.items())]
        files[f"{information}/entry_points.txt"] = ("\n".join(lines) + "\n").encode()
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b'=').decode()},{len(body)}\n"
        for path, body in files.items()
    )
    files[f"{information}/RECORD"] = (record + f"{information}/RECORD,,\n").encode()
    wheel = output / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_STORED) as archive:
        for path, body in files.items():
            entry = zipfile.ZipInfo(path, TIMESTAMP)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, body)
    return wheel


def main() -> None:
    sources, output = Path(sys.argv[1]), Path(sys.argv[2])
    output.mkdir(parents=True, exist_ok=True)
    for source in sorted(sources.iterdir()):
        if (source / "wheel.json").is_file():
            print(build(source, output).name)


if __name__ == "__main__":
    main()
