# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Read one GPU host from PCI bus to disk into plain data, in two rounds of commands that run at the same time."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora import (
    apt_sources,
    cdi,
    disk,
    docker_engine_state,
    kernel_module,
    nvidia_smi,
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
from ansible.module_utils.opensora.gpu_host_problems import find_problems, small_gpu_problem
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
_FABRIC_UNIT = "nvidia-fabricmanager.service"
_FABRIC_PACKAGES = ("nvidia-fabricmanager", "nvidia-fabric-manager")


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
    }


def _kernel_release(probe: HostProbe) -> str:
    fallback = platform.release() if str(probe.root) == "/" else ""
    return probe.text("/proc/sys/kernel/osrelease") or fallback


def _machine_name(probe: HostProbe) -> str:
    return platform.machine() if str(probe.root) == "/" else probe.text("/proc/sys/kernel/arch") or "x86_64"


def _sources(probe: HostProbe) -> list[dict[str, Any]]:
    folder = "/etc/apt/sources.list.d"
    paths = ["/etc/apt/sources.list", *(f"{folder}/{name}" for name in probe.names(folder))]
    found = []
    for path in paths:
        text = probe.text(path) if path.endswith((".list", ".sources")) else None
        found += [entry.as_dict() for entry in apt_sources.parse_sources(path, text or "")]
    return found


def _first_commands(probe: HostProbe, system: Mapping[str, Any], kernels: Sequence[str]) -> dict[str, Sequence[str]]:
    commands: dict[str, Sequence[str]] = {
        "smi_xml": nvidia_smi.XML_QUERY,
        "smi_csv": nvidia_smi.CSV_QUERY,
        "docker_version": docker_engine_state.VERSION_QUERY,
        "docker_info": docker_engine_state.INFO_QUERY,
        "docker_compose": docker_engine_state.COMPOSE_QUERY,
        "docker_buildx": docker_engine_state.BUILDX_QUERY,
    }
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
    answers: Mapping[str, CommandResult],
    kernels: Sequence[str],
    *,
    running: str,
    on_bus: Sequence[Mapping[str, Any]],
    host_packages: Packages,
) -> tuple[DriverFound, list[kernel_module.KernelModule]]:
    described = {kernel: kernel_module.described(answers[f"module {kernel}"], kernel) for kernel in kernels}
    bootable = next(
        (kernel for kernel in kernels if kernel != running and probe.exists(f"/boot/vmlinuz-{kernel}")), None
    )
    # The module of the running kernel counts; without one, that of the kernel which the next boot would bring.
    first = described[kernels[0]] if kernels else None
    on_disk = first or (described[bootable] if bootable else None)
    loaded, names = kernel_module.read_loaded(probe)
    enrolled = answers["mok"].stdout if "mok" in answers and answers["mok"].ran else None
    found = DriverFound(
        gpus=on_bus,
        installed=installed_driver(host_packages),
        on_disk=on_disk.version if on_disk else None,
        on_disk_flavour=on_disk.flavour if on_disk else None,
        on_disk_signed=on_disk.signed if on_disk else None,
        on_disk_known=any(answers[f"module {kernel}"].ran for kernel in kernels),
        loaded=loaded.version if loaded else None,
        loaded_flavour=loaded.flavour if loaded else None,
        nouveau_loaded="nouveau" in names,
        secure_boot=read_secure_boot(probe),
        signing_key_enrolled=None if enrolled is None else "is already enrolled" in enrolled,
        next_kernel=bootable if first is not None and bootable is not None and described[bootable] is None else None,
    )
    return found, [module for module in described.values() if module is not None]


