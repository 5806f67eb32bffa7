# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Read one GPU host from PCI bus to disk into plain data, in two rounds of commands that run at the same time."""

from __future__ import annotations

import platform
import re
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora import (
    apt_sources,
    cdi,
    disk,
    docker_engine_state,
    driver_files,
    engine_configuration,
    host_services,
    kernel_module,
    nvidia_smi,
    package_manager_state,
    packages,
    pci,
)
from ansible.module_utils.opensora.driver_state import (
    DriverFound,
    DriverWish,
    decide,
    installed_driver,
    required_flavour,
)
from ansible.module_utils.opensora.gpu_host_problems import find_problems
from ansible.module_utils.opensora.host_kernels import read_kernels
from ansible.module_utils.opensora.os_release import describe_system
from ansible.module_utils.opensora.version_number import upstream_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible.module_utils.opensora.host_probe import CommandResult, HostProbe
    from ansible.module_utils.opensora.packages import Packages

TOOLKIT_PACKAGES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
_SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_DKMS_KEYS = ("/var/lib/shim-signed/mok/MOK.der", "/var/lib/dkms/mok.pub")
_FABRIC_PACKAGES = ("nvidia-fabricmanager", "nvidia-fabric-manager")
_INFINIBAND = "/sys/class/infiniband"
_LIBRARY_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu/nvidia/current",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu/nvidia/current",
    "/usr/lib64",
)
_LIBRARY = re.compile(r"^lib(?:nvidia-ml|cuda)\.so\.(\d{3}\.\d+(?:\.\d+)?)$")
_TOOLKIT_LIST = re.compile(r"^nvidia-container-toolkit-base(:\w+)?\.list$")
_UNINSTALLERS = ("/usr/bin/nvidia-uninstall", "/usr/bin/nvidia-installer")


def read_secure_boot(probe: HostProbe) -> bool | None:
    """Return whether Secure Boot is on; a host without EFI has none, an unreadable variable is unknown."""
    if not probe.exists("/sys/firmware/efi"):
        return False
    value = probe.octets(_SECURE_BOOT)
    # Four bytes of attributes come before the variable's single byte.
    return None if value is None or len(value) < 5 else value[4] == 1  # noqa: PLR2004


def _number(text: str | None) -> float | None:
    try:
        return float((text or "").split()[0])
    except (IndexError, ValueError):
        return None


def _machine(probe: HostProbe) -> dict[str, Any]:
    uptime = _number(probe.text("/proc/uptime"))
    memory = next(
        (
            _number(line[9:])
            for line in (probe.text("/proc/meminfo") or "").splitlines()
            if line.startswith("MemTotal:")
        ),
        None,
    )
    processors = (probe.text("/proc/cpuinfo") or "").count("processor\t")
    return {
        "boot_id": probe.text("/proc/sys/kernel/random/boot_id"),
        "uptime_seconds": None if uptime is None else int(uptime),
        "cpu_count": processors or None,
        "memory_total_bytes": None if memory is None else int(memory) * 1024,
        "secure_boot": read_secure_boot(probe),
        "reboot_required": probe.exists("/run/reboot-required") or probe.exists("/var/run/reboot-required"),
        "firewall": {"ufw_active": _ufw_active(probe.text("/etc/ufw/ufw.conf"))},
    }


def _ufw_active(configuration: str | None) -> bool | None:
    match = re.search(r"(?m)^ENABLED=(\w+)", configuration or "")
    return match.group(1).lower() == "yes" if match else None


def _signing_key(probe: HostProbe, answers: Mapping[str, CommandResult]) -> dict[str, Any]:
    """Return the key that DKMS signs with and whether the firmware knows it; only asked with Secure Boot on."""
    answer = answers.get("mok")
    return {
        "path": next((path for path in _DKMS_KEYS if probe.exists(path)), None),
        "enrolled": "is already enrolled" in answer.stdout if answer is not None and answer.ran else None,
    }


def _kernel_release(probe: HostProbe) -> str:
    fallback = platform.release() if str(probe.root) == "/" else ""
    return probe.text("/proc/sys/kernel/osrelease") or fallback


def _machine_name(probe: HostProbe) -> str:
    return platform.machine() if str(probe.root) == "/" else probe.text("/proc/sys/kernel/arch") or "x86_64"


def _sources(probe: HostProbe) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return apt's source entries, and the lines at which apt stops."""
    folder = "/etc/apt/sources.list.d"
    paths = ["/etc/apt/sources.list", *(f"{folder}/{name}" for name in probe.names(folder))]
    found, unreadable = [], []
    for path in paths:
        content = probe.octets(path) if path.endswith((".list", ".sources")) else None
        text = (content or b"").decode("utf-8", "replace")
        found += [entry.as_dict() for entry in apt_sources.parse_sources(path, text)]
        unreadable += [line.as_dict() for line in apt_sources.unreadable_lines(path, text)]
    return found, unreadable


