#!/usr/bin/env python3
"""Lay wheels out as Python package indexes of static files ("simple" repository API, with checksums).

    OUTPUT/simple/      what the public index has
    OUTPUT/whl/cu121/   what PyTorch's own index has: its builds, and copies of what they depend on

usage: make_index.py --wheels FOLDER --stand-ins FOLDER --output FOLDER
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
from pathlib import Path

# The builds that are only on PyTorch's own index.
ONLY_PYTORCH = {"torch", "torchvision"}


def project(wheel: Path) -> str:
    return re.sub(r"[-_.]+", "-", wheel.name.split("-")[0]).lower()


def page(title: str, lines: list[str]) -> str:
    head = '<!DOCTYPE html>\n<html>\n<head><meta name="pypi:repository-version" content="1.0">'
    body = "".join(f"{line}<br>\n" for line in lines)
    return f"{head}<title>{title}</title></head>\n<body>\n{body}</body>\n</html>\n"


def index(folder: Path, wheels: list[Path]) -> None:
    projects: dict[str, list[str]] = {}
    for wheel in sorted(wheels):
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        url = wheel.name.replace("+", "%2B")
        projects.setdefault(project(wheel), []).append(f'<a href="/files/{url}#sha256={digest}">{wheel.name}</a>')
    for name, links in projects.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "index.html").write_text(page(name, links), encoding="utf-8")
    (folder / "index.html").write_text(
        page("Simple index", [f'<a href="{name}/">{name}</a>' for name in sorted(projects)]), encoding="utf-8"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--wheels", "--stand-ins", "--output"):
        parser.add_argument(name, type=Path, required=True)
    options = parser.parse_args()
    wheels = list(options.wheels.glob("*.whl"))
    stand_ins = list(options.stand_ins.glob("*.whl"))
    files = options.output / "files"
    files.mkdir(parents=True, exist_ok=True)
    for wheel in wheels + stand_ins:
        shutil.copyfile(wheel, files / wheel.name)
    public = [wheel for wheel in stand_ins if project(wheel) not in ONLY_PYTORCH]
    index(options.output / "simple", wheels + public)
    index(options.output / "whl" / "cu121", wheels + stand_ins)
    print(f"index: {len(wheels)} wheels, {len(stand_ins)} stand-ins")


if __name__ == "__main__":
    main()
