"""Every check of a described host: one fault that it names, and healthy neighbours at which it stays silent."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from ansible.module_utils.opensora.command_runner import command_runner
from ansible.module_utils.opensora.gpu_host import read_gpu_host
from ansible.module_utils.opensora.gpu_host_problems import driver_problem, driver_problems, find_problems
from ansible.module_utils.opensora.host_probe import HostProbe
from ansible.module_utils.opensora.problems import Layer

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTS = Path(__file__).resolve().parents[2] / "fixtures/hosts"


def read(name: str) -> dict[str, Any]:
    folder = str(HOSTS / name)
    return read_gpu_host(
        HostProbe(folder, command_runner(folder, {}, {}, 10.0)), wanted={}, paths=(), sdk_directory=None
    )


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    """A healthy host with driver, toolkit and engine."""
    return read("h100-debian13")


def changed(host: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a copy with values replaced; names are joined by slashes, numbers are positions in lists."""
    result = copy.deepcopy(host)
    for path, value in changes.items():
        *parents, last = path.split("/")
        place: Any = result
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place[part]
        if isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value
    return result


def codes(host: dict[str, Any], **wanted: Any) -> list[str]:
    return [problem.code for problem in find_problems(host, wanted)]


CARD = {"pci_bus_id": "0000:00:06.0", "state": "Completed", "status": "Success"}
SWITCHES = {
    "fabric/required": True,
    "fabric/installed": True,
    "fabric/running": True,
    "fabric/version": "580.159.04",
    "fabric/states": [CARD],
}
SUBNET = {"required": True, "installed": True, "running": True}
UNPACKED = {"version": "5:29.7.2", "status": "iU"}
INSTALLED = {"version": "1", "status": "ii"}
SPECIFICATION = {
    "path": "/run/cdi/nvidia.yaml",
    "kind": "nvidia.com/gpu",
    "version": "0.5.0",
    "devices": ["all"],
    "driver_version": "580.159.04",
    "modified": 1,
}
FORMER = {**SPECIFICATION, "driver_version": "580.1.01"}
KERNEL = {
    "release": "6.12.200",
    "running": False,
    "next_boot": True,
    "bootable": True,
    "headers": False,
    "headers_package": None,
    "module": None,
    "dkms": [],
    "initramfs_modified": None,
}
HOLDER = {"pid": 24459, "command": "unattended-upgr", "path": "/var/lib/dpkg/lock-frontend"}
PERMISSION = {"engine/running": False, "engine/error": "permission denied"}
SESSION = {"user": "deploy", "groups": ["deploy", "sudo"], "docker_group": ["deploy"]}
NO_CDI = {"engine/cdi_enabled": False, "toolkit/cdi_specs": []}
NOT_REGISTERED = {**NO_CDI, "engine/runtimes": ["runc"]}
DISK = {
    "path": "/var/lib/docker",
    "measured_path": "/var/lib",
    "mount": "/",
    "total_bytes": 10**12,
    "free_bytes": 10**11,
    "free_inodes": 10**7,
}
LOW = {**DISK, "free_bytes": 8 * 2**30}
CONTAINERD = {**LOW, "path": "/var/lib/containerd", "mount": "/var"}

