# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The build key: one number that changes exactly when the result of a build could change.

It is computed from content, never from times, owners or the machine, so that every host of a site
computes the same key and asks the same registry for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

BUILD_KEY_LABEL = "org.opensora-site.build-key"
INPUTS_LABEL = "org.opensora-site.inputs"
BASE_DIGEST_LABEL = "org.opensora-site.base-digest"
REVISION_LABEL = "org.opencontainers.image.revision"

# Raised when the same inputs shall give another image, such as after a change of how a build is called.
SCHEME = "1"


def digest_of(text: str) -> str:
    """Return ``sha256:...`` of a text's UTF-8 bytes."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def check_context_path(path: str) -> None:
    """Refuse a path that would leave the build context.

    Raises:
        ValueError: The path is absolute, climbs up, or is the Dockerfile's own.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or str(PurePosixPath(path)) != path:
        raise ValueError(f"{path!r} is no path below the build context")
    if path == "Dockerfile":
        raise ValueError("'Dockerfile' is given on its own, not among the context's files")


def build_inputs(
    *,
    dockerfile: str,
    context: Mapping[str, str],
    build_arguments: Mapping[str, str],
    base_images: Mapping[str, str],
    revision: str,
    target: str,
    platform: str,
    build_secrets: Collection[str] = (),
) -> dict[str, str]:
    """Return everything that decides what a build gives, by name.

    Long things stand in it by digest, short ones by value, so that a difference can be named.

    Args:
        dockerfile: Text of the Dockerfile.
        context: Text of every file of the build context, by relative path.
        build_arguments: Build arguments that can change the result. How many jobs compile is none of them.
        base_images: Digest of each base image by name.
        revision: Commit of the application.
        target: Stage to build; empty for the last.
        platform: Such as ``linux/amd64``.
        build_secrets: Ids of the secrets that steps may read. Their values are none of it: a new password gives the
            same image.
    """
    inputs = {"dockerfile": digest_of(dockerfile), "platform": platform, "revision": revision, "target": target}
    inputs.update({f"context/{path}": digest_of(text) for path, text in context.items()})
    inputs.update({f"build-argument/{name}": value for name, value in build_arguments.items()})
    inputs.update({f"base-image/{name}": digest for name, digest in base_images.items()})
    inputs.update({f"build-secret/{name}": "id only" for name in build_secrets})
    return dict(sorted(inputs.items()))


def build_key(inputs: Mapping[str, str]) -> str:
    """Return the key of these inputs: 64 hexadecimal digits."""
    # Canonical JSON: sorted keys and no white space, so that a list of pairs can't be read in two ways.
    canonical = json.dumps(
        {"scheme": SCHEME, "inputs": dict(inputs)}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def changed_inputs(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the names of the inputs that were added, removed or changed, sorted."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
