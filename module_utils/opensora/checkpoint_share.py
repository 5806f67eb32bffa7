# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Decide which host fetches the weights for a site and which pieces of them the others get from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Literal

from ansible.module_utils.opensora.checkpoint_failure import failure
from ansible.module_utils.opensora.checkpoint_manifest import ManifestFile

Task = Literal["none", "fetch", "receive"]
MEBIBYTE = 1024**2


@dataclass(frozen=True)
class HostWeights:
    """What a host said when it was asked for the weights.

    Attributes:
        name: Name of the host.
        manifest_digest: Digest of the manifest that it wants.
        wanted: Its files that are missing or damaged: ``path``, ``size``, ``sha256`` and ``collected``.
        in_batch: Whether it is in this batch of the play.
        shares: Whether it gives and takes.
        provided: Whether it has got the weights meanwhile.
    """

    name: str
    manifest_digest: str
    wanted: Sequence[Mapping[str, Any]]
    in_batch: bool
    shares: bool
    provided: bool


@dataclass(frozen=True)
class Chunk:
    """A piece of a file.

    Attributes:
        path: Path of the file.
        sha256: Digest of the whole file.
        size: Bytes of the whole file.
        offset: Where the piece begins, in whole MiB.
        length: Bytes of the piece.
    """

    path: str
    sha256: str
    size: int
    offset: int
    length: int


@dataclass(frozen=True)
class Assignment:
    """What a host does.

    Attributes:
        task: ``none``, ``fetch`` from the hub or the mirror, or ``receive``.
        source: The host that it receives from.
        fetcher: The host that brings each piece from the source to the control node, for all that receive.
        chunks: The pieces that anyone receives from that source, in their order.
    """

    task: Task
    source: str = ""
    fetcher: str = ""
    chunks: tuple[Chunk, ...] = ()


def assign(hosts: Sequence[HostWeights], name: str, chunk_bytes: int) -> Assignment:
    """Return what a host does so that a site fetches the weights once.

    Args:
        hosts: All hosts of the run in its order.
        name: The host that is assigned something.
        chunk_bytes: Bytes of a piece.
    """
    own = next(host for host in hosts if host.name == name)
    if not own.wanted:
        return Assignment("none")
    alike = [host for host in hosts if host.shares and host.manifest_digest == own.manifest_digest]
    if not own.shares:
        return Assignment("fetch")
    having = [host.name for host in alike if host.provided or not host.wanted]
    lacking = [host for host in alike if host.in_batch and host.wanted and not host.provided]
    source = having[0] if having else lacking[0].name
    receivers = [host for host in lacking if host.name != source]
    if source == name:
        return Assignment("fetch")
    return Assignment("receive", source, receivers[0].name, _chunks(receivers, chunk_bytes))


def _chunks(hosts: Sequence[HostWeights], chunk_bytes: int) -> tuple[Chunk, ...]:
    """Return the pieces that at least one of several hosts lacks."""
    step = max(chunk_bytes // MEBIBYTE, 1) * MEBIBYTE
    least: dict[str, Mapping[str, Any]] = {}
    for host in hosts:
        for file in host.wanted:
            known = least.get(str(file["sha256"]))
            if known is None or file["collected"] < known["collected"]:
                least[str(file["sha256"])] = file
    return tuple(
        Chunk(str(file["path"]), digest, int(file["size"]), offset, min(step, int(file["size"]) - offset))
        for digest, file in least.items()
        for offset in range(0, int(file["size"]), step)
        if int(file["collected"]) < min(offset + step, int(file["size"]))
    )


class ReceivedParts:
    """Takes files that were brought here from another host."""

    @staticmethod
    def address(file: ManifestFile) -> str:
        """Return where a file comes from, for messages."""
        return f"file:///{file.path}"

    @staticmethod
    def fetch(file: ManifestFile, part: Path, watch: Callable[[int], None]) -> None:
        """Say that a file is not whole when it is not; see WeightsSource."""
        if not file.size and not part.exists():
            part.touch()
        have = part.stat().st_size if part.exists() else 0
        watch(have)
        if have != file.size:
            raise failure(
                "network",
                "not_received",
                f"{file.path} arrived with {have} of {file.size} bytes from the host that has it",
                "Look at what failed there, and run again.",
            )