def _describe_driver(
    probe: HostProbe,
    found: DriverFound,
    modules: Sequence[kernel_module.KernelModule],
    report: nvidia_smi.SmiReport | None,
    wish: DriverWish,
) -> dict[str, Any]:
    decision = decide(found, wish)
    installed = found.installed
    return {
        "installed": installed.version,
        "on_disk": found.on_disk,
        "loaded": found.loaded,
        "flavour": found.loaded_flavour or found.on_disk_flavour or installed.flavour,
        "cuda_max": report.cuda_version if report else None,
        "action": decision.action,
        "reason": decision.reason,
        "layer": decision.layer,
        "required_flavour": required_flavour(found.gpus),
        "modules": [vars(module) for module in modules],
        "module_packages": list(installed.module_packages),
        "broken_packages": list(installed.broken),
        "held_packages": list(installed.held),
        "build_failures": kernel_module.build_failures(probe) if installed.broken else [],
        "smi_error": report.error if report else None,
    }


def _fabric(probe: HostProbe, devices: Sequence[pci.PciDevice], host_packages: Packages) -> dict[str, Any]:
    required = any(device.is_nvswitch for device in devices) or bool(
        probe.names("/proc/driver/nvidia-nvswitch/devices")
    )
    package = next((host_packages[name] for name in sorted(host_packages) if name.startswith(_FABRIC_PACKAGES)), None)
    running = None
    if required:
        state = probe.run(("systemctl", "is-active", _FABRIC_UNIT))
        running = state.stdout.strip() == "active" if state.ran else None
    return {
        "required": required,
        "installed": package is not None,
        "running": running,
        "version": upstream_version(package["version"]) if package else None,
    }


def _toolkit(probe: HostProbe, host_packages: Packages) -> dict[str, Any]:
    present = {name: host_packages[name]["version"] for name in TOOLKIT_PACKAGES if name in host_packages}
    base = present.get("nvidia-container-toolkit-base") or present.get("nvidia-container-toolkit")
    return {
        "version": upstream_version(base) if base else None,
        "packages": present,
        "cdi_specs": cdi.read_specifications(probe),
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
        wanted: What the inventory wants of the driver; see ``DriverWish``.
        paths: Paths to measure besides the engine's data root.
        sdk_directory: Virtual environment of the Docker SDK, or null.
    """
    os_release = probe.text("/etc/os-release") or probe.text("/usr/lib/os-release") or ""
    running = _kernel_release(probe)
    system = describe_system(os_release, _machine_name(probe), running)
    kernels = kernel_module.kernels_to_look_at(probe, running)
    answers = probe.run_all(_first_commands(probe, system, kernels))
    host_packages = _packages(probe, answers)
    devices = pci.read_devices(probe)
    on_bus = pci.describe_gpus(devices)
    report = _smi_report(answers)
    engine_answers = docker_engine_state.EngineAnswers(
        answers["docker_version"], answers["docker_info"], answers["docker_compose"], answers["docker_buildx"]
    )
    engine = docker_engine_state.describe_engine(
        docker_engine_state.find_kind(probe, engine_answers, host_packages), engine_answers, host_packages
    )
    found, modules = _driver_found(probe, answers, kernels, running=running, on_bus=on_bus, host_packages=host_packages)
    host: dict[str, Any] = {
        "os": system,
        **_machine(probe),
        "nouveau_loaded": found.nouveau_loaded,
        "uvm_available": probe.exists("/dev/nvidia-uvm") or probe.exists("/sys/module/nvidia_uvm"),
        "pci_gpu_count": len(on_bus),
        "pci_gpus": on_bus,
        "gpus": _gpus(probe, report, on_bus) if report else [],
        "driver": _describe_driver(probe, found, modules, report, DriverWish.from_mapping(wanted)),
        "fabric": _fabric(probe, devices, host_packages),
        "toolkit": _toolkit(probe, host_packages),
        "engine": {
            **engine,
            "sdk": docker_engine_state.describe_sdk(probe, sdk_directory) if sdk_directory else None,
        },
        "packages": host_packages,
        "apt_sources": _sources(probe) if system["family"] == "debian" else [],
        "disk": _disk(probe, engine, paths),
    }
    small = small_gpu_problem(host, wanted.get("minimum_memory_mib"))
    problems = find_problems(host) + ([small] if small else [])
    return {**host, "problems": [problem.as_dict() for problem in problems]}
