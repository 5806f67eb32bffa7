# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Read which files of a manifest a folder holds, and remember their digests so that the next look is quick.

A digest is remembered with the size, both times, and the inode of the file that it was read from. Whoever writes into
the file changes the second time, which no program can set back; only damage below the file system escapes, and that is
what reading everything again is for.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ansible.module_utils.opensora.checkpoint_manifest import STATE_FOLDER, Manifest, ManifestFile, file_digest

Verify = Literal["sizes", "changed", "full"]
Kind = Literal["absent", "file", "link", "other"]
_STATE_FILE = "state.json"
_MARKER_FILE = "complete.json"
_PARTS_FOLDER = "parts"
_PART_SUFFIX = ".part"


@dataclass(frozen=True)
class Identity:
    """What tells that a file is still the one whose digest is known."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        """Return the identity of a file."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@dataclass(frozen=True)
class Remembered:
    """A digest and the file it was read from."""

    identity: Identity
    sha256: str


@dataclass(frozen=True)
class FoundFile:
    """What is at the path of a file of the manifest.

    Attributes:
        kind: ``absent``, ``file``, ``link`` (symbolic; the container could not follow it) or ``other``.
        size: Bytes, of a file.
        mode: Permission bits, of a file.
        sha256: Digest of its content; empty when it was not needed or not asked for.
        linked_parent: The folder on the way to it that is a symbolic link or no folder; empty for none.
    """

    kind: Kind = "absent"
    size: int = 0
    mode: int = 0
    sha256: str = ""
    linked_parent: str = ""


@dataclass(frozen=True)
class FoundState:
    """What a folder holds of a manifest.

    Attributes:
        files: What is there, by the manifest's paths.
        folders: Permission bits of the folders on the way to them, by path; the folder itself is ``.``.
        parts: Bytes of files that are not whole yet, by the digest they shall have.
        marker: Digest of the manifest that was completed last; empty when there is none.
    """

    files: Mapping[str, FoundFile]
    folders: Mapping[str, int]
    parts: Mapping[str, int]
    marker: str


