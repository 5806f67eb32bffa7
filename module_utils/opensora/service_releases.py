# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What was deployed before, so that it can be deployed again: one file a release beside the compose file."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = "releases"


class ReleaseError(ValueError):
    """There is no such release; the message says which there are."""


@dataclass(frozen=True)
class Release:
    """A deployment that was healthy and proven.

    Attributes:
        name: Time of the deployment and the beginning of the definition's hash.
        deployed_at: Seconds since 1970.
        definition: The compose project as YAML.
        image: Image of the service.
        gpus: UUIDs reserved.
        ports: Published ports.
        proof_command: Command by which it was proven.
    """

    name: str
    deployed_at: float
    definition: str
    image: str
    gpus: tuple[str, ...]
    ports: tuple[str, ...]
    proof_command: tuple[str, ...] = ()


def new_release(
    definition: str,
    image: str,
    gpus: Sequence[str],
    ports: Sequence[str],
    *,
    now: float,
    proof_command: Sequence[str] = (),
) -> Release:
    """Return the release of a deployment that has just succeeded."""
    digest = hashlib.sha256(definition.encode()).hexdigest()[:8]
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    return Release(f"{stamp}-{digest}", now, definition, image, tuple(gpus), tuple(ports), tuple(proof_command))


def read_releases(directory: Path) -> list[Release]:
    """Return the releases of a service, the oldest first. A file that can't be read is none.

    Args:
        directory: Folder of the compose project.
    """
    found = [_read(path) for path in (directory / FOLDER).glob("*.json")]
    return sorted((release for release in found if release), key=lambda release: release.deployed_at)


def keep(releases: Sequence[Release], current: Release, number: int) -> tuple[list[Release], list[Release]]:
    """Return the releases to keep, the current one last, and those to remove.

    Args:
        releases: The releases that are there, the oldest first. One of the same definition is replaced by the current.
        current: The one that was just deployed.
        number: How many to keep, the current one among them.
    """
    others = [release for release in releases if release.definition != current.definition]
    same = [release for release in releases if release.definition == current.definition]
    kept = others[max(0, len(others) - (number - 1)) :] if number > 1 else []
    return [*kept, current], [release for release in others if release not in kept] + same


def earlier(releases: Sequence[Release], definition: str | None, name: str = "") -> Release:
    """Return the release to go back to.

    Args:
        releases: The releases that are there, the oldest first.
        definition: What the compose file holds now.
        name: Name of a release; empty takes the one before the current.

    Raises:
        ReleaseError: There is none.
    """
    listed = ", ".join(release.name for release in releases) or "none"
    if name:
        for release in releases:
            if release.name == name:
                return release
        raise ReleaseError(f"there is no release {name!r}; there are: {listed}")
    places = [place for place, release in enumerate(releases) if release.definition == definition]
    before = releases[: places[-1]] if places else releases
    if not before:
        raise ReleaseError(f"there is no release before the current one; there are: {listed}")
    return before[-1]


def record(directory: Path, current: Release, number: int) -> None:
    """Write a release and remove those that are too many.

    Args:
        directory: Folder of the compose project.
        current: The release.
        number: How many to keep.
    """
    kept, surplus = keep(read_releases(directory), current, number)
    folder = directory / FOLDER
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    path = folder / f"{current.name}.json"
    draft = path.with_suffix(".new")
    draft.touch(0o640)
    draft.write_text(json.dumps(asdict(current), indent=1), encoding="utf-8")
    draft.replace(path)
    for release in surplus:
        if release.name not in {item.name for item in kept}:
            (folder / f"{release.name}.json").unlink(missing_ok=True)


def _read(path: Path) -> Release | None:
    """Return the release in a file, or None when it holds none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        known = {"proof_command": (), **{name: data[name] for name in Release.__dataclass_fields__ if name in data}}
        lists = {name: tuple(known[name]) for name in ("gpus", "ports", "proof_command")}
        return Release(**{**known, **lists})
    except (OSError, ValueError, KeyError, TypeError):
        return None
