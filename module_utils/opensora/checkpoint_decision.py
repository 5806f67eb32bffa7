# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Decide which files of the weights have to be fetched, and whether the disk has room for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ansible.module_utils.opensora.checkpoint_manifest import Manifest, ManifestFile
from ansible.module_utils.opensora.checkpoint_state import FoundFile, FoundState
from ansible.module_utils.opensora.image_transfer import size_text
from ansible.module_utils.opensora.problems import Problem

# none: the user brings the files, and they are only verified. parts: another host's files were brought here.
Source = Literal["none", "hub", "mirror", "parts"]
Action = Literal["none", "fetch", "repair", "complete"]
Status = Literal["complete", "missing", "damaged"]
_EVERYONE_READS = 0o444
_EVERYONE_ENTERS = 0o555
_OTHERS_WRITE = 0o022
_EVIDENCE_LINES = 10


@dataclass(frozen=True)
class Item:
    """A file of the manifest and what is wrong with it.

    Attributes:
        file: The file.
        status: ``complete``, ``missing`` or ``damaged``.
        reason: What is wrong, in words; empty for a complete one.
        there: Bytes of a file at its path, which are free once it is replaced.
        collected: Bytes of it that an earlier run has fetched.
    """

    file: ManifestFile
    status: Status
    reason: str = ""
    there: int = 0
    collected: int = 0


@dataclass(frozen=True)
class Decision:
    """What to do.

    Attributes:
        action: ``fetch`` files, ``repair`` permissions, only note that all is ``complete``, or ``none``.
        items: Every file of the manifest.
        modes: Permission bits that paths shall get; the folder of the weights itself is ``.``.
        fetch_bytes: Bytes to fetch.
        room_bytes: Bytes that the file system needs meanwhile, beside what it holds.
        problems: What stands against it.
    """

    action: Action
    items: tuple[Item, ...]
    modes: dict[str, int]
    fetch_bytes: int
    room_bytes: int
    problems: tuple[Problem, ...]

    @property
    def wanted(self) -> tuple[Item, ...]:
        """The files that are not there as they shall be."""
        return tuple(item for item in self.items if item.status != "complete")


@dataclass(frozen=True)
class Room:
    """The file system that the weights are on.

    Attributes:
        free_bytes: Bytes that are free.
        reserve_bytes: Bytes that have to stay free.
    """

    free_bytes: int
    reserve_bytes: int


def decide(manifest: Manifest, found: FoundState, source: Source, directory: str, disk: Room) -> Decision:
    """Return what a folder needs so that it holds the manifest.

    Args:
        manifest: What is wanted.
        found: What is there.
        source: Where files come from.
        directory: The folder, for messages.
        disk: Its file system.
    """
    items = tuple(_judge(file, found) for file in manifest.files)
    wanted = [item for item in items if item.status != "complete"]
    modes = _wrong_modes(items, found)
    room, fetch_bytes = room_needed(wanted), sum(map(_missing_bytes, wanted))
    problems = [
        Problem(
            "disk",
            "checkpoint.linked_folder",
            "error",
            f"{directory}/{parent} is a symbolic link or no folder; the container could not follow it",
            "Put a real folder or a mount in its place and run again.",
        )
        for parent in sorted({entry.linked_parent for entry in found.files.values() if entry.linked_parent})
    ]
    problems += [
        Problem(
            "disk",
            "checkpoint.not_a_file",
            "error",
            f"{directory}/{path} is a folder or a device where a file of the weights belongs",
            "Move it out of the way and run again.",
        )
        for path, entry in found.files.items()
        if entry.kind == "other"
    ]
    if source == "none":
        problems += _own_problems(directory, wanted, modes)
    elif wanted and source != "parts" and disk.free_bytes - disk.reserve_bytes < room:
        problems.append(
            Problem(
                "disk",
                "checkpoint.no_room",
                "error",
                f"{directory} has {size_text(disk.free_bytes)} free; to fetch {size_text(fetch_bytes)} it needs "
                f"{size_text(room)}, and {size_text(disk.reserve_bytes)} are to stay free "
                f"(opensora_checkpoint_reserve_bytes is {disk.reserve_bytes})",
                "Free space on that file system, or move the weights with opensora_service_checkpoints_directory.",
            )
        )
    action: Action = "none"
    if source != "none":
        if wanted:
            action = "fetch"
        elif modes:
            action = "repair"
        elif found.marker != manifest.digest:
            action = "complete"
    return Decision(action, items, modes, fetch_bytes, room, tuple(problems))


def room_needed(items: Sequence[Item]) -> int:
    """Return how many bytes a file system needs while files are fetched one by one, beside what it holds.

    A new file stands beside the old one until it is whole; then the old one's bytes are free for the next.
    """
    used = peak = 0
    for item in items:
        used += _missing_bytes(item)
        peak = max(peak, used)
        used -= item.there
    return peak


def _missing_bytes(item: Item) -> int:
    return item.file.size - item.collected


def _judge(file: ManifestFile, found: FoundState) -> Item:
    entry = found.files.get(file.path, FoundFile())
    part = found.parts.get(file.sha256, 0)
    # More than the whole can't be a beginning of it.
    collected = part if part <= file.size else 0
    if entry.kind == "absent":
        return Item(file, "missing", "it is not there", collected=collected)
    if entry.kind == "link":
        return Item(file, "damaged", "it is a symbolic link, which the container could not follow", 0, collected)
    if entry.kind == "other":
        return Item(file, "damaged", "it is not a file", 0, collected)
    if entry.size != file.size:
        reason = f"it has {entry.size} bytes, the manifest says {file.size}"
        return Item(file, "damaged", reason, entry.size, collected)
    if entry.sha256 and entry.sha256 != file.sha256:
        reason = f"its sha256 is {entry.sha256}, the manifest says {file.sha256}"
        return Item(file, "damaged", reason, entry.size, collected)
    return Item(file, "complete", there=entry.size)


def _wrong_modes(items: Sequence[Item], found: FoundState) -> dict[str, int]:
    """Return the permission bits of what the service could not read, and of files that others could write."""
    right = {path: mode | _EVERYONE_ENTERS for path, mode in found.folders.items()}
    there = dict(found.folders)
    for item in items:
        if item.status == "complete":
            mode = found.files[item.file.path].mode
            there[item.file.path] = mode
            right[item.file.path] = (mode | _EVERYONE_READS) & ~_OTHERS_WRITE
    return {path: mode for path, mode in sorted(right.items()) if mode != there[path]}


def _own_problems(directory: str, wanted: Sequence[Item], modes: dict[str, int]) -> list[Problem]:
    """Return what is wrong with files that nobody is to fetch."""
    problems = []
    if wanted:
        lines = [f"{item.file.path}: {item.reason}" for item in wanted]
        if len(lines) > _EVIDENCE_LINES:
            lines = [*lines[:_EVIDENCE_LINES], f"and {len(lines) - _EVIDENCE_LINES} more"]
        problems.append(
            Problem(
                "application",
                "checkpoint.incomplete",
                "error",
                f"{len(wanted)} files of the weights in {directory} are missing or damaged",
                "Put them there again, or have them fetched with opensora_checkpoint_source.",
                tuple(lines),
            )
        )
    if modes:
        problems.append(
            Problem(
                "disk",
                "checkpoint.permissions",
                "warning",
                f"not everyone can read the weights in {directory}, or others than their owner can change them",
                f"chmod -R u=rwX,go=rX {directory} on the host.",
                tuple(list(modes)[:_EVIDENCE_LINES]),
            )
        )
    return problems