# what is changed of a healthy host -> the codes that this gives, in order
TABLE: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    # GPUs
    ({"gpus/0/healthy": False}, ["gpu.unhealthy"]),
    ({"pci_gpus": [{"pci_bus_id": "0000:00:06.0"}, {"pci_bus_id": "0000:00:07.0"}]}, ["gpu.not_shown"]),
    ({"gpus": [], "driver/smi_error": "Unable to determine the device handle"}, ["userspace.no_answer"]),
    ({"gpus": [], "driver/smi_error": "Driver/library version mismatch"}, ["userspace.version_mismatch"]),
    ({"uvm_available": False}, ["driver.uvm_absent"]),
    # kernels
    ({"kernels": [KERNEL]}, ["kernel.headers_missing"]),
    ({"kernels": [{**KERNEL, "headers": True}]}, []),
    ({"kernels": [{**KERNEL, "module": {"version": "580.159.04", "flavour": "open", "signed": True}}]}, []),
    ({"kernels": [KERNEL], "driver/module_packages": ["linux-modules-nvidia-580-open-generic"]}, []),
    # fabric
    (SWITCHES, []),
    ({**SWITCHES, "fabric/installed": False, "fabric/version": None, "fabric/running": False}, ["fabric.absent"]),
    ({**SWITCHES, "fabric/version": "580.1.01"}, ["fabric.version_differs"]),
    ({**SWITCHES, "fabric/running": False}, ["fabric.not_running"]),
    ({**SWITCHES, "fabric/running": None}, []),
    ({**SWITCHES, "fabric/states": [{**CARD, "state": "In Progress"}]}, ["fabric.not_ready"]),
    ({**SWITCHES, "fabric/states": []}, []),
    ({"fabric/states": [{**CARD, "state": "In Progress"}]}, []),
    ({**SWITCHES, "fabric/subnet_manager": SUBNET}, []),
    ({**SWITCHES, "fabric/subnet_manager": {**SUBNET, "running": False}}, ["fabric.subnet_manager_absent"]),
    ({**SWITCHES, "fabric/subnet_manager": {**SUBNET, "installed": False}}, ["fabric.subnet_manager_absent"]),
    # a driver past the package manager
    ({"driver/runfile": True}, ["driver.runfile"]),
    # package manager
    ({"cloud_init": {"installed": True, "status": "running"}}, ["packages.cloud_init_running"]),
    ({"cloud_init": {"installed": True, "status": "done"}}, []),
    ({"cloud_init": {"installed": True, "status": "error"}}, []),
    ({"package_manager/lock_holders": [HOLDER]}, ["packages.lock_held"]),
    ({"package_manager/interrupted": True}, ["packages.interrupted"]),
    # dpkg at work has the same files and passes through the same states.
    ({"package_manager/interrupted": True, "package_manager/lock_holders": [HOLDER]}, ["packages.lock_held"]),
    ({"package_manager/broken": ["vim"], "package_manager/lock_holders": [HOLDER]}, ["packages.lock_held"]),
    ({"package_manager/broken": ["vim"]}, ["packages.broken"]),
    ({"package_manager/held": ["docker-ce"], "driver/held_packages": ["nvidia-driver-cuda"]}, []),
    # two engines
    ({"packages/docker-ce": INSTALLED}, ["packages.engine_conflict"]),
    ({"packages/moby-engine": INSTALLED}, ["packages.engine_conflict"]),
    ({"packages/containerd.io": INSTALLED}, ["packages.engine_conflict"]),
    ({"packages/docker-ce": UNPACKED}, []),
    ({"packages/containerd": INSTALLED, "packages/runc": INSTALLED}, []),
    # toolkit
    ({**NOT_REGISTERED, "toolkit/version": None}, ["toolkit.absent"]),
    ({"toolkit/version": None, "engine/runtimes": ["runc", "nvidia"]}, []),
    ({**NOT_REGISTERED, "toolkit/version": None, "engine/running": False}, ["engine.not_running"]),
    ({"toolkit/cdi_specs": [SPECIFICATION]}, []),
    ({"toolkit/cdi_specs": [FORMER]}, ["toolkit.cdi_stale"]),
    ({"toolkit/cdi_specs": [{**FORMER, "kind": "vendor.com/net"}]}, []),
    ({"toolkit/cdi_specs": [{**FORMER, "driver_version": None}]}, []),
    ({"toolkit/cdi_specs": [SPECIFICATION, {**SPECIFICATION, "path": "/etc/cdi/n.yaml"}]}, ["toolkit.cdi_two_files"]),
    ({"toolkit/cdi_specs": [SPECIFICATION, {**SPECIFICATION, "kind": "vendor.com/net"}]}, []),
    # registration
    (
        {**NOT_REGISTERED, "engine/started_at": 100, "toolkit/installed_at": 200},
        ["engine.restart_needed"],
    ),
    ({**NOT_REGISTERED, "engine/started_at": 200, "toolkit/installed_at": 100}, ["engine.runtime_not_registered"]),
    ({**NOT_REGISTERED, "engine/started_at": None, "toolkit/installed_at": 100}, ["engine.runtime_not_registered"]),
    ({"engine/runtimes": ["runc"], "engine/started_at": 100, "toolkit/installed_at": 200}, []),
    # CDI without a specification gives nobody a GPU.
    ({"engine/runtimes": ["runc"], "toolkit/cdi_specs": []}, ["engine.runtime_not_registered"]),
    ({"engine/started_at": 100, "toolkit/installed_at": 200}, []),
    (NO_CDI, ["engine.devices_lost_on_reload"]),
    ({**NO_CDI, "engine/cgroup_driver": "cgroupfs"}, []),
    ({**NO_CDI, "engine/cgroup_driver": None}, []),
    # engine
    ({"engine/running": False, "engine/error": "Cannot connect"}, ["engine.not_running"]),
    ({"engine/kind": "none", "engine/running": False}, []),
    ({**PERMISSION, "session": SESSION}, ["engine.session_without_group"]),
    ({**PERMISSION, "session": {**SESSION, "docker_group": []}}, ["engine.permission_denied"]),
    ({"engine/daemon_config/error": "line 1, column 3: x"}, ["engine.daemon_config_invalid"]),
    # The engine does not start because of its file: one fault, not two.
    (
        {"engine/daemon_config/error": "line 1, column 3: x", "engine/running": False},
        ["engine.daemon_config_invalid"],
    ),
    ({"engine/runtime_binary_missing": "/usr/bin/nvidia-container-runtime"}, ["engine.default_runtime_missing"]),
    ({"engine/compose": None}, ["engine.compose_missing"]),
    ({"engine/buildx": None}, ["engine.buildx_missing"]),
    ({"engine/kind": "snap"}, ["engine.snap"]),
    ({"engine/kind": "rootless"}, ["engine.rootless"]),
    ({"engine/kind": "podman"}, ["engine.podman"]),
    ({"engine/kind": "podman", "engine/command_paths": []}, []),
    ({"engine/command_paths": ["/usr/bin/docker", "/snap/bin/docker"]}, ["engine.two_engines"]),
    ({"engine/command_paths": ["/usr/bin/docker", "/usr/local/bin/docker"]}, []),
    # room
    ({"disk": []}, []),
    ({"disk": [LOW]}, ["disk.low_bytes"]),
    ({"disk": [{**DISK, "free_inodes": 100}]}, ["disk.low_inodes"]),
    ({"disk": [{**DISK, "free_inodes": None, "free_bytes": None}]}, []),
    ({"disk": [DISK, CONTAINERD]}, ["disk.low_bytes"]),
    ({"disk": [LOW, {**CONTAINERD, "mount": "/"}]}, ["disk.low_bytes"]),
    ({"disk": [DISK, {**LOW, "path": "/srv/videos", "mount": "/srv"}]}, []),
]


