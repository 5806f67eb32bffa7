# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Decide what a host needs so that it has the image, which host provides it for others, and which images go."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ansible.module_utils.opensora.build_key import BUILD_KEY_LABEL, INPUTS_LABEL
from ansible.module_utils.opensora.image_reference import parse_image_reference

Action = Literal["none", "push", "pull", "receive", "build"]
Task = Literal["none", "build", "pull", "receive"]
# How an engine keeps images: in its own storage driver, or in containerd.
ImageStore = Literal["classic", "containerd"]


@dataclass(frozen=True)
class LocalImage:
    """An image in the engine of the host.

    Attributes:
        id: ``sha256:...`` as the engine names it.
        created: Seconds since 1970.
        repository_digests: ``name@sha256:...`` for each registry that the engine knows to hold it.
        labels: The image's labels.
        tags: ``name:tag`` for each name that the engine knows it by.
        size: Bytes of its layers, unpacked.
    """

    id: str
    created: int
    repository_digests: tuple[str, ...]
    labels: dict[str, str]
    tags: tuple[str, ...] = ()
    size: int = 0

    @property
    def repositories(self) -> frozenset[str]:
        """Every name that the image has, with its registry and without tag and digest."""
        return frozenset(parse_image_reference(text).name for text in (*self.tags, *self.repository_digests))

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
            size=int(entry.get("Size") or 0),
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


def of_repository(images: Sequence[LocalImage], repository: str) -> list[LocalImage]:
    """Return the images that have this name, in their order."""
    name = parse_image_reference(repository).name
    return [image for image in images if name in image.repositories]


def decide(
    key: str,
    images: Sequence[LocalImage],
    repository: str,
    registry_digest: str | None,
    *,
    force: bool = False,
    archive: bool = False,
    pinned: str = "",
) -> Decision:
    """Return what a host needs so that it has the image with this build key.

    Args:
        key: The build key that is wanted.
        images: The images of the host's engine, newest first.
        repository: Name in the site's registry, or empty when the site has none.
        registry_digest: What the registry holds under the tag of this key; None when it holds nothing.
        force: Provide a new image even though one is there.
        archive: Whether another host's image was brought here as an archive.
        pinned: Digest that the image has to have in the registry, as a host has just pushed it; empty for any.
    """
    if force:
        received = Decision("receive", "another host has built the image again")
        return received if archive else Decision("build", "a build was asked for")
    # With a registry, an image that the registry is known to hold comes first: everyone shall run the same digest.
    having = [image for image in images if image.labels.get(BUILD_KEY_LABEL) == key]
    known = [image for image in having if not repository or image.digest_in(repository)]
    known = [image for image in known if not pinned or image.digest_in(repository) == pinned]
    if known:
        return Decision("none", "the host has the image of this build key", known[0])
    if registry_digest or pinned:
        return Decision("pull", "the registry has the image of this build key")
    if having:
        return Decision("push", "the host has the image of this build key and the registry has not", having[0])
    if archive:
        return Decision("receive", "another host has the image of this build key")
    where = "neither the host nor the registry has" if repository else "the host does not have"
    return Decision("build", f"{where} an image of this build key")


@dataclass(frozen=True)
class HostAnswer:
    """What is known of a host after all were asked for the image.

    Attributes:
        name: Name in the inventory.
        build_key: The build key that it wants; the platform is part of it.
        action: What it needs when it is left alone.
        in_batch: Whether it runs together with the host that is assigned something.
        shares: Whether it takes an image from another host, when the site has no registry.
        provided: Whether this run has already given it its image, in an earlier batch.
    """

    name: str
    build_key: str
    action: Action
    in_batch: bool = True
    shares: bool = True
    provided: bool = False


@dataclass(frozen=True)
class Assignment:
    """What one host does so that the site builds an image once.

    Attributes:
        task: ``build`` also pulls or pushes when that is enough; ``pull`` and ``receive`` never build.
        source: Host that has the image or builds it; empty for a task that needs none.
        fetcher: With ``receive``, the host whose turn it is to have the image fetched from the source, once for all.
    """

    task: Task
    source: str = ""
    fetcher: str = ""


def assign(hosts: Sequence[HostAnswer], name: str, *, registry: bool, rebuild: bool) -> Assignment:
    """Return what a host does.

    Hosts of one build key share one image: the first that lacks it builds, or one that has it gives it away. Another
    platform is another build key and so has a builder of its own.

    Args:
        hosts: All hosts of the run in its order.
        name: The host that is assigned something.
        registry: Whether the site has a registry.
        rebuild: Whether an image is built although it is there.
    """
    own = next(host for host in hosts if host.name == name)
    if own.action == "none" and not rebuild:
        return Assignment("none")
    alike = [host for host in hosts if host.build_key == own.build_key]
    if registry:
        builders = [host for host in alike if host.in_batch and (rebuild or host.action in ("build", "push"))]
        builder = builders[0].name if builders else ""
        return Assignment("build" if builder == name else "pull", builder)
    source = _source(alike, own, rebuild=rebuild)
    if not own.shares or source == name:
        return Assignment("build", name)
    fetcher = next(
        host.name
        for host in alike
        if host.in_batch and host.shares and host.name != source and (rebuild or host.action != "none")
    )
    return Assignment("receive", source, fetcher)


def _source(alike: Sequence[HostAnswer], own: HostAnswer, *, rebuild: bool) -> str:
    """Return the host that has the image of this build key, else the one that builds it."""
    for host in alike:
        if host.name != own.name and (host.provided or (host.action == "none" and not rebuild)):
            return host.name
    # A host that wants nothing from others still builds for those that do.
    return next(host.name for host in alike if host.in_batch and (rebuild or host.action != "none"))


def removable_images(
    images: Sequence[LocalImage],
    repository: str,
    key: str,
    *,
    used: Collection[str],
    keep: int,
    provided: str = "",
) -> list[LocalImage]:
    """Return the images of this project that are too many, oldest first.

    Images that containers use come first in the order of those to keep, then the youngest: the image that still runs is
    the one to go back to, even where a younger one was never started.

    Args:
        images: The images with a build key.
        repository: Name of the image, with the registry if there is one. One that has any other name is somebody's.
        key: The build key of the image that is provided. An image of this key without any name was its predecessor.
        used: IDs of the images of all containers, running or not; those are never removed.
        keep: How many earlier images to keep beside the provided one, at least 1.
        provided: ID of the image that was just provided; empty when it is only predicted.
    """
    own = frozenset({parse_image_reference(repository).name})
    earlier = [
        image
        for image in images
        if image.id != provided
        and (image.repositories == own or (not image.repositories and image.labels.get(BUILD_KEY_LABEL) == key))
    ]
    earlier.sort(key=lambda image: (image.id in used, image.created), reverse=True)
    return [image for image in reversed(earlier[max(keep, 1) :]) if image.id not in used]
