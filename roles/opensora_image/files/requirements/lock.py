#!/usr/bin/env python3
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Lock what the image installs: exact versions, every file by hash, no index address, for Python 3.10 and newer.

Needs uv. Run it after a change of a *.in file, then build the image: its checks tell whether the set works. Writes for
each stack STACK-torch.txt (what comes from the index of PyTorch), STACK-torch-dependencies.txt (what PyTorch itself
imports) and STACK.txt (everything else), and the tools of the build.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
STACKS = ("upstream", "current")
FROM_TORCH_INDEX = re.compile(r"(torch|torchvision|triton|nvidia-.*)\b")
HEADER = "# Written by {}/lock.py; not for editing.\n"

# Files that the index of PyTorch has under the same version with a local part such as +cu121, and that the general
# index has not. Each hash was found alike in lock files of independent public projects (nixpkgs among them).
TORCH_INDEX_HASHES = {
    "upstream": {
        # torch-2.4.0+cu121-cp310-cp310-linux_x86_64.whl
        "torch": ["28bfba084dca52a06c465d7ad0f3cc372c35fc503f3eab881cc17a5fd82914e7"],
        # torchvision-0.19.0+cu121-cp310-cp310-linux_x86_64.whl
        "torchvision": ["5ee103c7eb47f8b08837e0e48b178f7ecc91d769d2b61240b90cb5aa2d06ce77"],
    },
    "current": {
        # torch-2.10.0+cu128-cp312-cp312-manylinux_2_28_x86_64.whl
        "torch": ["628e89bd5110ced7debee2a57c69959725b7fbc64eab81a39dd70e46c7e28ba5"],
        # torchvision-0.25.0+cu128-cp312-cp312-manylinux_2_28_x86_64.whl
        "torchvision": ["1255a0ca2bf987acf9f103b96c5c4cfe3415fc4a1eef17fa08af527a04a4f573"],
    },
}


def resolve(source: str, output: Path, *arguments: str) -> dict[str, list[str]]:
    """Lock a file of requirements and return the lines of each package's entries, by name."""
    command = ["uv", "pip", "compile", "--quiet", "--no-config", "--no-annotate", "--no-header", "--universal"]
    command += ["--python-version", "3.10", "--generate-hashes", "--no-emit-index-url", *arguments]
    subprocess.run([*command, source, "--output-file", str(output)], check=True, cwd=HERE)  # noqa: S603 (all constant)
    entries: dict[str, list[str]] = {}
    for entry in re.split(r"^(?=[A-Za-z0-9])", output.read_text(encoding="utf-8"), flags=re.MULTILINE):
        if entry.strip():
            entries.setdefault(re.split(r"[=<>!~ ;\[]", entry, maxsplit=1)[0].lower(), []).append(entry)
    return entries


def write(name: str, entries: dict[str, list[str]]) -> None:
    """Write the entries of a lock, sorted."""
    text = "".join(entry for package in sorted(entries) for entry in entries[package])
    (HERE / name).write_text(HEADER.format(HERE.name) + text, encoding="utf-8")


def with_hashes(entry: str, hashes: list[str]) -> str:
    """Return an entry that also allows some more files."""
    return entry.rstrip("\n") + "".join(f" \\\n    --hash=sha256:{digest}" for digest in hashes) + "\n"


def lock_stack(stack: str, folder: Path) -> None:
    """Lock a stack and write its three files."""
    overrides = HERE / f"{stack}-overrides.txt"
    lifted = ["--override", overrides.name] if overrides.is_file() else []
    whole = folder / f"{stack}.txt"
    everything = resolve(f"{stack}.in", whole, "--upgrade", *lifted)
    of_torch = resolve(f"{stack}-torch.in", folder / "torch.txt", "--constraint", str(whole))
    torch = {name: entries for name, entries in everything.items() if FROM_TORCH_INDEX.fullmatch(name)}
    for name, hashes in TORCH_INDEX_HASHES[stack].items():
        torch[name] = [with_hashes(entry, hashes) for entry in torch[name]]
    dependencies = {name: everything[name] for name in of_torch if name not in torch}
    write(f"{stack}-torch.txt", torch)
    write(f"{stack}-torch-dependencies.txt", dependencies)
    write(
        f"{stack}.txt",
        {name: entries for name, entries in everything.items() if name not in torch and name not in dependencies},
    )


def main() -> None:
    """Lock everything."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for stack in STACKS:
            lock_stack(stack, folder)
        for tools in ("build-tools", "uv"):
            write(f"{tools}.txt", resolve(f"{tools}.in", folder / f"{tools}.txt", "--upgrade"))


if __name__ == "__main__":
    main()
