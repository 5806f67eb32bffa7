# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""An image as a compressed archive in parts, to hand it from one host to another where a site has no registry.

Parts keep every single copy short: one that broke off is made again alone, and each is checked by its own hash before
the engine sees a byte of it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

from ansible.module_utils.opensora.image_transfer import TransferError
from ansible.module_utils.opensora.problems import Problem

Compression = Literal["zstd", "gzip"]
# The best first: zstd on all cores is several times as fast as gzip, which every host has.
COMPRESSIONS: tuple[Compression, ...] = ("zstd", "gzip")
_COMPRESS = {"zstd": ("zstd", "--quiet", "-3", "--threads=0"), "gzip": ("gzip", "-1")}
_DECOMPRESS = {"zstd": ("zstd", "--quiet", "--decompress", "--stdout"), "gzip": ("gzip", "-dc")}
PART_BYTES = 64 * 1024**2
_READ_BYTES = 1024**2
GIBIBYTE = 1024**3


@dataclass(frozen=True)
class Part:
    """One part of an archive.

    Attributes:
        name: File name.
        bytes: Length.
        sha256: Hash in hexadecimal digits.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ImageArchive:
    """A compressed archive of one image.

    Attributes:
        folder: Folder that holds the parts.
        parts: The parts in their order.
        compression: How the archive is compressed.
        unpacked_bytes: Length of what the engine gets.
        image_id: ID of the image in the engine that saved it.
        image_bytes: Bytes of the image's layers, unpacked.
        build_key: Build key of the image.
        layers: Digests of the unpacked layers, the same in every kind of image store.
        store: Kind of the image store that saved it.
    """

    folder: str
    parts: tuple[Part, ...]
    compression: Compression
    unpacked_bytes: int
    image_id: str
    image_bytes: int
    build_key: str
    layers: tuple[str, ...]
    store: str

    @property
    def bytes(self) -> int:
        """Length of all parts."""
        return sum(part.bytes for part in self.parts)

    def as_dict(self) -> dict[str, Any]:
        """Return the archive as plain data for a module result."""
        return {**asdict(self), "parts": [asdict(part) for part in self.parts], "layers": list(self.layers)}


def archive_from(data: Mapping[str, Any]) -> ImageArchive:
    """Return an archive from what ``as_dict`` made of it."""
    known = {name: data[name] for name in ImageArchive.__dataclass_fields__}
    parts = tuple(Part(str(part["name"]), int(part["bytes"]), str(part["sha256"])) for part in data["parts"])
    return ImageArchive(**{**known, "parts": parts, "layers": tuple(data["layers"])})


def choose_compression(offers: Iterable[Collection[str]]) -> Compression:
    """Return the best compression that all hosts know.

    Args:
        offers: What each host knows.
    """
    known = list(offers)
    return next((name for name in COMPRESSIONS if all(name in offer for offer in known)), "gzip")


def room_problem(host: str, path: str, free: int, needed: int, variable: str) -> Problem | None:
    """Return what is wrong when a folder has too little room for the archive of an image, else None.

    Args:
        host: Whose folder it is, such as ``gpu01`` or ``the control node``.
        path: The folder.
        free: Bytes that are free there.
        needed: Bytes that the archive takes.
        variable: The variable that chooses the folder.
    """
    if free >= needed:
        return None
    return Problem(
        layer="disk",
        code="image.no_room_to_share",
        severity="error",
        message=f"{path} on {host} has {free / GIBIBYTE:.1f} GiB free, handing the image over needs "
        f"{needed / GIBIBYTE:.1f} GiB there",
        next_action=f"Free space or choose another folder with {variable}; or use a registry "
        "(opensora_image_registry), or let each host build its own (opensora_image_share: false).",
    )


def write_parts(chunks: Iterable[bytes], folder: Path, owner: int, part_bytes: int = PART_BYTES) -> tuple[Part, ...]:
    """Write a stream into files of one length and return them.

    Args:
        chunks: The stream.
        folder: Folder for the files.
        owner: User number that shall be able to read them.
        part_bytes: Length of every file but the last.
    """
    parts: list[Part] = []
    buffer = bytearray()

    def write(data: bytes) -> None:
        path = folder / f"part-{len(parts):05d}"
        path.touch(0o600)
        path.write_bytes(data)
        os.chown(path, owner, -1)
        parts.append(Part(path.name, len(data), hashlib.sha256(data).hexdigest()))

    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= part_bytes:
            write(bytes(buffer[:part_bytes]))
            del buffer[:part_bytes]
    if buffer:
        write(bytes(buffer))
    return tuple(parts)


def read_parts(archive: ImageArchive) -> Iterator[bytes]:
    """Yield the parts of an archive, each after its hash was checked.

    Raises:
        TransferError: A part is missing or not what was sent.
    """
    for part in archive.parts:
        try:
            data = Path(archive.folder, part.name).read_bytes()
        except OSError as error:
            raise TransferError(f"{part.name} of the archive can't be read: {error}") from error
        if hashlib.sha256(data).hexdigest() != part.sha256:
            raise TransferError(f"{part.name} of the archive arrived damaged: its hash is not the one that was sent")
        yield data


def compress(chunks: Iterable[bytes], compression: Compression) -> Iterator[bytes]:
    """Yield a stream compressed.

    Raises:
        TransferError: The compressor failed.
    """
    return _through(_COMPRESS[compression], chunks)


def decompress(chunks: Iterable[bytes], compression: Compression) -> Iterator[bytes]:
    """Yield a compressed stream as it was.

    Raises:
        TransferError: The stream is damaged or ends too early.
    """
    return _through(_DECOMPRESS[compression], chunks)


def loading_fault(archive: ImageArchive, image_id: str, layers: Sequence[str], store: str) -> str:
    """Return why a loaded image is not the one that was saved; empty when it is.

    The ID is the same only between image stores of one kind: a classic store names an image by the digest of its
    configuration, containerd's by that of its manifest. The digests of the unpacked layers are the same everywhere.

    Args:
        archive: What was saved.
        image_id: ID of the loaded image.
        layers: Digests of its unpacked layers.
        store: Kind of the image store that loaded it.
    """
    if tuple(layers) != archive.layers:
        return f"its layers are not those of {archive.image_id}"
    if store == archive.store == "classic" and image_id != archive.image_id:
        return f"its ID is {image_id}, saved was {archive.image_id}"
    return ""


def _through(command: Sequence[str], chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what a command makes of a stream."""
    errors: list[Exception] = []

    def feed(stream: IO[bytes]) -> None:
        try:
            with stream:
                for chunk in chunks:
                    stream.write(chunk)
        except BrokenPipeError:
            pass  # the command has ended; its exit status says why
        except Exception as error:  # noqa: BLE001 (whatever ends the stream is raised by whoever reads it)
            errors.append(error)

    process = subprocess.Popen(  # noqa: S603 (a list, no shell)
        list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    stdin, stdout, stderr = cast(
        "tuple[IO[bytes], IO[bytes], IO[bytes]]", (process.stdin, process.stdout, process.stderr)
    )
    feeder = threading.Thread(target=feed, args=(stdin,), daemon=True)
    feeder.start()
    try:
        yield from iter(lambda: stdout.read(_READ_BYTES), b"")
        feeder.join()
        said = stderr.read().decode("utf-8", "replace").strip()
        status = process.wait()
    finally:
        # Whoever stopped reading leaves no process behind.
        process.kill()
        process.wait()
    if errors:
        raise TransferError(str(errors[0])) from errors[0]
    if status:
        raise TransferError(f"{command[0]} ended with status {status}: {said}")
