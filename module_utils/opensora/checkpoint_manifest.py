# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The manifest of the weights: which files, of which size and content, from which commit of a repository."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ansible.module_utils.opensora.problems import Problem, invalid_value

# Folder beside the weights for what is known about them, and for files that are not whole yet.
STATE_FOLDER = ".opensora-checkpoint"
READ_BYTES = 4 * 1024**2
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEYS = ("repository", "revision", "files")
_FILE_KEYS = ("path", "size", "sha256")
_LONGEST_PATH = 1024


@dataclass(frozen=True)
class ManifestFile:
    """One file.

    Attributes:
        path: Path below the folder of the weights, with ``/``.
        size: Bytes.
        sha256: Digest of its content, 64 hexadecimal digits.
    """

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """All files of a set of weights.

    Attributes:
        repository: ``owner/name`` on the hub.
        revision: Full commit id.
        files: The files in the order of the manifest.
    """

    repository: str
    revision: str
    files: tuple[ManifestFile, ...]

    @property
    def total_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def digest(self) -> str:
        """Digest of what the manifest says, whatever form it is written in."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Return the manifest as plain data, as a file of it holds."""
        return {
            "repository": self.repository,
            "revision": self.revision,
            "files": [asdict(file) for file in self.files],
        }


def read_manifest(data: object, name: str) -> tuple[Manifest | None, list[Problem]]:
    """Return the manifest that some data is, or every fault of it.

    Args:
        data: What was read from a YAML or JSON file.
        name: What the messages call it, such as the variable with the file's path.
    """
    if not isinstance(data, Mapping):
        return None, [invalid_value(name, data, f"a mapping with the keys {', '.join(_KEYS)}")]
    problems = _key_problems(name, data, _KEYS)
    repository, revision = data.get("repository"), data.get("revision")
    if "repository" in data and not (isinstance(repository, str) and _REPOSITORY.fullmatch(repository)):
        problems.append(invalid_value(f"{name}: repository", repository, "the form owner/name"))
    if "revision" in data and not (isinstance(revision, str) and _COMMIT.fullmatch(revision)):
        allowed = "a full commit id in quotes, 40 hexadecimal digits; a branch or a tag would move"
        problems.append(invalid_value(f"{name}: revision", revision, allowed))
    files: list[ManifestFile] = []
    entries = data.get("files")
    if isinstance(entries, Sequence) and not isinstance(entries, str) and entries:
        for index, entry in enumerate(entries):
            found = _entry_problems(f"{name}: files[{index}]", entry)
            problems += found
            if not found:
                files.append(ManifestFile(entry["path"], entry["size"], entry["sha256"].lower()))
    elif "files" in data:
        problems.append(invalid_value(f"{name}: files", entries, "a list with one mapping a file"))
    problems += _collisions(name, files)
    if problems:
        return None, problems
    return Manifest(str(repository), str(revision), tuple(files)), []


def _key_problems(name: str, data: Mapping[str, Any], keys: Sequence[str]) -> list[Problem]:
    listing = ", ".join(keys)
    missing = [
        Problem(
            "configuration",
            "checkpoint.manifest_incomplete",
            "error",
            f"{name} lacks {key}",
            f"Give it the keys {listing}.",
        )
        for key in keys
        if key not in data
    ]
    unknown = [invalid_value(f"a key of {name}", key, f"one of {listing}") for key in data if key not in keys]
    return missing + unknown


def _entry_problems(name: str, entry: object) -> list[Problem]:
    if not isinstance(entry, Mapping):
        return [invalid_value(name, entry, f"a mapping with the keys {', '.join(_FILE_KEYS)}")]
    problems = _key_problems(name, entry, _FILE_KEYS)
    path, size, sha256 = (entry.get(key) for key in _FILE_KEYS)
    if "path" in entry and not is_safe_path(path):
        allowed = f"a relative path without '.', '..', '\\', control characters and {STATE_FOLDER}"
        problems.append(invalid_value(f"{name}.path", path, allowed))
    if "size" in entry and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
        problems.append(invalid_value(f"{name}.size", size, "a whole number of bytes, 0 or more"))
    if "sha256" in entry and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256.lower())):
        problems.append(invalid_value(f"{name}.sha256", sha256, "64 hexadecimal digits in quotes"))
    return problems


