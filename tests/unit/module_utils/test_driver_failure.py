"""What is said and cleaned up after an installation that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.opensora.command_runner import command_runner
from ansible.module_utils.opensora.driver_failure import failed_build_problem, leftover_packages
from ansible.module_utils.opensora.gpu_host import read_gpu_host
from ansible.module_utils.opensora.host_probe import HostProbe

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def host_of(root: Path) -> Any:
    def read(name: str) -> dict[str, Any]:
        folder = str(root / "tests/fixtures/hosts" / name)
        probe = HostProbe(folder, command_runner(folder, {}, {}, 10.0))
        return read_gpu_host(probe, wanted={}, paths=[], sdk_directory=None)

    return read


def test_failed_build(host_of: Any) -> None:
    host = host_of("half-configured")
    problem = failed_build_problem(host, "open")
    assert "6.12.117+deb13-amd64" in problem.message
    assert any("too few arguments" in line for line in problem.evidence)
    assert "nvidia_driver_flavour: proprietary" in problem.next_action
    host["driver"]["required_flavour"] = "open"
    assert "nvidia_driver_flavour" not in failed_build_problem(host, "open").next_action


def test_leftovers(host_of: Any) -> None:
    before, after = host_of("fresh-debian13"), host_of("half-configured")
    assert leftover_packages(before, after) == ["nvidia-open-kernel-dkms", "nvidia-smi"]
    # What was broken before goes too, what worked before stays.
    assert leftover_packages(after, after) == ["nvidia-open-kernel-dkms"]