@pytest.mark.parametrize(("changes", "expected"), TABLE)
def test_check(recorded: dict[str, Any], changes: dict[str, Any], expected: list[str]) -> None:
    assert codes(changed(recorded, changes)) == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, []),
        ({"cuda_version": "13.0.1"}, []),
        ({"cuda_version": "13.1"}, ["driver.too_old_for_image"]),
        ({"cuda_version": "12.10"}, []),
        ({"minimum_memory_mib": 90000}, ["gpu.too_little_memory"]),
        ({"minimum_memory_mib": 80000}, []),
        ({"minimum_free_bytes": 10**12, "minimum_free_inodes": 10**9}, ["disk.low_bytes", "disk.low_inodes"]),
        ({"minimum_compose_version": "2.26"}, []),
        ({"minimum_compose_version": "2.27"}, ["engine.compose_too_old"]),
        ({"minimum_buildx_version": "0.20"}, ["engine.buildx_too_old"]),
        (dict.fromkeys(("cuda_version", "minimum_free_bytes", "minimum_memory_mib", "minimum_compose_version")), []),
    ],
)
def test_wish(recorded: dict[str, Any], wanted: dict[str, Any], expected: list[str]) -> None:
    assert codes(recorded, **wanted) == expected


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({"disk": [LOW]}, "warning"),
        ({"toolkit/cdi_specs": [FORMER]}, "error"),
        ({"toolkit/cdi_specs": [FORMER], "engine/cdi_enabled": False, "engine/cgroup_driver": "cgroupfs"}, "warning"),
        ({"toolkit/cdi_specs": [SPECIFICATION, {**SPECIFICATION, "path": "/run/cdi/other.yaml"}]}, "error"),
        ({"toolkit/cdi_specs": [SPECIFICATION, {**SPECIFICATION, "path": "/etc/cdi/nvidia.yaml"}]}, "warning"),
        ({"kernels": [KERNEL]}, "warning"),
        ({"driver/runfile": True}, "warning"),
    ],
)
def test_severity(recorded: dict[str, Any], changes: dict[str, Any], severity: str) -> None:
    (problem,) = find_problems(changed(recorded, changes))
    assert problem.severity == severity


def test_former_specification_behind_the_one_in_use_only_warns(recorded: dict[str, Any]) -> None:
    specifications = [{**FORMER, "path": "/etc/cdi/nvidia.yaml"}, SPECIFICATION]
    found = find_problems(changed(recorded, {"toolkit/cdi_specs": specifications}))
    assert [(problem.code, problem.severity) for problem in found] == [
        ("toolkit.cdi_stale", "warning"),
        ("toolkit.cdi_two_files", "warning"),
    ]


