# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""How much room there is where files will be written, in bytes and in inodes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_DF = ("df", "-B1", "--output=size,avail,itotal,iavail,target,file")


def measure_command(paths: Sequence[str]) -> tuple[str, ...]:
    """Return the command that measures paths; a command, because it can be stopped where a network mount hangs."""
    return (*_DF, "--", *paths)


def parse_measure(output: str, measured: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the figures of each measured path.

    Args:
        output: What the command of :func:`measure_command` printed: a header, then one line a path.
        measured: The paths it was given.
    """
    found = {}
    for line in output.splitlines()[1:]:
        words = line.split(None, 4)
        if len(words) <= 4:  # noqa: PLR2004  the four figures, then mount point and path
            continue
        total, free, inodes, free_inodes = (int(word) if word.isdigit() else None for word in words[:4])
        names = words[4].rstrip()
        path = next((known for known in measured if re.search(rf"\s{re.escape(known)}$", names)), None)
        if path is None:
            continue
        found[path] = {
            "mount": names[: -len(path)].rstrip(),
            "total_bytes": total,
            "free_bytes": free,
            # File systems that make inodes as they go (btrfs) have none to count: unknown, not none left.
            "free_inodes": free_inodes if inodes else None,
        }
    return found


def describe_disk(wanted: Sequence[tuple[str, str]], figures: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the ``disk`` part of the host's description.

    Args:
        wanted: Pairs of the path asked for and the nearest path above it that exists.
        figures: Result of :func:`parse_measure`.
    """
    unknown = {"mount": None, "total_bytes": None, "free_bytes": None, "free_inodes": None}
    return [{"path": path, "measured_path": existing, **figures.get(existing, unknown)} for path, existing in wanted]
