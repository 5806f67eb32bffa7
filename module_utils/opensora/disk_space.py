# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Judge whether the file system that will hold the image has room for it, in bytes and in inodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ansible.module_utils.opensora.problems import Problem

GIBIBYTE = 1024**3


def disk_of(path: str, disks: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the measurement that holds for a path: its own, else that of the deepest mount above it.

    Args:
        path: Absolute path.
        disks: Measurements with ``path``, ``mount``, ``free_bytes`` and ``free_inodes``.
    """
    for disk in disks:
        if disk.get("path") == path:
            return disk
    parents = {str(parent) for parent in (PurePosixPath(path), *PurePosixPath(path).parents)}
    above = [disk for disk in disks if disk.get("mount") in parents]
    return max(above, key=lambda disk: len(str(disk["mount"])), default=None)


def disk_problems(
    path: str, disks: Sequence[Mapping[str, Any]], minimum_bytes: int, minimum_inodes: int
) -> list[Problem]:
    """Return what speaks against building on the file system of a path.

    A measurement that is unknown is no problem: some file systems count no inodes.

    Args:
        path: The engine's real data root.
        disks: Measurements, see disk_of().
        minimum_bytes: Free bytes that a build needs.
        minimum_inodes: Free inodes that a build needs.
    """
    disk = disk_of(path, disks)
    if disk is None:
        return []
    problems = []
    mount = disk.get("mount") or path
    free_bytes, free_inodes = disk.get("free_bytes"), disk.get("free_inodes")
    if free_bytes is not None and free_bytes < minimum_bytes:
        problems.append(
            Problem(
                layer="disk",
                code="disk.too_few_bytes",
                severity="error",
                message=f"{path} (on {mount}) has {free_bytes / GIBIBYTE:.1f} GiB free, the image needs "
                f"{minimum_bytes / GIBIBYTE:.1f} GiB (opensora_image_minimum_free_bytes is {minimum_bytes})",
                next_action="Free space on that file system, or move the engine's data with docker_engine_data_root.",
            )
        )
    if free_inodes is not None and free_inodes < minimum_inodes:
        problems.append(
            Problem(
                layer="disk",
                code="disk.too_few_inodes",
                severity="error",
                message=f"{path} (on {mount}) has {free_inodes} inodes free, the image needs "
                f"{minimum_inodes} (opensora_image_minimum_free_inodes)",
                next_action="Remove small files from that file system, or move the engine's data with "
                "docker_engine_data_root.",
            )
        )
    return problems
