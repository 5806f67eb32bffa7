# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Read one GPU host from PCI bus to disk into plain data, in two rounds of commands that run at the same time."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora import (
    apt_sources,
    disk,
    docker_engine_state,
    driver_on_disk,
    engine_configuration,
    gpu_fabric,
    host_services,
    kernel_module,
    machine_state,
    nvidia_smi,
    package_manager_state,
    packages,
    pci,
    toolkit_state,
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
from ansible.module_utils.opensora.site_trust_state import describe_site_trust

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible.module_utils.opensora.host_probe import CommandResult, HostProbe
    from ansible.module_utils.opensora.packages import Packages


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


@dataclass
class _Files:
    """What is read from files while the commands run.

    Attributes:
        dpkg_status: Text of dpkg's records; empty where packages are not dpkg's.
        nvlink5: Whether the host manages NVLink 5 switches.
        apt_sources: apt's source entries, and the lines at which apt stops.
        libraries: Version of the driver's libraries.
        driver_files: Files that the driver role keeps.
    """

    dpkg_status: str
    nvlink5: bool
    apt_sources: tuple[list[dict[str, Any]], list[dict[str, Any]]]
    libraries: str | None
    driver_files: dict[str, dict[str, Any] | None]


def _read_files(probe: HostProbe, family: str) -> _Files:
    return _Files(
        dpkg_status="" if family == "redhat" else probe.text("/var/lib/dpkg/status") or "",
        nvlink5=gpu_fabric.has_nvlink5(probe, pci.describe_gpus(pci.read_devices(probe))),
        apt_sources=_sources(probe) if family == "debian" else ([], []),
        libraries=driver_on_disk.library_version(probe),
        driver_files=driver_on_disk.read_driver_files(probe),
    )


def _commands(family: str, kernels: Sequence[str], key: str | None, *, cloud_init: bool) -> dict[str, Sequence[str]]:
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
    commands.update({f"module {kernel}": kernel_module.module_query(kernel) for kernel in kernels})
    if cloud_init:
        commands["cloud_init"] = host_services.CLOUD_INIT_QUERY
    if family == "redhat":
        commands["rpm"] = packages.RPM_QUERY
    if key is not None:
        commands["key"] = machine_state.key_query(key)
    return commands


def _packages(files: _Files, answers: Mapping[str, CommandResult]) -> Packages:
    if "rpm" in answers:
        return packages.parse_rpm_list(answers["rpm"].stdout)
    return packages.parse_dpkg_status(files.dpkg_status)


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
    secure_boot: bool | None,
    key_enrolled: bool | None,
) -> DriverFound:
    bootable = next((kernel for kernel in kernels if not kernel["running"] and kernel["bootable"]), None)
    # The module of the running kernel counts; without one, that of the kernel which the next boot would bring.
    first = kernels[0]["module"] if kernels else None
    on_disk = first or (bootable["module"] if bootable else None)
    loaded, names = kernel_module.read_loaded(probe)
    installed = installed_driver(host_packages)
    lacking = first is not None and bootable is not None and bootable["module"] is None
    return DriverFound(
        gpus=on_bus,
        installed=installed,
        on_disk=on_disk["version"] if on_disk else None,
        on_disk_flavour=on_disk["flavour"] if on_disk else None,
        on_disk_signed=on_disk["signed"] if on_disk else None,
        on_disk_known=modules_known,
        loaded=loaded.version if loaded else None,
        loaded_flavour=loaded.flavour if loaded else None,
        nouveau_loaded="nouveau" in names,
        secure_boot=secure_boot,
        signing_key_enrolled=key_enrolled,
        next_kernel=bootable["release"] if bootable and lacking else None,
        runfile=driver_on_disk.has_uninstaller(probe) and installed.version is None,
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
    family = system["family"]
    releases = kernel_module.kernels_to_look_at(probe, running)
    secure_boot = machine_state.read_secure_boot(probe)
    key = machine_state.signing_key_path(probe, secure_boot)
    cloud_init = host_services.describe_cloud_init(probe)
    ask_cloud_init = cloud_init["installed"] and cloud_init["status"] is None
    commands = _commands(family, releases, key, cloud_init=ask_cloud_init)
    answers, files = probe.run_while(commands, lambda: _read_files(probe, family))
    if ask_cloud_init:
        cloud_init["status"] = host_services.parse_cloud_init(answers["cloud_init"].stdout)
    host_packages = _packages(files, answers)
    services = host_services.parse_units(answers["units"].stdout)
    # Only now: nvidia-smi loads the module where that has not happened yet.
    devices = pci.read_devices(probe)
    on_bus = pci.describe_gpus(devices)
    report = _smi_report(answers)
    gpus = _gpus(probe, report, on_bus) if report else []
    described = {kernel: kernel_module.described(answers[f"module {kernel}"], kernel) for kernel in releases}
    kernels = read_kernels(probe, releases, running, described, host_packages)
    signing_key = machine_state.describe_signing_key(key, answers.get("key"))
    found = _driver_found(
        probe,
        kernels,
        modules_known=any(answers[f"module {kernel}"].ran for kernel in releases),
        on_bus=on_bus,
        host_packages=host_packages,
        secure_boot=secure_boot,
        key_enrolled=signing_key["enrolled"],
    )
    engine = _engine(probe, answers, host_packages, services, sdk_directory)
    sources, unreadable = files.apt_sources
    host: dict[str, Any] = {
        "os": system,
        **machine_state.describe_machine(probe, secure_boot),
        "signing_key": signing_key,
        "kernels": kernels,
        "services": services,
        "nouveau_loaded": found.nouveau_loaded,
        "uvm_available": probe.exists("/dev/nvidia-uvm") or probe.exists("/sys/module/nvidia_uvm"),
        "pci_gpu_count": len(on_bus),
        "pci_gpus": on_bus,
        "gpus": gpus,
        "driver": {
            **_describe_driver(probe, found, kernels, report, DriverWish.from_mapping(wanted)),
            "userspace": files.libraries,
        },
        "driver_files": files.driver_files,
        "persistence": host_services.describe_persistence(services, host_packages, gpus),
        "fabric": gpu_fabric.describe_fabric(
            host_packages,
            services,
            gpus,
            required=gpu_fabric.needs_fabric_manager(probe, devices, nvlink5=files.nvlink5),
            nvlink5=files.nvlink5,
        ),
        "toolkit": toolkit_state.describe_toolkit(probe, host_packages),
        "engine": engine,
        "session": _session(probe, engine),
        "cloud_init": cloud_init,
        "package_manager": package_manager_state.describe_package_manager(
            probe, family, files.dpkg_status, host_packages, answers["locks"]
        ),
        "packages": host_packages,
        "apt_sources": sources,
        "site_trust": describe_site_trust(probe, family),
        "apt_unreadable": unreadable,
        "disk": _disk(probe, engine, paths),
    }
    return {**host, "problems": [problem.as_dict() for problem in find_problems(host, wanted)]}
