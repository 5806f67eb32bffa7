"""Recorded hosts: for each the driver's next action, the engine and the problems, and no others."""

from __future__ import annotations

import os
import shutil
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
    "compose-missing": ("none", "docker", ["toolkit.absent", "engine.compose_missing", "engine.buildx_missing"]),
    "conflicting-apt-entries": ("none", "none", ["apt.conflicting_entries"]),
    "cuda-repository-of-a-point-release": ("none", "none", ["apt.wrong_release"]),
    "daemon-config-duplicate-key": ("none", "docker", ["engine.daemon_config_invalid"]),
    "daemon-config-trailing-comma": ("none", "docker", ["engine.daemon_config_invalid"]),
    "dead-toolkit-list": ("none", "none", ["apt.dead_repository", "apt.dead_repository"]),
    "debian12-tesla-driver": ("none", "none", []),
    "default-runtime-gone": ("none", "docker", ["engine.default_runtime_missing"]),
    "devices-lost-on-reload": ("none", "docker", ["engine.devices_lost_on_reload"]),
    "disk-full": ("install", "none", ["driver.absent", "disk.low_bytes", "disk.low_inodes"]),
    "docker-entry-of-another-release": ("none", "none", ["apt.wrong_release"]),
    "dpkg-interrupted": ("none", "none", ["packages.interrupted"]),
    "engine-stopped": ("none", "docker", ["engine.not_running"]),
    "fabric-in-progress": ("none", "none", ["fabric.not_ready"]),
    "fabric-of-another-version": ("none", "none", ["fabric.version_differs"]),
    "fabric-ready": ("none", "none", []),
    "fabric-stopped": ("none", "none", ["fabric.not_running"]),
    "first-boot-running": ("install", "none", ["driver.absent", "packages.cloud_init_running"]),
    "fresh-debian12": ("install", "none", ["driver.absent"]),
    "fresh-debian13": ("install", "none", ["driver.absent"]),
    "gpu-off-the-bus": ("none", "none", ["gpu.not_shown"]),
    "gpu-requires-reset": ("none", "none", ["gpu.unhealthy"]),
    "gpu-with-audio-and-usb": ("none", "none", []),
    "h100-debian13": ("none", "docker", []),
    "h100-pcie-without-nvswitch": ("none", "none", []),
    "half-configured": ("repair_packages", "none", ["driver.packages_broken"]),
    "headers-missing": ("repair_packages", "none", ["kernel.headers_missing", "driver.packages_broken"]),
    "healthy-with-engine": ("none", "docker", []),
    "hgx-without-fabric": ("none", "none", ["fabric.absent"]),
    "library-mismatch": ("none", "none", ["userspace.version_mismatch"]),
    "loaded-differs": ("reboot", "none", ["driver.loaded_differs"]),
    "mig": ("none", "none", []),
    "mint-derivative": ("blocked", "none", ["gpu.absent"]),
    "next-kernel-without-module": ("repair_packages", "none", ["kernel.headers_missing", "driver.packages_broken"]),
    "no-gpu": ("blocked", "none", ["gpu.absent"]),
    "nouveau": ("reboot", "none", ["driver.nouveau_loaded"]),
    "nouveau-named-by-users-only": ("none", "none", []),
    "nvidia-smi-of-470": ("none", "none", []),
    "nvidia-smi-of-535": ("none", "none", []),
    "nvidia-smi-of-570": ("none", "none", []),
    "nvidia-smi-warns-first": ("none", "none", []),
    "nvlink5-without-subnet-manager": ("none", "none", ["fabric.subnet_manager_absent"]),
    "old-cuda-key": ("none", "none", ["apt.old_key"]),
    "package-half-configured": ("none", "none", ["packages.broken"]),
    "package-lock-held": ("install", "none", ["driver.absent", "packages.lock_held"]),
    "pascal-beside-blackwell": ("blocked", "none", ["gpu.mixed_generations"]),
    "podman-docker": ("none", "podman", ["engine.podman"]),
    "podman-under-its-own-name": ("none", "podman", []),
    "rocky9-healthy": ("none", "none", []),
    "rootless-docker": ("none", "rootless", ["engine.rootless"]),
    "runfile-driver": ("none", "none", ["driver.runfile"]),
    "runfile-of-another-kernel": ("install", "none", ["driver.runfile"]),
    "runtime-not-registered": ("none", "docker", ["engine.runtime_not_registered"]),
    "secure-boot": ("blocked", "none", ["driver.module_not_accepted"]),
    "secure-boot-key-enrolled": ("none", "none", []),
    "session-older-than-its-group": ("none", "docker", ["engine.session_without_group"]),
    "snap-beside-packages": ("none", "docker", ["engine.two_engines"]),
    "snap-docker": ("none", "snap", ["engine.snap"]),
    "stale-cdi": ("none", "docker", ["toolkit.cdi_stale"]),
    "toolkit-absent": ("none", "docker", ["toolkit.absent"]),
    "toolkit-younger-than-engine": ("none", "docker", ["engine.restart_needed"]),
    "two-cdi-specifications": ("none", "docker", ["toolkit.cdi_two_files"]),
    "two-engines-from-packages": ("none", "docker", ["packages.engine_conflict"]),
    "ubuntu-mixed-origins": ("none", "none", ["packages.two_origins"]),
    "ubuntu-signed-modules": ("none", "none", []),
    "unsupported-distribution-in-apt-list": ("none", "none", ["apt.dead_repository"]),
    "uvm-absent": ("none", "none", ["driver.uvm_absent"]),
    "web-page-in-apt-list": ("none", "none", ["apt.dead_repository"]),
    "wrong-flavour": ("replace_flavour", "none", ["driver.wrong_flavour"]),
}

