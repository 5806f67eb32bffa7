# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Decide what a host needs so that it has the image: nothing, a push, a pull or a build."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ansible.module_utils.opensora.build_key import BUILD_KEY_LABEL, INPUTS_LABEL
from ansible.module_utils.opensora.image_reference import parse_image_reference

Action = Literal["none", "push", "pull", "build"]

# The image that is wanted, and the one to go back to.
MINIMUM_KEPT = 2


@dataclass(frozen=True)
class LocalImage:
    """An image in the engine of the host.

    Attributes:
        id: ``sha256:...`` as the engine names it.
        created: Seconds since 1970.
        repository_digests: ``name@sha256:...`` for each registry that the engine knows to hold it.
        labels: The image's labels.
        tags: ``name:tag`` for each name that it has on the host.
    """

    id: str
    created: int
    repository_digests: tuple[str, ...]
    labels: dict[str, str]
    tags: tuple[str, ...] = ()

    def digest_in(self, repository: str) -> str | None:
        """Return the digest that a repository holds of this image, or None."""
        wanted = parse_image_reference(repository).name
        for text in self.repository_digests:
            reference = parse_image_reference(text)
            if reference.name == wanted:
                return reference.digest
        return None


@dataclass(frozen=True)
class Decision:
    """What to do, and why in one sentence."""

    action: Action
    reason: str
    image: LocalImage | None = None


def local_images(listing: Sequence[Mapping[str, Any]]) -> list[LocalImage]:
    """Return the engine's answer to a list of images as plain records, newest first."""
    images = [
        LocalImage(
            id=str(entry["Id"]),
            created=int(entry.get("Created") or 0),
            repository_digests=tuple(text for text in entry.get("RepoDigests") or () if "<none>" not in text),
            labels=dict(entry.get("Labels") or {}),
            tags=tuple(text for text in entry.get("RepoTags") or () if "<none>" not in text),
        )
        for entry in listing
    ]
    return sorted(images, key=lambda image: image.created, reverse=True)


def recorded_inputs(image: LocalImage | None) -> dict[str, str]:
    """Return the inputs that a build wrote into an image's label; empty when it has none that can be read."""
    try:
        recorded = json.loads(image.labels[INPUTS_LABEL]) if image else {}
    except (KeyError, ValueError):
        return {}
    return {str(name): str(value) for name, value in recorded.items()} if isinstance(recorded, dict) else {}


@dataclass(frozen=True)
class HostAnswer:
    """What a host of the run said when it was asked for the image.

    Attributes:
        name: The host as the inventory names it.
        build_key: The build key that it wants; another platform or another value of its own has another one.
        action: What it needs.
        in_batch: Whether it is among the hosts that work now; one that is not was provided for in an earlier batch.
    """

    name: str
    build_key: str
    action: Action
    in_batch: bool = True


@dataclass(frozen=True)
class Assignment:
    """Who does what for the hosts that want the same image.

    Attributes:
        builder: Host that builds, or pulls or pushes where that is enough; empty for none.
        donor: Without a registry, the host that hands the image over; empty for none.
        receivers: Without a registry, the hosts that are given it, the first of which asks for it.
    """

    builder: str
    donor: str = ""
    receivers: tuple[str, ...] = ()


def assign(hosts: Sequence[HostAnswer], name: str, *, registry: bool, share: bool, rebuild: bool) -> Assignment:
    """Return who provides the image that a host wants.

    Args:
        hosts: The hosts of the run in its order.
        name: The host that asks.
        registry: Whether the site has a registry.
        share: Whether hosts hand the image to one another where there is none.
        rebuild: Whether an image is built although it is there.
    """
    own = next(host for host in hosts if host.name == name)
    if not registry and not share:
        return Assignment(own.name)
    alike = [host for host in hosts if host.build_key == own.build_key]
    working = [host.name for host in alike if host.in_batch and (rebuild or host.action in ("build", "push"))]
    builder = working[0] if working else ""
    if registry:
        return Assignment(builder)
    having = [host.name for host in alike if not host.in_batch or (host.action == "none" and not rebuild)]
    if having:
        return Assignment("", having[0], tuple(working))
    return Assignment(builder, builder, tuple(working[1:]))


def surplus(images: Sequence[LocalImage], repository: str, keep: int, current: str | None) -> list[LocalImage]:
    """Return the images of this project that a host keeps for nothing unless a container uses them, oldest last.

    Args:
        images: The images of the host's engine that carry a build key, newest first.
        repository: Name of the image, with the registry where there is one. Images of other names are someone else's;
            one that lost its name to a newer build is ours.
        keep: How many to keep, the current one among them.
        current: ID of the image that is wanted now, or None where it is still to come.
    """
    wanted = parse_image_reference(repository).name
    names = {image.id: {parse_image_reference(tag).name for tag in image.tags} for image in images}
    ours = [image for image in images if BUILD_KEY_LABEL in image.labels and names[image.id] <= {wanted}]
    # The wanted one counts first, however old it is; the newest of the others is the previous one.
    ordered = sorted(ours, key=lambda image: image.id != current)
    allowed = keep if current else keep - 1
    return ordered[allowed:]


def decide(
    key: str,
    images: Sequence[LocalImage],
    repository: str,
    registry_digest: str | None,
    *,
    force: bool = False,
) -> Decision:
    """Return what a host needs so that it has the image with this build key.

    Args:
        key: The build key that is wanted.
        images: The images of the host's engine, newest first.
        repository: Name in the site's registry, or empty when the site has none.
        registry_digest: What the registry holds under the tag of this key; None when it holds nothing.
        force: Build even though the image is there.
    """
    if force:
        return Decision("build", "a build was asked for")
    # With a registry, an image that the registry is known to hold comes first: everyone shall run the same digest.
    having = [image for image in images if image.labels.get(BUILD_KEY_LABEL) == key]
    if repository:
        for image in having:
            if image.digest_in(repository):
                return Decision("none", "the host has the image of this build key", image)
        if registry_digest:
            return Decision("pull", "the registry has the image of this build key")
        if having:
            return Decision("push", "the host has the image of this build key and the registry has not", having[0])
    elif having:
        return Decision("none", "the host has the image of this build key", having[0])
    where = "neither the host nor the registry has" if repository else "the host does not have"
    return Decision("build", f"{where} an image of this build key")