def _driver_files(probe: HostProbe) -> dict[str, dict[str, Any] | None]:
    """Return text and time of change of each file that the driver role keeps; the text to the last line end."""
    found: dict[str, dict[str, Any] | None] = {}
    for path in driver_files.PATHS:
        content = probe.octets(path)
        found[path] = (
            None if content is None else {"text": content.decode("utf-8", "replace"), "modified": probe.modified(path)}
        )
    return found


def _library_version(probe: HostProbe) -> str | None:
    """Return the version of the driver's libraries on the disk, which their file names carry."""
    versions = [
        match.group(1)
        for folder in _LIBRARY_FOLDERS
        for match in map(_LIBRARY.match, probe.names(folder))
        if match is not None
    ]
    return versions[0] if versions else None


def _first_commands(probe: HostProbe, system: Mapping[str, Any], kernels: Sequence[str]) -> dict[str, Sequence[str]]:
    commands: dict[str, Sequence[str]] = {
        "smi_xml": nvidia_smi.XML_QUERY,
        "smi_csv": nvidia_smi.CSV_QUERY,
        "docker_version": docker_engine_state.VERSION_QUERY,
        "docker_info": docker_engine_state.INFO_QUERY,
        "docker_compose": docker_engine_state.COMPOSE_QUERY,
        "docker_buildx": docker_engine_state.BUILDX_QUERY,
        "units": host_services.UNITS_QUERY,
        "locks": package_manager_state.LOCKS_QUERY,
    }
    if probe.exists("/usr/bin/cloud-init"):
        commands["cloud_init"] = host_services.CLOUD_INIT_QUERY
    commands.update({f"module {kernel}": kernel_module.module_query(kernel) for kernel in kernels})
    if system["family"] == "redhat":
        commands["rpm"] = packages.RPM_QUERY
    if read_secure_boot(probe):
        key = next((path for path in _DKMS_KEYS if probe.exists(path)), None)
        if key is not None:
            commands["mok"] = ("mokutil", "--test-key", key)
    return commands


def _packages(probe: HostProbe, answers: Mapping[str, CommandResult]) -> Packages:
    if "rpm" in answers:
        return packages.parse_rpm_list(answers["rpm"].stdout)
    return packages.parse_dpkg_status(probe.text("/var/lib/dpkg/status") or "")


