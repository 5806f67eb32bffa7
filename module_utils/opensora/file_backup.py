# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Keep the former text of a configuration file beside it, under a name that its program ignores."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

# apt passes over this ending without a word (Dir::Ignore-Files-Silently); at most others it shows a notice.
ENDING = ".orig"


def backup_of(path: Path) -> Path:
    """Return where the present text of a file is kept, or would be: never in the place of another text.

    Args:
        path: The file.
    """
    content = path.read_bytes()
    names = itertools.chain(
        [f"{path.name}{ENDING}"], (f"{path.name}.{number}{ENDING}" for number in itertools.count(1))
    )
    return next(
        place
        for place in (path.with_name(name) for name in names)
        if not place.exists() or (place.is_file() and place.read_bytes() == content)
    )


def keep_former(path: Path) -> Path:
    """Copy a file beside itself, with owner, mode and times, and return the copy.

    Args:
        path: The file.

    Raises:
        OSError: The copy cannot be written.
    """
    place = backup_of(path)
    if not place.exists():
        shutil.copy2(path, place)
    return place
