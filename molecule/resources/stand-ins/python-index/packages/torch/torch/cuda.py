"""torch.cuda by device nodes: what is visible is what the container was given."""

from __future__ import annotations

import os
import re
from pathlib import Path


def _minors() -> list[int]:
    names = [path.name for path in Path("/dev").iterdir()]
    return sorted(int(match.group(1)) for name in names if (match := re.fullmatch(r"nvidia(\d+)", name)))


def device_count() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = len(_minors())
    return count if visible is None else min(count, len([part for part in visible.split(",") if part.strip()]))


def is_available() -> bool:
    return device_count() > 0


def get_arch_list() -> list[str]:
    return ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"] if is_available() else []


def get_device_name(device: int = 0) -> str:
    if device >= device_count():
        raise RuntimeError("No CUDA GPUs are available")
    return "NVIDIA H100 80GB HBM3"


def get_device_capability(device: int = 0) -> tuple[int, int]:
    if device >= device_count():
        raise RuntimeError("No CUDA GPUs are available")
    return (9, 0)


def init() -> None:
    if not is_available():
        raise RuntimeError("No CUDA GPUs are available")