def _gpus(probe: HostProbe, report: nvidia_smi.SmiReport, on_bus: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    gpus = report.gpus
    if any(gpu["mig"]["enabled"] for gpu in gpus):
        gpus = nvidia_smi.with_mig_devices(gpus, nvidia_smi.parse_mig_list(probe.run(nvidia_smi.LIST_QUERY).stdout))
    architectures = {gpu["pci_bus_id"]: gpu["architecture"] for gpu in on_bus}
    return [{**gpu, "architecture": gpu["architecture"] or architectures.get(gpu["pci_bus_id"])} for gpu in gpus]


def _smi_report(answers: Mapping[str, CommandResult]) -> nvidia_smi.SmiReport | None:
    """Return what nvidia-smi said, or null where the host has none."""
    xml, query = answers["smi_xml"], answers["smi_csv"]
    if xml.timed_out:
        return nvidia_smi.SmiReport(error="nvidia-smi did not answer in time")
    if not xml.ran:
        return None
    report = nvidia_smi.parse_xml(f"{xml.stdout}\n{'' if '<nvidia_smi_log' in xml.stdout else xml.stderr}")
    return nvidia_smi.merge_reports(report, nvidia_smi.parse_csv(query.stdout))


def _driver_found(
    probe: HostProbe,
    kernels: Sequence[dict[str, Any]],
    *,
    modules_known: bool,
    on_bus: Sequence[Mapping[str, Any]],
    host_packages: Packages,
    signing_key: Mapping[str, Any],
) -> DriverFound:
    bootable = next((kernel for kernel in kernels if not kernel["running"] and kernel["bootable"]), None)
    # The module of the running kernel counts; without one, that of the kernel which the next boot would bring.
    first = kernels[0]["module"] if kernels else None
    on_disk = first or (bootable["module"] if bootable else None)
    loaded, names = kernel_module.read_loaded(probe)
    lacking = first is not None and bootable is not None and bootable["module"] is None
    return DriverFound(
        gpus=on_bus,
        installed=installed_driver(host_packages),
        on_disk=on_disk["version"] if on_disk else None,
        on_disk_flavour=on_disk["flavour"] if on_disk else None,
        on_disk_signed=on_disk["signed"] if on_disk else None,
        on_disk_known=modules_known,
        loaded=loaded.version if loaded else None,
        loaded_flavour=loaded.flavour if loaded else None,
        nouveau_loaded="nouveau" in names,
        secure_boot=read_secure_boot(probe),
        signing_key_enrolled=signing_key["enrolled"],
        next_kernel=bootable["release"] if bootable and lacking else None,
        runfile=any(map(probe.exists, _UNINSTALLERS)) and installed_driver(host_packages).version is None,
    )


def _describe_driver(
    probe: HostProbe,
    found: DriverFound,
    kernels: Sequence[dict[str, Any]],
    report: nvidia_smi.SmiReport | None,
    wish: DriverWish,
) -> dict[str, Any]:
    decision = decide(found, wish)
    installed = found.installed
    without_module = bool(installed.module_packages) and any(kernel["module"] is None for kernel in kernels)
    return {
        "installed": installed.version,
        "on_disk": found.on_disk,
        "loaded": found.loaded,
        "flavour": found.loaded_flavour or found.on_disk_flavour or installed.flavour,
        "userspace": _library_version(probe),
        "runfile": found.runfile,
        "cuda_max": report.cuda_version if report else None,
        "action": decision.action,
        "reason": decision.reason,
        "layer": decision.layer,
        "required_flavour": required_flavour(found.gpus),
        "modules": [{**kernel["module"], "kernel": kernel["release"]} for kernel in kernels if kernel["module"]],
        "module_packages": list(installed.module_packages),
        "broken_packages": list(installed.broken),
        "held_packages": list(installed.held),
        "build_failures": kernel_module.build_failures(probe) if installed.broken or without_module else [],
        "smi_error": report.error if report else None,
    }


def _fabric(
    probe: HostProbe,
    devices: Sequence[pci.PciDevice],
    host_packages: Packages,
    services: Mapping[str, Any],
    gpus: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    required = any(device.is_nvswitch for device in devices) or bool(
        probe.names("/proc/driver/nvidia-nvswitch/devices")
    )
    package = next((name for name in sorted(host_packages) if name.startswith(_FABRIC_PACKAGES)), None)
    # The bridges of NVLink 5 are network cards whose vital product data says that they manage switches.
    nvlink5 = any(
        b"SW_MNG" in (probe.octets(f"{_INFINIBAND}/{name}/device/vpd") or b"") for name in probe.names(_INFINIBAND)
    )
    return {
        "required": required,
        "installed": package is not None,
        "running": host_services.is_running(services, host_services.FABRIC) if required else None,
        "version": upstream_version(host_packages[package]["version"]) if package else None,
        "package": package,
        "nvlink5": nvlink5,
        "subnet_manager": {
            "required": nvlink5,
            "installed": "nvlsm" in host_packages,
            "running": host_services.is_running(services, host_services.SUBNET_MANAGER) if nvlink5 else None,
        },
        "states": [
            {"pci_bus_id": gpu["pci_bus_id"], **gpu["fabric"]} for gpu in gpus if required and gpu["fabric"]["state"]
        ],
    }


def _toolkit(probe: HostProbe, host_packages: Packages) -> dict[str, Any]:
    present = {name: host_packages[name]["version"] for name in TOOLKIT_PACKAGES if name in host_packages}
    base = present.get("nvidia-container-toolkit-base") or present.get("nvidia-container-toolkit")
    lists = [name for name in probe.names("/var/lib/dpkg/info") if _TOOLKIT_LIST.match(name)] if base else []
    times = [probe.modified(f"/var/lib/dpkg/info/{name}") for name in lists]
    times += [probe.modified("/usr/bin/nvidia-container-runtime")] if base and not lists else []
    return {
        "version": upstream_version(base) if base else None,
        "packages": present,
        "installed_at": max((time for time in times if time is not None), default=None),
        "cdi_specs": cdi.read_specifications(probe),
    }


def _session(probe: HostProbe, engine: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return who asked the engine, only where that is why it did not answer."""
    if "permission denied" not in (engine["error"] or ""):
        return None
    user, groups = probe.run(("id", "-un")), probe.run(("id", "-Gn"))
    return {
        "user": user.stdout.strip() or None,
        "groups": groups.stdout.split(),
        "docker_group": engine_configuration.docker_group_members(probe.text("/etc/group")),
    }


def _engine(
    probe: HostProbe,
    answers: Mapping[str, CommandResult],
    host_packages: Packages,
    services: Mapping[str, Any],
    sdk_directory: str | None,
) -> dict[str, Any]:
    asked = docker_engine_state.EngineAnswers(
        answers["docker_version"], answers["docker_info"], answers["docker_compose"], answers["docker_buildx"]
    )
    kind = docker_engine_state.find_kind(probe, asked, host_packages)
    config = engine_configuration.read_daemon_config(probe)
    return {
        **docker_engine_state.describe_engine(kind, asked, host_packages),
        "started_at": (services.get(host_services.DOCKER) or {}).get("since"),
        "daemon_config": config,
        "runtime_binary_missing": engine_configuration.missing_default_runtime(probe, config),
        "command_paths": engine_configuration.command_paths(probe),
        "sdk": docker_engine_state.describe_sdk(probe, sdk_directory) if sdk_directory else None,
    }


def _disk(probe: HostProbe, engine: Mapping[str, Any], paths: Sequence[str]) -> list[dict[str, Any]]:
    configured = docker_engine_state.configured_data_root(probe.text("/etc/docker/daemon.json"))
    wanted = [engine["data_root"] or configured or docker_engine_state.DEFAULT_DATA_ROOT]
    if engine["containerd_image_store"]:
        wanted.append(docker_engine_state.CONTAINERD_ROOT)
    wanted += [path for path in paths if path not in wanted]
    pairs = [(path, probe.nearest_existing(path)) for path in dict.fromkeys(wanted)]
    measured = list(dict.fromkeys(existing for _, existing in pairs))
    return disk.describe_disk(pairs, disk.parse_measure(probe.run(disk.measure_command(measured)).stdout, measured))


def read_gpu_host(
    probe: HostProbe, *, wanted: Mapping[str, Any], paths: Sequence[str], sdk_directory: str | None
) -> dict[str, Any]:
    """Return the description of one host, with the problems that it shows.

    Args:
        probe: The host.
        wanted: What the inventory wants: of the driver, see ``DriverWish``; of disk, GPUs and plugins, see
            ``find_problems``.
        paths: Paths to measure besides the engine's data root.
        sdk_directory: Virtual environment of the Docker SDK, or null.
    """
    os_release = probe.text("/etc/os-release") or probe.text("/usr/lib/os-release") or ""
    running = _kernel_release(probe)
    system = describe_system(os_release, _machine_name(probe), running)
    releases = kernel_module.kernels_to_look_at(probe, running)
    answers = probe.run_all(_first_commands(probe, system, releases))
    host_packages = _packages(probe, answers)
    services = host_services.parse_units(answers["units"].stdout) if answers["units"].ran else {}
    devices = pci.read_devices(probe)
    on_bus = pci.describe_gpus(devices)
    report = _smi_report(answers)
    gpus = _gpus(probe, report, on_bus) if report else []
    described = {kernel: kernel_module.described(answers[f"module {kernel}"], kernel) for kernel in releases}
    kernels = read_kernels(probe, releases, running, described, host_packages)
    signing_key = _signing_key(probe, answers)
    found = _driver_found(
        probe,
        kernels,
        modules_known=any(answers[f"module {kernel}"].ran for kernel in releases),
        on_bus=on_bus,
        host_packages=host_packages,
        signing_key=signing_key,
    )
    engine = _engine(probe, answers, host_packages, services, sdk_directory)
    sources, unreadable = _sources(probe) if system["family"] == "debian" else ([], [])
    host: dict[str, Any] = {
        "os": system,
        **_machine(probe),
        "signing_key": signing_key,
        "kernels": kernels,
        "services": services,
        "nouveau_loaded": found.nouveau_loaded,
        "uvm_available": probe.exists("/dev/nvidia-uvm") or probe.exists("/sys/module/nvidia_uvm"),
        "pci_gpu_count": len(on_bus),
        "pci_gpus": on_bus,
        "gpus": gpus,
        "driver": _describe_driver(probe, found, kernels, report, DriverWish.from_mapping(wanted)),
        "driver_files": _driver_files(probe),
        "persistence": host_services.describe_persistence(services, host_packages, gpus),
        "fabric": _fabric(probe, devices, host_packages, services, gpus),
        "toolkit": _toolkit(probe, host_packages),
        "engine": engine,
        "session": _session(probe, engine),
        "cloud_init": host_services.describe_cloud_init(answers.get("cloud_init")),
        "package_manager": package_manager_state.describe_package_manager(
            probe, system["family"], host_packages, answers["locks"]
        ),
        "packages": host_packages,
        "apt_sources": sources,
        "apt_unreadable": unreadable,
        "disk": _disk(probe, engine, paths),
    }
    return {**host, "problems": [problem.as_dict() for problem in find_problems(host, wanted)]}
