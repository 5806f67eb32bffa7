"""What the driver role will do on each recorded host, and what it refuses before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.opensora.command_runner import command_runner
from ansible.module_utils.opensora.driver_plan import (
    DriverPlan,
    cuda_problem,
    failed_build_problem,
    header_packages,
    leftover_packages,
    make_plan,
)
from ansible.module_utils.opensora.gpu_host import read_gpu_host
from ansible.module_utils.opensora.host_probe import HostProbe

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS: dict[str, Any] = {
    "source": "preinstalled",
    "branch": "580",
    "version": "",
    "flavour": "auto",
    "missing_gpu": "fail",
    "kernel_headers": [],
    "reboot": True,
    "image_cuda_version": "12.2.2",
    "control_boot_id": "another",
}
DISTRIBUTION = {"source": "distribution"}


@pytest.fixture
def host_of(root: Path) -> Any:
    def read(name: str) -> dict[str, Any]:
        folder = str(root / "tests/fixtures/hosts" / name)
        probe = HostProbe(folder, command_runner(folder, {}, {}, 10.0))
        return read_gpu_host(probe, wanted={}, paths=[], sdk_directory=None)

    return read


def codes(plan: DriverPlan, severity: str = "error") -> list[str]:
    return [problem["code"] for problem in plan.problems if problem["severity"] == severity]


# host, changed settings, action, codes of the errors
TABLE: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("h100-debian13", {}, "none", []),
    ("h100-debian13", DISTRIBUTION, "none", []),
    ("h100-debian13", {"source": "vendor"}, "blocked", ["variable.invalid"]),
    ("h100-debian13", {"source": "nvidia"}, "blocked", ["variable.invalid"]),
    ("h100-debian13", {"flavour": "closed", "missing_gpu": "ignore"}, "blocked", ["variable.invalid"] * 2),
    ("h100-debian13", {"version": "latest"}, "blocked", ["variable.invalid"]),
    ("h100-debian13", {"branch": "five"}, "blocked", ["variable.invalid"]),
    ("h100-debian13", {"image_cuda_version": "13.1"}, "none", ["driver.too_old_for_image"]),
    ("h100-debian13", {"image_cuda_version": "newest"}, "none", ["variable.invalid"]),
    ("h100-debian13", {**DISTRIBUTION, "version": "550.163.01"}, "none", []),
    ("no-gpu", {}, "blocked", ["gpu.absent"]),
    ("no-gpu", DISTRIBUTION, "blocked", ["gpu.absent"]),
    ("no-gpu", {"missing_gpu": "skip"}, "none", []),
    ("audio-only", {"missing_gpu": "skip"}, "none", []),
    ("fresh-debian13", {}, "install", ["driver.absent"]),
    ("fresh-debian13", DISTRIBUTION, "install", []),
    ("fresh-debian13", {**DISTRIBUTION, "version": "580.159.04"}, "install", ["variable.invalid"]),
    ("fresh-debian13", {**DISTRIBUTION, "image_cuda_version": "12.8"}, "install", ["driver.too_old_for_image"]),
    ("fresh-debian12", DISTRIBUTION, "install", []),
    ("fresh-debian12", {**DISTRIBUTION, "image_cuda_version": "12.4"}, "install", ["driver.too_old_for_image"]),
    ("half-configured", {}, "repair_packages", ["driver.packages_broken"]),
    ("half-configured", DISTRIBUTION, "repair_packages", []),
    ("loaded-differs", {}, "reboot", ["driver.loaded_differs"]),
    ("loaded-differs", DISTRIBUTION, "reboot", []),
    ("loaded-differs", {**DISTRIBUTION, "reboot": False}, "reboot", ["driver.reboot_needed"]),
    (
        "loaded-differs",
        {**DISTRIBUTION, "control_boot_id": "11111111-2222-4333-8444-555555555555"},
        "reboot",
        ["driver.reboot_needed"],
    ),
    ("nouveau", {}, "reboot", ["driver.nouveau_loaded"]),
    ("nouveau", DISTRIBUTION, "reboot", []),
    ("next-kernel-without-module", {}, "none", []),
    ("next-kernel-without-module", DISTRIBUTION, "repair_packages", ["distribution.unsupported"]),
    ("wrong-flavour", {}, "replace_flavour", ["driver.wrong_flavour"]),
    ("wrong-flavour", DISTRIBUTION, "replace_flavour", []),
    ("secure-boot", DISTRIBUTION, "blocked", ["driver.module_not_accepted"]),
    ("uvm-absent", {}, "none", ["driver.uvm_absent"]),
    ("hgx-without-fabric", {}, "none", ["fabric.absent"]),
    # Not this role's matter.
    ("snap-docker", {}, "none", []),
    ("stale-cdi", {}, "none", []),
]


@pytest.mark.parametrize(("name", "changes", "action", "errors"), TABLE)
def test_plan(host_of: Any, name: str, changes: dict[str, Any], action: str, errors: list[str]) -> None:
    plan = make_plan(host_of(name), {**SETTINGS, **changes})
    assert (plan.action, codes(plan)) == (action, errors)
    assert bool(plan.refusal) == bool(errors)
    if errors or action in ("none", "reboot", "blocked"):
        assert (plan.packages, plan.components) == ([], [])


def test_skip_leaves_a_host_out(host_of: Any) -> None:
    plan = make_plan(host_of("no-gpu"), {**SETTINGS, "missing_gpu": "skip"})
    assert plan.skip is True
    assert make_plan(host_of("h100-debian13"), {**SETTINGS, "missing_gpu": "skip"}).skip is False


def test_working_driver_that_breaks_later_is_a_warning(host_of: Any) -> None:
    plan = make_plan(host_of("next-kernel-without-module"), SETTINGS)
    assert codes(plan, "warning") == ["driver.packages_broken"]


def test_installation(host_of: Any) -> None:
    plan = make_plan(host_of("fresh-debian13"), {**SETTINGS, **DISTRIBUTION})
    assert plan.flavour == "open"
    assert plan.components == ["contrib", "non-free", "non-free-firmware"]
    assert plan.packages[:3] == ["linux-headers-amd64", "linux-headers-6.12.117+deb13-amd64", "nvidia-open-kernel-dkms"]
    assert plan.unwanted_packages == []
    for word in ("nvidia-smi", "contrib", "only if the module does not load"):
        assert word in plan.summary


def test_installation_of_the_other_flavour(host_of: Any) -> None:
    settings = {**SETTINGS, **DISTRIBUTION, "flavour": "proprietary"}
    plan = make_plan(host_of("half-configured"), settings)
    assert plan.unwanted_packages == ["nvidia-open-kernel-dkms"]
    assert "nvidia-kernel-dkms" in plan.packages


def test_refusal_of_an_unsupported_distribution_names_the_supported(host_of: Any) -> None:
    host = host_of("fresh-debian13")
    host["os"].update(id="ubuntu", major=24, name="Ubuntu 24.04.3 LTS", codename="noble")
    refusal = make_plan(host, {**SETTINGS, **DISTRIBUTION}).refusal
    assert "Ubuntu 24.04.3 LTS" in refusal
    assert "Debian 12 and Debian 13" in refusal


def test_host_without_the_distributions_source(host_of: Any) -> None:
    host = host_of("fresh-debian13")
    host["apt_sources"] = []
    assert codes(make_plan(host, {**SETTINGS, **DISTRIBUTION})) == ["packages.no_source"]


def test_foreign_kernel(host_of: Any) -> None:
    host = host_of("fresh-debian13")
    host["os"]["kernel"] = "6.18.44-custom"
    assert codes(make_plan(host, {**SETTINGS, **DISTRIBUTION})) == ["kernel.no_headers_package"]
    named = {**SETTINGS, **DISTRIBUTION, "kernel_headers": ["linux-headers-custom"]}
    assert make_plan(host, named).packages[0] == "linux-headers-custom"


@pytest.mark.parametrize(
    ("kernel", "packages"),
    [
        ("6.12.117+deb13-cloud-amd64", ["linux-headers-cloud-amd64", "linux-headers-6.12.117+deb13-cloud-amd64"]),
        ("6.1.0-50-amd64", ["linux-headers-amd64", "linux-headers-6.1.0-50-amd64"]),
        ("6.12.9+bpo-rt-arm64", ["linux-headers-rt-arm64", "linux-headers-6.12.9+bpo-rt-arm64"]),
        ("6.8.0-1021-aws", []),
        ("", []),
    ],
)
def test_headers(kernel: str, packages: list[str]) -> None:
    assert header_packages(kernel, []) == packages


@pytest.mark.parametrize(
    ("offered", "needed", "fits"),
    [
        ("12.10", "12.8", True),
        ("12.8", "12.10", False),
        ("12.2", "12.2.2", True),
        ("12.4", "12.8", False),
        ("13.0", "12.8", True),
        (None, "12.8", True),
        ("12.4", "", True),
    ],
)
def test_cuda(offered: str | None, needed: str, fits: bool) -> None:
    host = {"driver": {"cuda_max": offered, "loaded": "550.144.03"}}
    problem = cuda_problem(host, {"image_cuda_version": needed}, None)
    assert (problem is None) is fits
    if needed == "12.8" and problem:
        assert "570" in problem.next_action


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
