# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Take a container image reference apart, the way the engine reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

DEFAULT_REGISTRY = "docker.io"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class ImageReference:
    """One image in one registry.

    Attributes:
        registry: Host with an optional port; ``docker.io`` when the reference names none.
        repository: Path in the registry, with Docker Hub's ``library/`` where it is implied.
        tag: Tag, or None.
        digest: ``sha256:...``, or None.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """The reference without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def selector(self) -> str:
        """What the registry's manifest address ends in: the digest when there is one, else the tag."""
        return self.digest or self.tag or "latest"

    def pinned(self, digest: str) -> ImageReference:
        """Return the same image by this digest; the tag stays, for people."""
        return replace(self, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def is_image_by_digest(text: str) -> bool:
    """Return whether a text names one image for good: by the digest in its registry, or by its ID in an engine."""
    if _DIGEST.fullmatch(text):
        return True
    try:
        return parse_image_reference(text).digest is not None
    except ValueError:
        return False


def parse_image_reference(text: str) -> ImageReference:
    """Return the parts of an image reference.

    Args:
        text: Such as ``ubuntu:22.04``, ``registry.example:5000/a/b@sha256:...``.

    Raises:
        ValueError: The text is no image reference; the message says why.
    """
    rest, _, digest = text.partition("@")
    if digest and not _DIGEST.fullmatch(digest):
        raise ValueError(f"the digest {digest!r} is not sha256: and 64 hexadecimal digits")
    if "@" in text and not digest:
        raise ValueError("nothing stands after the @")
    tag = None
    if ":" in rest.rpartition("/")[2]:
        rest, _, tag = rest.rpartition(":")
        if not _TAG.fullmatch(tag):
            raise ValueError(f"{tag!r} is no tag")
    first, slash, path = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, repository = first, path
    else:
        registry, repository = DEFAULT_REGISTRY, rest if slash else f"library/{rest}"
    if not _HOST.fullmatch(registry):
        raise ValueError(f"{registry!r} is no registry host")
    if not _REPOSITORY.fullmatch(repository):
        raise ValueError(f"{repository!r} is no repository name: lower case letters, digits, '.', '_', '-' and '/'")
    return ImageReference(registry, repository, tag, digest or None)
