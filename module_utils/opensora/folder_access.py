# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Whether a container's numeric user can use the folders of the host that it is given, and how to make it so."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.opensora.checkpoint_manifest import STATE_FOLDER
from ansible.module_utils.opensora.problems import Problem

_READ, _WRITE, _SEARCH = 4, 2, 1
# What is named in a message; a tree of someone else's may have thousands.
_NAMED = 5


@dataclass(frozen=True)
class Denied:
    """Something that the user can't use as it has to.

    Attributes:
        path: Path on the host.
        uid: Its owner.
        gid: Its group.
        mode: Its permissions.
        needed: What the user has to be able to do, in words.
    """

    path: str
    uid: int
    gid: int
    mode: int
    needed: str

    def __str__(self) -> str:
        return f"{self.path} ({self.uid}:{self.gid}, mode {self.mode:o})"


def allows(status: os.stat_result, uid: int, gid: int, wanted: int) -> bool:
    """Return whether permissions allow something, as the kernel decides it: the first class that fits, and no other.

    Args:
        status: Of the file or folder.
        uid: The user.
        gid: Its only group.
        wanted: Bits of read, write and search.
    """
    shift = 6 if status.st_uid == uid else 3 if status.st_gid == gid else 0
    return (status.st_mode >> shift) & wanted == wanted


def denied(entry: Mapping[str, Any]) -> list[Denied]:
    """Return what a user can't use of a folder that is there.

    Into one that it writes to, it has to be able to write; what lies there is its own or somebody's. Of one that it
    reads, everything has to be readable. Links are not followed: they lead out of what the container is given.

    Args:
        entry: ``path``, ``uid``, ``gid`` and ``writable``.
    """
    top = Path(entry["path"])
    if not top.is_dir():
        return []
    found = [(top, _WRITE | _SEARCH)] if entry["writable"] else _tree(top)
    result = []
    for path, wanted in found:
        try:
            status = path.lstat()
        except OSError:  # removed meanwhile
            continue
        if not stat.S_ISLNK(status.st_mode) and not allows(status, entry["uid"], entry["gid"], wanted):
            needed = "write there" if wanted & _WRITE else "read it"
            result.append(Denied(str(path), status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), needed))
    return result


def denial_problem(entry: Mapping[str, Any], found: Sequence[Denied]) -> Problem:
    """Return the problem of a folder that the user can't use, with the command that would correct it."""
    user = f"{entry['uid']}:{entry['gid']}"
    command = f"chown {user} {entry['path']}" if entry["writable"] else f"chown --recursive {user} {entry['path']}"
    more = f" and {len(found) - 1} more below {entry['path']}" if len(found) > 1 else ""
    return Problem(
        "disk",
        "directory.not_writable" if entry["writable"] else "directory.not_readable",
        "error",
        f"{found[0]}{more}: the service's user {user} can't {found[0].needed}",
        f"{command} on the host, let opensora_service_take_ownership do it, or choose another folder or user.",
        tuple(str(item) for item in found[:_NAMED]),
    )


def give_to_user(entry: Mapping[str, Any], found: Sequence[Denied]) -> None:
    """Give what is denied to the user, and nothing else; permissions of others stay.

    Args:
        entry: ``uid`` and ``gid`` of the user.
        found: What ``denied`` returned.
    """
    for item in found:
        os.chown(item.path, entry["uid"], entry["gid"], follow_symlinks=False)
        is_folder = Path(item.path).is_dir()
        Path(item.path).chmod(item.mode | (stat.S_IRWXU if is_folder else stat.S_IRUSR | stat.S_IWUSR))


def _tree(top: Path) -> Iterator[tuple[Path, int]]:
    for folder, folders, files in os.walk(top):
        # What fetching the weights remembers is root's, and no weights.
        if STATE_FOLDER in folders:
            folders.remove(STATE_FOLDER)
        yield Path(folder), _READ | _SEARCH
        for name in files:
            yield Path(folder, name), _READ
