"""Versions, as the build for CUDA 12.1 gives them."""

__version__ = "2.4.0+cu121"
cuda = "12.1"
git_version = "stand-in"
hip = None
