# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What is known of a base image by its name alone."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible.module_utils.opensora.image_reference import ImageReference, parse_image_reference

SCRATCH = "scratch"
_DISTRIBUTIONS = frozenset({"almalinux", "amazonlinux", "debian", "fedora", "rockylinux", "ubuntu"})
# The environment that images are made with, by what their Dockerfiles and `docker image inspect` show.
_ENVIRONMENTS = {
    "distribution": r"PATH|container|LANG",
    "cuda": r"PATH|LD_LIBRARY_PATH|LIBRARY_PATH|NV\w*|NVIDIA_\w+|CUDA_\w*VERSION|NCCL_VERSION|CUDNN_VERSION",
    "python": r"PATH|LANG|GPG_KEY|PYTHON_\w+",
}
# Tags that their makers move.
_MOVING_TAGS = frozenset({"latest", "nightly", "main", "master", "edge", "dev", "devel", "stable", "rolling"})


@dataclass(frozen=True)
class BaseImage:
    """A base image.

    Attributes:
        reference: What it is called; None when the name depends on something that is not known, or for scratch.
    """

    reference: ImageReference | None

    @property
    def _repository(self) -> str:
        return self.reference.repository if self.reference else ""

    @property
    def family(self) -> str:
        """``distribution``, ``cuda``, ``python``, ``pytorch`` (by its name); empty for every other image."""
        if re.search(r"(^|/)nvidia/cuda$", self._repository):
            return "cuda"
        if "torch" in self._repository:
            return "pytorch"
        name = re.sub(r"^(.*/)?library/", "", self._repository)
        if name in _DISTRIBUTIONS or name == "rockylinux/rockylinux":
            return "distribution"
        return "python" if name == "python" else ""

    @property
    def _is_plain(self) -> bool:
        return self.family in ("cuda", "distribution", "python")

    @property
    def lacks_torch(self) -> bool:
        """Whether the image certainly has no PyTorch."""
        return self._is_plain

    @property
    def lacks_cuda_compiler(self) -> bool:
        """Whether the image certainly has no nvcc: NVIDIA has it in its -devel images alone, PyTorch likewise."""
        if self.family == "cuda" or self._repository == "pytorch/pytorch":
            tag = (self.reference.tag if self.reference else None) or ""
            return bool(re.search(r"-(base|runtime)(-|$)", tag))
        return self.family in ("distribution", "python")

    @property
    def runs_as_root(self) -> bool:
        """Whether the image certainly has no user of its own."""
        return self._is_plain or self._repository in ("pytorch/pytorch", "nvidia/pytorch")

    @property
    def starts_at_root(self) -> bool:
        """Whether the image certainly has no working directory of its own."""
        return self._is_plain

    def defines(self, variable: str) -> bool:
        """Return whether the image may have an environment variable; any image that is not known may.

        Args:
            variable: Name of the variable.
        """
        pattern = _ENVIRONMENTS.get(self.family)
        return pattern is None or bool(re.fullmatch(pattern, variable))

    @property
    def moves(self) -> bool:
        """Whether the name stands for another image tomorrow."""
        reference = self.reference
        return reference is not None and not reference.digest and (reference.tag or "latest") in _MOVING_TAGS


def base_image(name: str | None) -> BaseImage:
    """Return a base image.

    Args:
        name: Name as in FROM with its variables replaced; None when one of them has no known value.
    """
    if not name or name.lower() == SCRATCH:
        return BaseImage(None)
    try:
        return BaseImage(parse_image_reference(name))
    except ValueError:
        return BaseImage(None)
