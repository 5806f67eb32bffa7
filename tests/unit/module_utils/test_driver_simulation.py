"""What apt would do is read before it does it, and what would harm a host is refused."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.opensora.driver_simulation import (
    SimulatedStep,
    package_specifications,
    parse_simulation,
    simulation_problems,
)

PLAN: dict[str, Any] = {"source": "vendor", "version": "", "branch": "580", "unwanted_packages": [], "pin": None}
GOOD = """\
Reading package lists...
The following packages will be REMOVED:
  nvidia-kernel-dkms
Remv nvidia-kernel-dkms [570.172.08-1] []
Inst nvidia-kernel-open-dkms (580.178.04-1 NVIDIA:stable [amd64])
Inst libcuda1:amd64 [570.172.08-1] (580.178.04-1 NVIDIA:stable [amd64]) []
Inst nvidia-installer-cleanup (20240109+1 Debian:13/stable [amd64])
Inst linux-headers-amd64 (6.12.117-1 Debian:13/stable [amd64])
Inst dkms (3.2.0-1 Debian:13/stable [all])
Conf dkms (3.2.0-1 Debian:13/stable [all])
"""


def test_parse() -> None:
    assert parse_simulation(GOOD)[:3] == [
        SimulatedStep("nvidia-kernel-dkms", "570.172.08-1", ""),
        SimulatedStep("nvidia-kernel-open-dkms", "", "580.178.04-1"),
        SimulatedStep("libcuda1", "570.172.08-1", "580.178.04-1"),
    ]
    assert len(parse_simulation(GOOD)) == 6
    assert parse_simulation("") == []


@pytest.mark.parametrize(
    ("text", "changes", "codes", "named"),
    [
        (GOOD, {}, [], ""),
        ("", {}, [], ""),
        (GOOD, {"version": "580.178.04"}, [], ""),
        (GOOD, {"version": "580.159.04"}, ["packages.other_branch"], "libcuda1 580.178.04-1"),
        (GOOD, {"branch": 595}, ["packages.other_branch"], "nvidia-kernel-open-dkms"),
        (GOOD, {"source": "distribution", "branch": "595"}, [], ""),
        ("Remv docker-ce [5:29.7.2-1]\n", {}, ["packages.would_be_removed"], "docker-ce"),
        ("Purg nvidia-container-toolkit [1.20.0-1]\n", {}, ["packages.would_be_removed"], "nvidia-container-toolkit"),
        ("Remv linux-image-amd64 [6.12.117-1]\n", {}, ["packages.would_be_removed"], "linux-image-amd64"),
        ("Remv bumblebee-nvidia [3.2]\n", {"unwanted_packages": ["bumblebee-nvidia"]}, [], ""),
        ("Remv nvidia-utils-570 [570.1-1]\n", {}, [], ""),
    ],
)
def test_problems(text: str, changes: dict[str, Any], codes: list[str], named: str) -> None:
    problems = simulation_problems(text, {**PLAN, **changes})
    assert [problem.code for problem in problems] == codes
    assert all(named in problem.message for problem in problems)
    assert all(problem.layer == "packages" and problem.evidence for problem in problems)


@pytest.mark.parametrize(
    ("pin", "manager", "expected"),
    [
        (None, "apt", ["linux-headers-amd64", "nvidia-driver-cuda", "dkms", "nvidia-container-toolkit"]),
        (
            {"packages": ["*nvidia*", "libcuda1"], "version": "580"},
            "apt",
            ["linux-headers-amd64", "nvidia-driver-cuda=580.*", "dkms", "nvidia-container-toolkit"],
        ),
        (
            {"packages": ["nvidia-driver-*"], "version": "580.159.04"},
            "apt",
            ["linux-headers-amd64", "nvidia-driver-cuda=580.159.04-*", "dkms", "nvidia-container-toolkit"],
        ),
        (
            {"packages": ["nvidia-driver-*"], "version": "580.159.04"},
            "dnf",
            ["linux-headers-amd64", "nvidia-driver-cuda-580.159.04-*", "dkms", "nvidia-container-toolkit"],
        ),
        (
            {"packages": ["libcuda1"], "version": "580"},
            "apt",
            ["linux-headers-amd64", "nvidia-driver-cuda", "dkms", "nvidia-container-toolkit"],
        ),
    ],
)
def test_specifications(pin: dict[str, Any] | None, manager: str, expected: list[str]) -> None:
    packages = ["linux-headers-amd64", "nvidia-driver-cuda", "dkms", "nvidia-container-toolkit"]
    assert package_specifications({"packages": packages, "pin": pin}, manager) == expected


def test_prebuilt_modules_carry_the_version_of_the_kernel() -> None:
    plan = {"packages": ["linux-modules-nvidia-580-server-open-generic"], "pin": {"packages": ["*"], "version": "580"}}
    assert package_specifications(plan, "apt") == plan["packages"]
