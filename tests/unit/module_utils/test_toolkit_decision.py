"""What a host needs so that containers can be given its GPUs, by table."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible.module_utils.opensora.daemon_config import fingerprint
from ansible.module_utils.opensora.toolkit_decision import PACKAGES, decide_toolkit, wanted_devices

GPU = "GPU-11111111-1111-1111-1111-111111111111"
OTHER_GPU = "GPU-22222222-2222-2222-2222-222222222222"
URL = "https://vendor.test/stable/deb/$(ARCH)"
FILE = "/etc/apt/sources.list.d/nvidia-container-toolkit.sources"
SPECIFICATION = {
    "path": "/var/run/cdi/nvidia.yaml",
    "kind": "nvidia.com/gpu",
    "version": "0.5.0",
    "devices": ["0", GPU, "all"],
    "driver_version": "580.159.04",
    "modified": 1,
}
ENGINE_CONFIG = {"runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}}, "features": {"cdi": True}}
SETTINGS = {
    "source": "vendor",
    "version": "1.20.0-1",
    "repository_url": URL,
    "repository_key_url": "https://vendor.test/gpgkey",
    "repository_file": FILE,
    "cdi_directory": "",
    "engine_config": ENGINE_CONFIG,
}
STEADY: dict[str, Any] = {
    "os": {
        "id": "debian",
        "repository_id": "debian",
        "codename": "trixie",
        "name": "Debian 13",
        "arch": "x86_64",
        "deb_arch": "amd64",
    },
    "pci_gpu_count": 1,
    "gpus": [{"index": 0, "uuid": GPU, "mig": {"enabled": False, "devices": []}}],
    "driver": {"loaded": "580.159.04"},
    "toolkit": {"version": "1.20.0", "packages": {}, "cdi_specs": [SPECIFICATION]},
    "engine": {
        "kind": "docker",
        "version": "29.7.2",
        "running": True,
        "runtimes": ["nvidia"],
        "cdi_enabled": True,
        "daemon_config": {"error": None, "fingerprint": fingerprint(ENGINE_CONFIG)},
    },
    "packages": {name: {"version": "1.20.0-1", "status": "hi"} for name in PACKAGES},
    "apt_sources": [],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the steady host with one value replaced; the path is dotted, numbers are list positions."""
    host = copy.deepcopy(STEADY)
    *parents, last = path.split(".")
    target: Any = host
    for part in parents:
        target = target[int(part)] if isinstance(target, list) else target[part]
    if isinstance(target, list):
        target[int(last)] = value
    else:
        target[last] = value
    return host


def codes(problems: list[dict[str, Any]]) -> list[str]:
    return [problem["code"] for problem in problems]


def test_a_host_as_wanted_needs_nothing_and_no_network() -> None:
    plan = decide_toolkit(STEADY, SETTINGS)
    assert (plan.action, plan.cdi, plan.restart) == ("none", "none", False)
    assert (plan.problems, plan.findings, plan.urls, plan.hold) == ([], [], [], [])


@pytest.mark.parametrize(
    ("host", "needed"),
    [
        (STEADY, False),
        (changed("gpus", []) | {"pci_gpu_count": 0}, False),
        (changed("packages", {}), True),
        (changed("toolkit.cdi_specs", []), True),
        (changed("engine.runtimes", []), True),
        (changed("engine.daemon_config.fingerprint", {}), True),
        (changed("engine.daemon_config.error", "not JSON"), True),
        (changed("os.codename", "sid") | {"packages": {}}, True),
    ],
)
def test_the_role_is_entered_only_where_it_has_work(host: dict[str, Any], needed: bool) -> None:
    assert decide_toolkit(host, SETTINGS).as_dict()["needed"] is needed


def test_a_host_without_a_gpu_is_left_alone() -> None:
    host = copy.deepcopy(STEADY)
    host.update(pci_gpu_count=0, gpus=[], packages={})
    assert decide_toolkit(host, SETTINGS).action == "skip"


def test_a_bare_host_gets_four_packages_of_one_version() -> None:
    host = copy.deepcopy(STEADY)
    host.update(packages={}, gpus=[], toolkit={"version": None, "packages": {}, "cdi_specs": []})
    plan = decide_toolkit(host, SETTINGS)
    assert plan.action == "install"
    assert plan.packages == [f"{name}=1.20.0-1*" for name in PACKAGES]
    assert plan.hold == list(PACKAGES)
    assert plan.cdi == "wait"
    assert plan.urls == [
        {
            "variable": "nvidia_container_toolkit_repository_url",
            "url": "https://vendor.test/stable/deb/amd64/InRelease",
        },
        {"variable": "nvidia_container_toolkit_repository_key_url", "url": "https://vendor.test/gpgkey"},
    ]


