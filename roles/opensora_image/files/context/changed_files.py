# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Find what a step changed in a folder, so that the final image gets it as a layer of its own.

The files that are new or changed are copied into another folder, which several steps may share. What is gone is listed
there in the file ``.removed-FOLDER``, one path a line, for ``rm`` in the image that has the former state.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path


def is_same(before: Path, after: Path) -> bool:
    """Tell whether a file or link is what it was, by type, length and time; the content of links is compared."""
    try:
        former = before.lstat()
    except OSError:
        return False
    found = after.lstat()
    if stat.S_IFMT(former.st_mode) != stat.S_IFMT(found.st_mode):
        return False
    if stat.S_ISLNK(found.st_mode):
        return before.readlink() == after.readlink()
    return (former.st_size, former.st_mtime_ns, former.st_mode) == (found.st_size, found.st_mtime_ns, found.st_mode)


def copy_changes(before: Path, after: Path, target: Path) -> int:
    """Copy everything that is new or changed into a folder and return the number of files."""
    count = 0
    for folder, names, files in os.walk(after):
        relative = Path(folder).relative_to(after)
        links = [name for name in names if Path(folder, name).is_symlink()]
        for name in [*files, *links]:
            if not is_same(before / relative / name, after / relative / name):
                (target / relative).mkdir(parents=True, exist_ok=True)
                (target / relative / name).unlink(missing_ok=True)
                shutil.copy2(after / relative / name, target / relative / name, follow_symlinks=False)
                count += 1
        if not (before / relative).is_dir():
            (target / relative).mkdir(parents=True, exist_ok=True)
    return count


def removed(before: Path, after: Path) -> list[str]:
    """Return the paths that are gone, a folder once for all that was in it."""
    gone = []
    for folder, names, files in os.walk(before):
        relative = Path(folder).relative_to(before)
        here = (relative / name for name in [*names, *files])
        gone.extend(str(path) for path in here if not os.path.lexists(after / path))
        names[:] = [name for name in names if (after / relative / name).is_dir()]
    return sorted(gone)


def main() -> None:
    """Compare two states of a folder and write the difference."""
    before, after, target = (Path(argument) for argument in sys.argv[1:4])
    target.mkdir(parents=True, exist_ok=True)
    count, gone = copy_changes(before, after, target), removed(before, after)
    with (target / f".removed-{target.name}").open("a", encoding="utf-8") as file:
        file.write("".join(f"{path}\n" for path in gone))
    print(f"{count} files of {after} are new or changed, {len(gone)} are gone", flush=True)  # noqa: T201 (the build's output)


if __name__ == "__main__":
    main()
