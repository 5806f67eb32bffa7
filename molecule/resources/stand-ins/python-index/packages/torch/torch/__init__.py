"""Stand-in for PyTorch: knows its versions and counts the GPUs' device nodes; its matrices hold one value."""

from __future__ import annotations

from . import cuda, distributed, version
from .version import __version__

__all__ = ["__version__", "cuda", "distributed", "ones", "version"]


class Filled:
    """A matrix all of whose elements are the same."""

    def __init__(self, value: float, shape: tuple[int, ...]) -> None:
        self.value = value
        self.shape = shape

    def __matmul__(self, other: Filled) -> Filled:
        return Filled(self.value * other.value * self.shape[1], (self.shape[0], other.shape[1]))

    def sum(self) -> Filled:
        return Filled(self.value * self.shape[0] * self.shape[1], ())

    def item(self) -> float:
        return self.value


def ones(shape: tuple[int, ...], *, device: str = "cpu") -> Filled:
    kind, _, index = device.partition(":")
    if kind == "cuda" and int(index or 0) >= cuda.device_count():
        raise RuntimeError("CUDA error: invalid device ordinal")
    return Filled(1.0, shape)
