"""Stand-in for PyTorch: knows its versions and counts the GPUs' device nodes; computes nothing."""

from __future__ import annotations

from . import cuda, distributed, version
from .version import __version__

__all__ = ["__version__", "cuda", "distributed", "version"]