@pytest.mark.parametrize(
    ("host", "action"),
    [
        (changed("packages.libnvidia-container1", {"version": "1.19.1-1", "status": "hi"}), "upgrade"),
        (changed("packages.libnvidia-container1", {"version": "1.20.0-1", "status": "ii"}), "upgrade"),
        (changed("packages.libnvidia-container1", {"version": "1.20.0-1", "status": "hF"}), "install"),
        (changed("packages.libnvidia-container1", None), "install"),
    ],
)
def test_packages_that_are_not_as_wanted(host: dict[str, Any], action: str) -> None:
    assert decide_toolkit(host, SETTINGS).action == action


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (changed("toolkit.cdi_specs", []), "/var/run/cdi/nvidia.yaml does not exist"),
        (changed("driver.loaded", "580.178.04"), "describes driver 580.159.04, loaded is 580.178.04"),
        (changed("gpus.0.uuid", OTHER_GPU), f"does not list {OTHER_GPU}"),
        (changed("toolkit.cdi_specs.0.devices", ["0", "all"]), f"does not list {GPU}"),
        (changed("toolkit.cdi_specs.0.devices", [GPU, OTHER_GPU]), f"lists {OTHER_GPU}"),
        (changed("toolkit.cdi_specs.0.kind", "vendor.test/gpu"), "does not exist"),
        (changed("gpus.0.mig", {"enabled": True, "devices": [{"uuid": "MIG-1"}]}), "does not list MIG-1"),
    ],
)
def test_a_missing_or_stale_specification_is_generated(host: dict[str, Any], reason: str) -> None:
    plan = decide_toolkit(host, SETTINGS)
    assert plan.cdi == "generate"
    assert reason in plan.cdi_reason
    assert codes(plan.findings) == ["toolkit.cdi_specification"]


@pytest.mark.parametrize(
    "host",
    [
        changed("toolkit.cdi_specs.0.driver_version", None),
        changed("toolkit.cdi_specs.0.path", "/run/cdi/nvidia.yaml"),
        changed("toolkit.cdi_specs.0.path", "/etc/cdi/nvidia.yaml"),
    ],
)
def test_a_specification_that_describes_the_host_is_kept(host: dict[str, Any]) -> None:
    plan = decide_toolkit(host, SETTINGS)
    assert (plan.cdi, plan.problems) == ("none", [])


def test_a_second_specification_is_a_warning_that_stops_nothing() -> None:
    old = {**SPECIFICATION, "path": "/etc/cdi/nvidia.yaml", "driver_version": "550.1.1"}
    plan = decide_toolkit(changed("toolkit.cdi_specs", [old, SPECIFICATION]), SETTINGS)
    assert codes(plan.problems) == ["toolkit.second_cdi_specification"]
    assert "550.1.1" in plan.problems[0]["message"]
    assert (plan.action, plan.cdi) == ("none", "none")


@pytest.mark.parametrize(
    ("host", "restart", "expected"),
    [
        (changed("engine.runtimes", ["runc"]), True, ["engine.runtime_not_registered"]),
        (changed("engine.cdi_enabled", False), True, ["engine.cdi_disabled"]),
        (changed("engine.cdi_enabled", None), False, []),
        (
            changed(
                "engine",
                {"kind": "docker", "version": "24.0.7", "running": True, "runtimes": ["nvidia"], "cdi_enabled": False},
            ),
            False,
            [],
        ),
        (changed("engine", {"kind": "none", "running": False, "runtimes": []}), False, []),
    ],
)
def test_an_engine_that_does_not_know_the_runtime_is_restarted_not_the_driver(
    host: dict[str, Any], restart: bool, expected: list[str]
) -> None:
    plan = decide_toolkit(host, SETTINGS)
    assert plan.restart is restart
    assert codes(plan.findings) == expected
    assert all("driver of the host is not the cause" in finding["message"] for finding in plan.findings)


def test_preinstalled_adopts_and_verifies() -> None:
    settings = {**SETTINGS, "source": "preinstalled"}
    assert decide_toolkit(changed("packages", {}), settings).action == "none"
    assert codes(decide_toolkit(changed("toolkit.version", None), settings).problems) == ["toolkit.missing"]


@pytest.mark.parametrize(
    ("source", "expected"), [("vendor", ["variable.invalid"]), ("preinstalled", ["toolkit.missing"])]
)
def test_a_version_that_is_no_number_is_refused_where_it_counts(source: str, expected: list[str]) -> None:
    host = changed("toolkit.version", None)
    plan = decide_toolkit(host, {**SETTINGS, "source": source, "version": "latest"})
    assert codes(plan.problems) == expected


def test_an_old_toolkit_keeps_its_specification_over_a_reboot() -> None:
    plan = decide_toolkit(changed("toolkit.version", "1.17.8"), {**SETTINGS, "source": "preinstalled"})
    assert plan.cdi_path == "/etc/cdi/nvidia.yaml"
    plan = decide_toolkit(STEADY, {**SETTINGS, "cdi_directory": "/etc/cdi/"})
    assert plan.cdi_path == "/etc/cdi/nvidia.yaml"


def test_an_unsupported_system_and_a_foreign_repository_stop_the_run() -> None:
    host = changed("packages", {})
    host["os"]["codename"] = "sid"
    assert codes(decide_toolkit(host, SETTINGS).problems) == ["system.unsupported"]
    host = changed("packages", {})
    host["apt_sources"] = [
        {
            "path": "/etc/apt/sources.list.d/libnvidia-container.list",
            "uris": ["https://vendor.test/stable/deb/amd64"],
            "suites": ["/"],
            "signed_by": None,
            "enabled": True,
        }
    ]
    assert codes(decide_toolkit(host, SETTINGS).problems) == ["apt.duplicate_repository"]
    plan = decide_toolkit(host, {**SETTINGS, "repair_sources": True})
    assert plan.action == "install"
    assert [problem["severity"] for problem in plan.problems] == ["warning"]


def test_a_gpu_in_mig_mode_is_given_out_by_its_devices() -> None:
    gpus = [{"uuid": "GPU-1", "mig": {"enabled": True, "devices": [{"uuid": "MIG-1"}]}}, {"uuid": "GPU-2", "mig": None}]
    assert wanted_devices(gpus) == ["MIG-1", "GPU-2"]