class CheckpointFolder:
    """A folder with weights.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = path / STATE_FOLDER
        self.parts = self.state / _PARTS_FOLDER
        self.remembered: dict[str, Remembered] = {}

    def part(self, file: ManifestFile) -> Path:
        """Return where a file is collected until it is whole; named by content, so that it always fits."""
        return self.parts / f"{file.sha256}{_PART_SUFFIX}"

    def foreign_state(self) -> str:
        """Return why the folder of the state can't be trusted, or nothing."""
        for folder in (self.state, self.parts):
            try:
                status = folder.lstat()
            except FileNotFoundError:
                continue
            if not stat.S_ISDIR(status.st_mode):
                return f"{folder} is not a folder"
            if status.st_uid != os.geteuid():
                return f"{folder} belongs to the user {status.st_uid}"
        return ""

    def open(self) -> None:
        """Make the folder and the folders of the state."""
        self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.state.mkdir(mode=0o755, exist_ok=True)
        self.parts.mkdir(mode=0o700, exist_ok=True)

    def read(
        self, manifest: Manifest, verify: Verify, watch: Callable[[int, ManifestFile], None] | None = None
    ) -> FoundState:
        """Read what is there.

        Args:
            manifest: What is wanted.
            verify: ``sizes`` reads no content, ``changed`` what is not remembered, ``full`` everything.
            watch: Is told before a file is read, with its position.
        """
        self.remembered = {} if self.foreign_state() else self._read_memory()
        files, folders = {}, {}
        if self.path.is_dir():
            folders["."] = stat.S_IMODE(self.path.stat().st_mode)
        for position, file in enumerate(manifest.files, 1):
            linked_parent = ""
            for parent in [str(parent) for parent in reversed(PurePosixPath(file.path).parents)][1:]:
                mode = _folder_mode(self.path / parent)
                if mode is not None and mode < 0:
                    linked_parent = parent
                    break
                if mode is not None:
                    folders[parent] = mode
            files[file.path] = (
                FoundFile(linked_parent=linked_parent)
                if linked_parent
                else self._found(file, verify, lambda at=position, of=file: watch(at, of) if watch else None)  # type: ignore[misc]
            )
        return FoundState(files, folders, self._parts(), "" if self.foreign_state() else self._marker())

    def remember(self, file: ManifestFile) -> None:
        """Remember that the file at this path has the digest of the manifest now."""
        identity = Identity.of((self.path / file.path).lstat())
        self.remembered[file.path] = Remembered(identity, file.sha256)

    def write_memory(self, manifest: Manifest) -> None:
        """Write the digests that are known of the manifest's files."""
        names = {file.path for file in manifest.files}
        known = {path: asdict(entry) for path, entry in sorted(self.remembered.items()) if path in names}
        _write(self.state / _STATE_FILE, {"files": known})

    def write_marker(self, manifest: Manifest) -> None:
        """Write that the folder holds all of this manifest."""
        _write(self.state / _MARKER_FILE, {"digest": manifest.digest, **manifest.as_dict()})

    def remove_marker(self) -> None:
        """Take back that the folder holds all of a manifest."""
        (self.state / _MARKER_FILE).unlink(missing_ok=True)

    def publish(self, file: ManifestFile) -> None:
        """Put a file that was collected and verified into its place, in one step.

        Args:
            file: The file.
        """
        part, target = self.part(file), self.path / file.path
        with part.open("rb") as stream:
            os.fchmod(stream.fileno(), 0o644)
            os.fsync(stream.fileno())
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        part.replace(target)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.remember(file)

    def remove_parts(self) -> None:
        """Remove what was collected and is of no use any more."""
        for path in self.parts.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _found(self, file: ManifestFile, verify: Verify, watch: Callable[[], None]) -> FoundFile:
        path = self.path / file.path
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            self.remembered.pop(file.path, None)
            return FoundFile()
        if stat.S_ISLNK(status.st_mode):
            return FoundFile("link")
        if not stat.S_ISREG(status.st_mode):
            return FoundFile("other")
        found = FoundFile("file", status.st_size, stat.S_IMODE(status.st_mode))
        if status.st_size != file.size:
            return found
        known = self.remembered.get(file.path)
        if known is None or known.identity != Identity.of(status) or verify == "full":
            if verify == "sizes":
                return found
            watch()
            known = Remembered(Identity.of(status), file_digest(path))
            self.remembered[file.path] = known
        return replace(found, sha256=known.sha256)

    def _parts(self) -> dict[str, int]:
        try:
            return {
                path.name[: -len(_PART_SUFFIX)]: path.stat().st_size for path in self.parts.glob(f"*{_PART_SUFFIX}")
            }
        except OSError:
            return {}

    def _marker(self) -> str:
        return str(_read(self.state / _MARKER_FILE).get("digest", ""))

    def _read_memory(self) -> dict[str, Remembered]:
        try:
            return {
                str(path): Remembered(Identity(**entry["identity"]), str(entry["sha256"]))
                for path, entry in _read(self.state / _STATE_FILE)["files"].items()
            }
        except (KeyError, TypeError, AttributeError):
            return {}


def _folder_mode(path: Path) -> int | None:
    """Return the permission bits of a folder, None when there is nothing, and -1 when it is something else."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat.S_IMODE(status.st_mode) if stat.S_ISDIR(status.st_mode) else -1


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file; what can't be read is as good as nothing."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _write(path: Path, data: Mapping[str, Any]) -> None:
    """Write a JSON file in one step, unless it says the same already."""
    text = json.dumps(data, indent=1, sort_keys=True) + "\n"
    try:
        if path.read_text(encoding="utf-8") == text:
            return
    except (OSError, ValueError):
        pass
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.chmod(0o644)
    new.replace(path)
