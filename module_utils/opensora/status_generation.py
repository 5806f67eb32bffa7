# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The last video of a service, from the record that lies beside it.

The container may write whatever it likes into its samples folder, so nothing found there is followed or believed.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.service_generation import RECORD_FILE

if TYPE_CHECKING:
    from pathlib import Path

_MAXIMUM_BYTES = 1 << 20
_PROMPT_LENGTH = 300
# The parts of a record's path: its folder and its name.
_DEPTH = 2


def find_query(folder: str) -> tuple[str, ...]:
    """Return the command that lists the records of a samples folder; a command, because a network mount may hang."""
    depth = ("-mindepth", str(_DEPTH), "-maxdepth", str(_DEPTH))
    return ("find", folder, *depth, "-type", "f", "-name", RECORD_FILE, "-printf", "%T@ %P\\n")


def newest_record(text: str) -> tuple[float, str] | None:
    """Return time and path of the record that was written last, or null where there is none.

    Args:
        text: Output of :func:`find_query`.
    """
    found = []
    for line in text.splitlines():
        moment, _, path = line.partition(" ")
        parts = PurePosixPath(path).parts
        # A name with a line break would come apart into lines of its maker's choice.
        if len(parts) != _DEPTH or ".." in parts or parts[-1] != RECORD_FILE:
            continue
        try:
            found.append((float(moment), path))
        except ValueError:
            continue
    return max(found, default=None)


def read_record(folder: Path, path: str) -> str:
    """Return the text of a record without following links.

    Args:
        folder: The samples folder.
        path: The record's path below it, see :func:`newest_record`.

    Raises:
        OSError: It is not a file, is too large, or can't be read.
    """
    parent, name = PurePosixPath(path).parts
    samples = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        generation = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=samples)
    finally:
        os.close(samples)
    try:
        # Not to wait for the other end of a pipe.
        record = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=generation)
    finally:
        os.close(generation)
    with os.fdopen(record, "rb") as stream:
        if not stat.S_ISREG(os.fstat(record).st_mode):
            raise OSError("it is not a regular file")
        content = stream.read(_MAXIMUM_BYTES + 1)
    if len(content) > _MAXIMUM_BYTES:
        raise OSError(f"it is larger than {_MAXIMUM_BYTES} bytes")
    return content.decode("utf-8", "replace")


def _text(value: object) -> str | None:
    return value[:_PROMPT_LENGTH] if isinstance(value, str) and value else None


def _number(value: object) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < float("inf") else None  # type: ignore[operator,arg-type]


def describe_generation(text: str, finished: float, now: float) -> dict[str, Any] | None:
    """Return the last video: what was asked for, when, and how long it took; null where the text is no record.

    Args:
        text: The record.
        finished: When it was written, in seconds since 1970.
        now: The host's time.
    """
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or _text(record.get("id")) is None:
        return None
    return {
        "id": _text(record["id"]),
        "prompt": _text(record.get("prompt")),
        "config": _text(record.get("config")),
        "seconds": _number(record.get("seconds")),
        "finished": int(finished),
        "age_seconds": max(0, int(now - finished)),
    }