def decided(action: str, layer: str, **driver: Any) -> dict[str, Any]:
    values = {"action": action, "layer": layer, "reason": "a reason", **driver}
    return {f"driver/{name}": value for name, value in values.items()}


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        (decided("install", "packages", loaded=None), "driver.absent", "playbooks/driver.yml"),
        (decided("install", "packages", loaded=None, runfile=True), "driver.runfile", "--dkms"),
        (decided("upgrade", "packages"), "driver.version_differs", "wanted version"),
        (decided("replace_flavour", "kernel_module"), "driver.wrong_flavour", "reboot alone does not help"),
        (
            decided("repair_packages", "packages", broken_packages=["nvidia-dkms-580"]),
            "driver.packages_broken",
            "Repair",
        ),
        (
            {
                **decided("repair_packages", "packages", broken_packages=["nvidia-dkms-580"]),
                "package_manager/lock_holders": [HOLDER],
            },
            "driver.packages_broken",
            "Wait until unattended-upgr (process 24459)",
        ),
        (decided("reboot", "kernel_module"), "driver.loaded_differs", "Reboot"),
        (decided("reboot", "kernel_module", loaded=None), "driver.not_loaded", "Reboot"),
        (
            {**decided("reboot", "kernel_module", loaded=None), "nouveau_loaded": True},
            "driver.nouveau_loaded",
            "Reboot",
        ),
        ({**decided("blocked", "pci"), "pci_gpu_count": 0}, "gpu.absent", "nvidia_driver_missing_gpu"),
        (decided("blocked", "pci"), "gpu.mixed_generations", ""),
        (decided("blocked", "firmware"), "driver.module_not_accepted", "mokutil"),
        (decided("blocked", "configuration"), "driver.flavour_impossible", "nvidia_driver_flavour"),
        (decided("blocked", "packages"), "driver.runfile", "nvidia-uninstall"),
    ],
)
def test_driver(recorded: dict[str, Any], changes: dict[str, Any], code: str, word: str) -> None:
    host = changed(recorded, changes)
    problem = driver_problem(host)
    assert problem is not None
    assert problem.code == code
    assert word in problem.next_action
    # A driver at fault is the cause of what containers lack: nothing above it is named as well.
    broken = changed(host, {"driver/loaded": None, "gpus": [], **NOT_REGISTERED})
    assert {found.layer for found in find_problems(broken)} & {"toolkit", "engine"} == set()


def test_driver_as_wanted_is_no_problem(recorded: dict[str, Any]) -> None:
    assert driver_problem(recorded) is None
    assert driver_problems(recorded) == []


def test_held_packages_count_where_the_driver_has_to_change(recorded: dict[str, Any]) -> None:
    held = {"driver/held_packages": ["nvidia-driver-cuda"]}
    assert codes(changed(recorded, {**held, **decided("upgrade", "packages")})) == [
        "driver.version_differs",
        "packages.held",
    ]
    assert codes(changed(recorded, held)) == []


def test_the_deepest_layer_comes_first(recorded: dict[str, Any]) -> None:
    host = changed(
        recorded,
        {
            "disk": [LOW],
            "engine/compose": None,
            "toolkit/cdi_specs": [FORMER],
            "package_manager/broken": ["vim"],
            "uvm_available": False,
            **SWITCHES,
            "fabric/running": False,
        },
    )
    found = find_problems(host, {"minimum_memory_mib": 10**6, "cuda_version": "14.0"})
    layers = [problem.layer for problem in found]
    assert layers == sorted(layers, key=get_args(Layer).index)
    assert layers == [
        "pci",
        "kernel_module",
        "userspace",
        "fabric",
        "packages",
        "toolkit",
        "engine",
        "disk",
    ]


def _leaves(value: Any, path: str = "") -> Iterator[str]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, entry in items:
        yield f"{path}{name}"
        yield from _leaves(entry, f"{path}{name}/")


_SECTIONS = ("driver", "fabric", "toolkit", "engine", "disk", "gpus", "os")
# What every reading has a value for; anything else in these sections may be unknown.
_ALWAYS_KNOWN = {
    *("cdi_specs", "runtimes", "packages", "path", "action", "layer", "reason", "module_packages", "broken_packages"),
    *("held_packages", "build_failures", "lines", "log", "kind", "family", "required", "installed", "command_paths"),
    *("pci_bus_id", "state", "status"),
}
_MAY_BE_ABSENT = ("session", "cloud_init", "package_manager", "signing_key", "persistence", "firewall", "uvm_available")


@pytest.mark.parametrize("name", ["h100-debian13", "next-kernel-without-module", "fabric-in-progress", "no-gpu"])
def test_what_is_unknown_is_tolerated_and_never_shown_as_a_value(name: str) -> None:
    host = read(name)
    leaves = [path for path in _leaves(host) if path.split("/")[0] in _SECTIONS and "/" in path]
    leaves = [path for path in leaves if path.rpartition("/")[2] not in _ALWAYS_KNOWN]
    leaves = [path for path in leaves if not path.rpartition("/")[2].isdigit()]
    assert len(leaves) > 30
    for path in (*_MAY_BE_ABSENT, *leaves):
        problems = find_problems(changed(host, {path: None}), {"minimum_free_bytes": 10**15, "cuda_version": "99.0"})
        text = " ".join(word for p in problems for word in (p.message, p.next_action, *p.evidence))
        assert "None" not in text, path
