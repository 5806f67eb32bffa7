"""Recorded hosts: for each the driver's next action, the engine and the problems, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.opensora.command_runner import command_runner
from ansible.module_utils.opensora.gpu_host import read_gpu_host
from ansible.module_utils.opensora.host_probe import HostProbe

if TYPE_CHECKING:
    from pathlib import Path

# host: (driver's action, engine, codes of the problems)
HOSTS: dict[str, tuple[str, str, list[str]]] = {
    "audio-only": ("blocked", "none", ["gpu.absent"]),
    "compose-missing": ("none", "docker", []),
    "disk-full": ("install", "none", ["driver.absent"]),
    "engine-stopped": ("none", "docker", []),
    "fresh-debian12": ("install", "none", ["driver.absent"]),
    "fresh-debian13": ("install", "none", ["driver.absent"]),
    "h100-debian13": ("none", "docker", []),
    "half-configured": ("repair_packages", "none", ["driver.packages_broken"]),
    "hgx-without-fabric": ("none", "none", ["fabric.absent"]),
    "loaded-differs": ("reboot", "none", ["driver.loaded_differs"]),
    "mig": ("none", "none", []),
    "mint-derivative": ("blocked", "none", ["gpu.absent"]),
    "next-kernel-without-module": ("repair_packages", "none", ["driver.packages_broken"]),
    "no-gpu": ("blocked", "none", ["gpu.absent"]),
    "nouveau": ("reboot", "none", ["driver.nouveau_loaded"]),
    "podman-docker": ("none", "podman", []),
    "rootless-docker": ("none", "rootless", []),
    "runfile-driver": ("none", "none", []),
    "secure-boot": ("blocked", "none", ["driver.module_not_accepted"]),
    "snap-docker": ("none", "snap", ["engine.snap"]),
    "stale-cdi": ("none", "docker", ["toolkit.cdi_stale"]),
    "uvm-absent": ("none", "none", ["driver.uvm_absent"]),
    "wrong-flavour": ("replace_flavour", "none", ["driver.wrong_flavour"]),
}


@pytest.fixture
def read(root: Path) -> Any:
    def read_host(name: str, paths: tuple[str, ...] = ()) -> dict[str, Any]:
        folder = str(root / "tests/fixtures/hosts" / name)
        probe = HostProbe(folder, command_runner(folder, {}, {}, 10.0))
        return read_gpu_host(probe, wanted={}, paths=paths, sdk_directory="/opt/opensora-site/docker-sdk")

    return read_host


def test_every_recorded_host_is_in_the_table(root: Path) -> None:
    assert sorted(folder.name for folder in (root / "tests/fixtures/hosts").iterdir()) == sorted(HOSTS)


@pytest.mark.parametrize("name", HOSTS)
def test_host(read: Any, name: str) -> None:
    action, engine, codes = HOSTS[name]
    host = read(name)
    assert host["driver"]["action"] == action, host["driver"]["reason"]
    assert host["engine"]["kind"] == engine
    assert [problem["code"] for problem in host["problems"]] == codes
    for problem in host["problems"]:
        assert problem["next_action"]
        assert "None" not in " ".join([problem["message"], *problem["evidence"]])


def test_healthy_host(read: Any) -> None:
    host = read("h100-debian13", ("/srv/opensora/ckpts",))
    assert host["os"]["codename"] == "trixie"
    assert host["secure_boot"] is False
    assert (host["cpu_count"], host["uptime_seconds"], host["memory_total_bytes"]) == (2, 86400, 263000000 * 1024)
    assert host["driver"]["flavour"] == "open"
    assert host["driver"]["cuda_max"] == "13.0"
    assert host["gpus"][0]["compute_capability"] == "9.0"
    assert host["pci_gpus"][0]["driver"] == "nvidia"
    assert host["fabric"] == {"required": False, "installed": False, "running": None, "version": None}
    assert host["toolkit"]["version"] == "1.20.0"
    assert len(host["toolkit"]["packages"]) == 4
    # /var/run is a link to /run: one file, listed once.
    assert [spec["devices"][0] for spec in host["toolkit"]["cdi_specs"]] == ["0"]
    engine = host["engine"]
    assert (engine["running"], engine["cdi_enabled"], engine["package"]) == (True, True, "docker.io")
    assert engine["sdk"] == {
        "path": "/opt/opensora-site/docker-sdk",
        "packages": {"docker": "7.2.0", "requests": "2.32.4", "urllib3": "2.5.0", "charset-normalizer": "3.4.3"},
    }
    assert "nvidia-driver-old" not in host["packages"]
    assert [entry["path"] for entry in host["disk"]] == ["/var/lib/docker", "/srv/opensora/ckpts"]
    assert host["disk"][0]["measured_path"] == "/var/lib"
    assert host["disk"][0]["free_bytes"] == 160000000000


def test_bare_host_has_empty_containers_and_nulls(read: Any) -> None:
    host = read("no-gpu")
    assert (host["gpus"], host["pci_gpus"], host["pci_gpu_count"]) == ([], [], 0)
    assert host["driver"]["installed"] is None
    assert host["driver"]["cuda_max"] is None
    assert host["toolkit"] == {"version": None, "packages": {}, "cdi_specs": []}
    assert (host["engine"]["sdk"], host["engine"]["version"], host["engine"]["runtimes"]) == (None, None, [])


def test_half_configured_shows_the_compiler(read: Any) -> None:
    (problem,) = read("half-configured")["problems"]
    assert any("too few arguments to function" in line for line in problem["evidence"])
    assert "reboot does not help" in problem["next_action"]


def test_works_now_breaks_at_next_boot(read: Any) -> None:
    (problem,) = read("next-kernel-without-module")["problems"]
    assert problem["severity"] == "warning"
    assert "6.8.0-1029-aws" in problem["message"]


def test_missing_plugins(read: Any) -> None:
    engine = read("compose-missing")["engine"]
    assert (engine["running"], engine["compose"], engine["buildx"]) == (True, None, None)


def test_stopped_engine_uses_the_configured_data_root(read: Any) -> None:
    host = read("engine-stopped")
    assert (host["engine"]["running"], host["engine"]["package"]) == (False, "docker-ce")
    assert "Cannot connect" in host["engine"]["error"]
    assert host["disk"][0]["path"] == "/data/docker"


def test_fabric(read: Any) -> None:
    host = read("hgx-without-fabric")
    assert (host["pci_gpu_count"], len(host["gpus"])) == (8, 8)
    assert host["fabric"] == {"required": True, "installed": False, "running": False, "version": None}


def test_mig(read: Any) -> None:
    (gpu,) = read("mig")["gpus"]
    assert gpu["mig"]["enabled"] is True
    assert [device["uuid"][:4] for device in gpu["mig"]["devices"]] == ["MIG-", "MIG-"]
    assert gpu["mig"]["devices"][0]["name"] == "3g.40gb"


def test_exhausted_inodes_are_not_unknown(read: Any) -> None:
    assert read("disk-full")["disk"][0]["free_inodes"] == 0


def test_derivative_uses_the_repositories_of_its_origin(read: Any) -> None:
    system = read("mint-derivative")["os"]
    assert (system["repository_id"], system["codename"], system["deb_arch"]) == ("ubuntu", "noble", "arm64")