# host: (layer of its first problem, a word of that problem's next action)
ADVICE = {
    "conflicting-apt-entries": ("packages", "package_manager"),
    "cuda-repository-of-a-point-release": ("packages", "package_manager"),
    "daemon-config-trailing-comma": ("engine", "by hand"),
    "dead-toolkit-list": ("packages", "package_manager"),
    "default-runtime-gone": ("engine", "playbooks/engine.yml"),
    "devices-lost-on-reload": ("engine", "CDI"),
    "docker-entry-of-another-release": ("packages", "package_manager"),
    "dpkg-interrupted": ("packages", "dpkg --configure -a"),
    "fabric-in-progress": ("fabric", "Completed"),
    "fabric-of-another-version": ("fabric", "580.159.04"),
    "gpu-off-the-bus": ("kernel_module", "Xid"),
    "gpu-requires-reset": ("kernel_module", "a new driver won't help"),
    "half-configured": ("packages", "reboot does not help"),
    "headers-missing": ("kernel_module", "Install the headers"),
    "hgx-without-fabric": ("fabric", "nvidia-fabricmanager"),
    "library-mismatch": ("userspace", "reboot"),
    "loaded-differs": ("kernel_module", "Reboot"),
    "nouveau": ("kernel_module", "Reboot"),
    "nvlink5-without-subnet-manager": ("fabric", "nvlsm"),
    "old-cuda-key": ("packages", "package_manager"),
    "package-lock-held": ("packages", "Install the driver"),
    "runfile-of-another-kernel": ("kernel_module", "nvidia-uninstall"),
    "runtime-not-registered": ("engine", "playbooks/engine.yml"),
    "secure-boot": ("firmware", "mokutil --import"),
    "session-older-than-its-group": ("engine", "Log in again"),
    "snap-docker": ("engine", "snap remove docker"),
    "stale-cdi": ("toolkit", "nvidia-cdi-refresh"),
    "toolkit-younger-than-engine": ("engine", "systemctl restart docker"),
    "two-engines-from-packages": ("packages", "docker_engine_source"),
    "ubuntu-mixed-origins": ("packages", "one origin"),
    "uvm-absent": ("kernel_module", "nvidia-modprobe"),
    "web-page-in-apt-list": ("packages", "package_manager"),
}


def with_times(folder: Path, copy: Path) -> Path:
    """A checkout keeps no times: a host whose files' times matter names them in `.times`, and is read as a copy."""
    if not (folder / ".times").exists():
        return folder
    shutil.copytree(folder, copy, symlinks=True)
    for line in (folder / ".times").read_text().splitlines():
        path, time = line.rsplit(" ", 1)
        os.utime(copy / path.lstrip("/"), (int(time), int(time)))
    return copy