def is_safe_path(path: object) -> bool:
    """Return whether a path stays below the folder it is joined to and is written in the one canonical way."""
    if not isinstance(path, str) or not 0 < len(path) <= _LONGEST_PATH:
        return False
    parts = path.split("/")
    return (
        not any(part in ("", ".", "..") for part in parts)
        and parts[0] != STATE_FOLDER
        and "\\" not in path
        and path.isprintable()
    )


def _collisions(name: str, files: Sequence[ManifestFile]) -> list[Problem]:
    """Return the paths that two files can't both have."""
    problems, seen = [], set()
    for file in files:
        if file.path in seen:
            problems.append(invalid_value(f"{name}: files", file.path, "each path once"))
        seen.add(file.path)
    for file in files:
        above = next((str(parent) for parent in PurePosixPath(file.path).parents if str(parent) in seen), None)
        if above:
            problems.append(invalid_value(f"{name}: files", file.path, f"no path below {above}, which is a file"))
    return problems


def wanted_paths(paths: Iterable[str], exclude: Sequence[str]) -> list[str]:
    """Return the paths that no pattern leaves out, sorted.

    Args:
        paths: Paths of files.
        exclude: Shell patterns; ``*`` matches ``/`` as well.
    """
    return sorted(path for path in paths if not any(fnmatch.fnmatchcase(path, pattern) for pattern in exclude))


def file_digest(path: Path) -> str:
    """Return the sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(READ_BYTES), b""):
            digest.update(chunk)
    return digest.hexdigest()


def folder_files(folder: Path, exclude: Sequence[str]) -> tuple[ManifestFile, ...]:
    """Return the files of a folder as a manifest names them.

    What download tools keep for themselves, in folders whose names begin with a dot, is no part of it.

    Args:
        folder: Folder with the weights.
        exclude: Shell patterns of paths to leave out.

    Raises:
        OSError: The folder can't be read.
    """
    next(folder.iterdir(), None)  # what rglob() passes over in silence is an error here
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    names = [path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts[:-1])]
    return tuple(
        ManifestFile(name, (folder / name).stat().st_size, file_digest(folder / name))
        for name in wanted_paths(names, exclude)
    )


@dataclass(frozen=True)
class ListedFile:
    """A file in the hub's listing of a commit.

    Attributes:
        path: Path in the repository.
        size: Bytes.
        sha256: Digest of the content; empty for a small file, which the hub knows by its git object id only.
        git_object_id: Digest that git names the content by; empty when the hub gave none.
    """

    path: str
    size: int
    sha256: str
    git_object_id: str


def hub_listing(answer: Mapping[str, Any], exclude: Sequence[str]) -> tuple[str, list[ListedFile]]:
    """Return the commit and the files of the hub's answer about a repository.

    Args:
        answer: What ``/api/models/REPOSITORY/revision/REVISION?blobs=true`` returned.
        exclude: Shell patterns of paths to leave out.

    Raises:
        ValueError: It is no such answer; the text says what it lacks.
    """
    commit, siblings = answer.get("sha"), answer.get("siblings")
    if not isinstance(commit, str) or not isinstance(siblings, list):
        raise ValueError("the hub's answer names no commit and no files")  # noqa: TRY004 (data from outside)
    by_path = {str(entry.get("rfilename")): entry for entry in siblings if isinstance(entry, Mapping)}
    files = []
    for path in wanted_paths(by_path, exclude):
        entry = by_path[path]
        lfs = entry.get("lfs") or {}
        size = lfs.get("size", entry.get("size"))
        if not isinstance(size, int):
            raise ValueError(f"the hub's answer gives no size for {path}")  # noqa: TRY004 (data from outside)
        files.append(ListedFile(path, size, str(lfs.get("sha256") or ""), str(entry.get("blobId") or "")))
    return commit, files


def git_object_id(content: bytes) -> str:
    """Return the digest that git names a content by."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324 (git's own naming)
