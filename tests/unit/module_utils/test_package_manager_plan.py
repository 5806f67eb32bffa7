"""What a host's package manager needs before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.opensora.command_runner import command_runner
from ansible.module_utils.opensora.gpu_host import read_gpu_host
from ansible.module_utils.opensora.host_probe import HostProbe
from ansible.module_utils.opensora.package_manager_plan import make_plan

SETTINGS = {"wait_timeout": 900, "lock_timeout": 600, "repair_sources": True}


@pytest.fixture
def host_of(root: Path) -> Any:
    def read(name: str) -> dict[str, Any]:
        folder = str(root / "tests/fixtures/hosts" / name)
        probe = HostProbe(folder, command_runner(folder, {}, {}, 10.0))
        return read_gpu_host(probe, wanted={}, paths=(), sdk_directory=None)

    return read


@pytest.mark.parametrize(
    ("name", "steps", "reason"),
    [
        ("healthy-with-engine", (False, False, False), ""),
        ("rocky9-healthy", (False, False, False), ""),
        # The driver's own half-configured package is the driver role's.
        ("half-configured", (False, False, False), ""),
        ("package-lock-held", (True, False, False), "unattended-upgr (process 24459)"),
        ("first-boot-running", (True, False, False), "cloud-init is running"),
        ("dpkg-interrupted", (False, True, False), "dpkg was interrupted"),
        ("package-half-configured", (False, True, False), "postfix"),
        ("conflicting-apt-entries", (False, False, True), "docker"),
        ("dead-toolkit-list", (False, False, True), "nvidia-docker"),
        ("web-page-in-apt-list", (False, False, True), "nvidia-container-toolkit.list"),
        ("old-cuda-key", (False, False, True), "7fa2af80"),
    ],
)
def test_plan(host_of: Any, name: str, steps: tuple[bool, bool, bool], reason: str) -> None:
    plan = make_plan(host_of(name), SETTINGS)
    assert (plan.wait, plan.configure, plan.repair) == steps
    assert reason in " ".join(plan.reasons)
    assert bool(plan.reasons) == bool(reason) == plan.needed
    assert [problem for problem in plan.problems if problem["severity"] == "error"] == []


def test_cloud_init_that_is_switched_off_is_not_waited_for(host_of: Any) -> None:
    host = host_of("first-boot-running")
    host["cloud_init"]["status"] = "not run"
    assert make_plan({**host, "uptime_seconds": 20}, SETTINGS).wait
    assert not make_plan({**host, "uptime_seconds": 9000}, SETTINGS).wait


def test_a_kernel_that_waits_for_the_driver_is_left_to_its_role(host_of: Any) -> None:
    kernels = ["linux-headers-6.8.0-1029-aws", "linux-image-6.8.0-1029-aws"]
    host = host_of("half-configured")
    host["package_manager"]["broken"] += kernels
    plan = make_plan(host, SETTINGS)
    assert not plan.configure
    assert set(plan.tolerated) == {*host["driver"]["broken_packages"], *kernels}
    host = host_of("package-half-configured")
    host["package_manager"]["broken"] = kernels
    assert make_plan(host, SETTINGS).configure  # no failed driver explains it


def test_without_repair_the_host_is_refused(host_of: Any) -> None:
    plan = make_plan(host_of("conflicting-apt-entries"), {**SETTINGS, "repair_sources": False})
    assert (plan.repair, plan.reasons) == (False, [])
    assert [problem["severity"] for problem in plan.problems] == ["error"]
    assert any("docker.list" in line for line in plan.problems[0]["evidence"])


def test_times_that_are_none(host_of: Any) -> None:
    plan = make_plan(host_of("healthy-with-engine"), {**SETTINGS, "lock_timeout": "soon"})
    assert "package_manager_lock_timeout is 'soon'" in plan.problems[0]["message"]
    assert make_plan(host_of("healthy-with-engine"), {**SETTINGS, "lock_timeout": "30"}).problems == []