@pytest.fixture
def read(root: Path, tmp_path: Path) -> Any:
    def read_host(name: str, paths: tuple[str, ...] = (), **wanted: Any) -> dict[str, Any]:
        folder = with_times(root / "tests/fixtures/hosts" / name, tmp_path / name)
        probe = HostProbe(str(folder), command_runner(str(folder), {}, {}, 10.0))
        return read_gpu_host(probe, wanted=wanted, paths=paths, sdk_directory="/opt/opensora-site/docker-sdk")

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
    assert (host["fabric"]["required"], host["fabric"]["installed"], host["fabric"]["states"]) == (False, False, [])
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
    assert host["toolkit"] == {"version": None, "packages": {}, "installed_at": None, "cdi_specs": []}
    assert (host["engine"]["sdk"], host["engine"]["version"], host["engine"]["runtimes"]) == (None, None, [])


def test_half_configured_shows_the_compiler(read: Any) -> None:
    problem = next(p for p in read("half-configured")["problems"] if p["code"] == "driver.packages_broken")
    assert any("too few arguments to function" in line for line in problem["evidence"])
    assert "reboot does not help" in problem["next_action"]


def test_works_now_breaks_at_next_boot(read: Any) -> None:
    problems = read("next-kernel-without-module")["problems"]
    assert {problem["severity"] for problem in problems} == {"warning"}
    assert all("6.8.0-1029-aws" in problem["message"] for problem in problems)


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
    assert (host["fabric"]["required"], host["fabric"]["installed"], host["fabric"]["running"]) == (True, False, False)


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


@pytest.mark.parametrize("name", ADVICE)
def test_first_layer_and_advice(read: Any, name: str) -> None:
    layer, advice = ADVICE[name]
    first = read(name)["problems"][0]
    if name == "package-lock-held":
        assert "24459" in read(name)["problems"][1]["message"]
    assert (first["layer"], advice in first["next_action"]) == (layer, True), first


def test_places_in_the_engines_configuration(read: Any) -> None:
    assert "line 1, column" in read("daemon-config-trailing-comma")["problems"][0]["message"]
    assert "log-opts" in read("daemon-config-duplicate-key")["problems"][0]["message"]


def test_kernels(read: Any) -> None:
    (kernel,) = read("headers-missing")["kernels"]
    assert (kernel["running"], kernel["next_boot"], kernel["bootable"]) == (True, True, True)
    assert (kernel["headers"], kernel["module"]) == (False, None)
    assert kernel["dkms"] == [{"module": "nvidia", "version": "580.159.04", "state": "added"}]
    running, following = read("next-kernel-without-module")["kernels"]
    assert (running["module"] is not None, following["module"], following["next_boot"]) == (True, None, True)


def test_old_and_new_nvidia_smi_give_the_same_facts(read: Any) -> None:
    for branch, version, cuda in (
        ("470", "470.256.02", "11.4"),
        ("535", "535.309.01", "12.2"),
        ("570", "570.172.08", "12.8"),
    ):
        host = read(f"nvidia-smi-of-{branch}")
        (gpu,) = host["gpus"]
        assert (gpu["memory_total_mib"], gpu["architecture"], gpu["healthy"]) == (81559, "Hopper", True)
        assert (host["driver"]["loaded"], host["driver"]["cuda_max"], gpu["persistence_mode"]) == (version, cuda, True)


def test_fabric_states(read: Any) -> None:
    fabric = read("fabric-ready")["fabric"]
    assert (fabric["running"], fabric["package"], fabric["version"]) == (True, "nvidia-fabricmanager-580", "580.159.04")
    assert [entry["state"] for entry in fabric["states"]] == ["Completed", "Completed"]
    assert read("h100-pcie-without-nvswitch")["fabric"]["required"] is False


def test_driver_that_is_too_old_for_the_image(read: Any) -> None:
    codes = [problem["code"] for problem in read("nvidia-smi-of-535", cuda_version="12.8.1")["problems"]]
    assert codes == ["driver.too_old_for_image"]
    assert read("nvidia-smi-of-570", cuda_version="12.8.1")["problems"] == []


def test_wanted_room_and_plugins(read: Any) -> None:
    wanted = {"minimum_free_bytes": 10**15, "minimum_compose_version": "2.30", "minimum_buildx_version": "0.13"}
    problems = {problem["code"]: problem["severity"] for problem in read("healthy-with-engine", **wanted)["problems"]}
    assert problems == {"disk.low_bytes": "error", "engine.compose_too_old": "error"}


def test_components_count_for_the_distributions_driver_only(read: Any) -> None:
    assert [problem["code"] for problem in read("fresh-debian13")["problems"]] == ["driver.absent"]
    codes = [problem["code"] for problem in read("fresh-debian13", driver_source="distribution")["problems"]]
    assert codes == ["driver.absent", "apt.components_missing"]
