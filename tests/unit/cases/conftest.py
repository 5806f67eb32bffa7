"""Read a recorded host the way the module does."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.opensora.command_runner import command_runner
from ansible.module_utils.opensora.gpu_host import read_gpu_host
from ansible.module_utils.opensora.host_probe import HostProbe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Reader = Callable[..., dict[str, Any]]


@pytest.fixture
def read_host(root: Path, tmp_path: Path) -> Reader:
    """Return a function that reads a recorded host, with the times of its files where it has some on record."""

    def read(name: str, **wanted: Any) -> dict[str, Any]:
        folder = root / "tests/fixtures/hosts" / name
        times = folder / ".times"
        if times.exists():
            folder = shutil.copytree(folder, tmp_path / name, symlinks=True, dirs_exist_ok=True)
            for line in times.read_text().splitlines():
                path, _, seconds = line.rpartition(" ")
                os.utime(folder / path.strip("/"), (int(seconds), int(seconds)))
        probe = HostProbe(str(folder), command_runner(str(folder), {}, {}, 10.0))
        return read_gpu_host(probe, wanted=wanted, paths=(), sdk_directory=None)

    return read


@pytest.fixture
def codes_of(read_host: Reader) -> Callable[..., list[str]]:
    """Return a function that reads a recorded host and gives the codes of its problems, in their order."""

    def codes(name: str, **wanted: Any) -> list[str]:
        return [problem["code"] for problem in read_host(name, **wanted)["problems"]]

    return codes
