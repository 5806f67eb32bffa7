# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Complete a plan that changes the driver's packages: which to install, from where, and which to remove."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.apt_sources import AptSource, is_distribution_source, missing_components
from ansible.module_utils.opensora.driver_branches import flavours_of
from ansible.module_utils.opensora.driver_packages import (
    PIN_PATTERNS,
    PackageSet,
    System,
    distribution_packages,
    fabric_packages,
    header_packages,
    kernel_series,
    module_stream,
    origins,
    repository,
    vendor_packages,
)
from ansible.module_utils.opensora.driver_settings import text_of
from ansible.module_utils.opensora.driver_state import (
    installed_driver,
    is_driver_package,
    is_prebuilt,
    wanted_flavour,
)
from ansible.module_utils.opensora.version_number import version_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible.module_utils.opensora.driver_planned import DriverPlan

# Packages that carry the branch in their names: Ubuntu's, Debian's tesla series, the fabric manager up to 580.
_BRANCH_IN_NAME = re.compile(r"-(\d{3})(?=-|$)")
# Helpers that a distribution builds apart from the driver.
_OF_OWN_VERSION = ("nvidia-modprobe", "nvidia-persistenced")
_DEFAULT_URL = "https://developer.download.nvidia.com/compute/cuda/repos/{distribution}/{machine}"


def wanted_branch(settings: Mapping[str, Any], system: System) -> str:
    """Return the branch to install: the distribution's only one, else the wanted one."""
    if settings["source"] == "distribution" and len(system.own_branches) == 1:
        return system.own_branches[0]
    return text_of(settings, "branch") or text_of(settings, "version").split(".")[0]


def chosen_flavour(host: Mapping[str, Any], settings: Mapping[str, Any], branch: str) -> str:
    """Return the kernel module flavour to install: by the wish and the cards, else the one that is there.

    Args:
        host: Description of the host.
        settings: The role's settings.
        branch: Branch to install.
    """
    present = host["driver"]["flavour"]
    free = settings["flavour"] == "auto" and host["driver"]["required_flavour"] is None
    if free and present in flavours_of(branch) and host["driver"]["module_packages"]:
        return str(present)
    return wanted_flavour(host["pci_gpus"], settings["flavour"])


def package_set(plan: DriverPlan, host: Mapping[str, Any], system: System) -> PackageSet:
    """Return the packages of the planned driver, without headers and fabric manager."""
    if plan.source == "vendor":
        return vendor_packages(system, plan.branch, plan.flavour)
    series = kernel_series(system, host["os"]["kernel"], host["packages"])
    return distribution_packages(system, plan.branch, plan.flavour, series)


def fabric_of(plan: DriverPlan, host: Mapping[str, Any], settings: Mapping[str, Any], system: System) -> list[str]:
    """Return the packages of the fabric manager where the host has NVSwitches and the inventory wants it."""
    fabric = host["fabric"]
    if not fabric["required"] or settings.get("fabric_manager", "auto") != "auto":
        return []
    return fabric_packages(system, plan.branch, plan.source, nvlink5=bool(fabric.get("nvlink5")))


def missing_packages(
    plan: DriverPlan, host: Mapping[str, Any], settings: Mapping[str, Any], system: System
) -> list[str]:
    """Return the packages that a driver lacks whose kernel module is right; none where it is not of the source.

    Args:
        plan: The plan, with source, branch and flavour.
        host: Description of the host.
        settings: The role's settings.
        system: The host's system.
    """
    installed = host["driver"]["module_packages"]
    # Either flavour counts: where both drive the cards, the one that is there stays.
    flavours = ("open", "proprietary")
    kept = plan.flavour
    series = kernel_series(system, host["os"]["kernel"], host["packages"])
    for flavour in flavours:
        plan.flavour = flavour
        names = package_set(plan, host, system)
        if set(names.module) & set(installed) and (plan.source == "vendor" or system.kind == "debian" or series):
            break
    else:
        plan.flavour = kept
        return []
    missing = [name for name in names.userspace if name not in host["packages"]]
    wrong = host["fabric"]["version"] != host["driver"]["installed"]
    fabric = [
        name
        for name in fabric_of(plan, host, settings, system)
        if name not in host["packages"] or (wrong and name.startswith("nvidia-fabricmanager"))
    ]
    return missing + fabric


def own_sources(host: Mapping[str, Any]) -> list[AptSource]:
    """Return the enabled apt entries that serve the distribution's own packages."""
    codename = host["os"]["codename"] or ""
    return [
        source
        for source in (AptSource(**entry) for entry in host["apt_sources"])
        if is_distribution_source(source, codename)
    ]


def _kernels(host: Mapping[str, Any]) -> list[str]:
    """Return the kernels that need a module, the running one first."""
    named = [kernel["release"] for kernel in host.get("kernels") or [] if kernel["running"] or kernel["next_boot"]]
    running = host["os"]["kernel"]
    return [running, *(kernel for kernel in named if kernel != running)]


def headers_of(plan: DriverPlan, host: Mapping[str, Any], settings: Mapping[str, Any], system: System) -> list[str]:
    """Return the packages of kernel headers; empty where the modules are built already, or nothing is known."""
    if plan.source == "distribution" and system.kind == "ubuntu":
        return []  # the modules are built already
    return header_packages(system, _kernels(host), host["packages"], settings.get("kernel_headers") or [])


def repository_of(host: Mapping[str, Any], settings: Mapping[str, Any], system: System) -> dict[str, Any] | None:
    """Return the vendor's repository by the role's settings, or null for a machine that has none."""
    return repository(
        system,
        host["os"]["arch"],
        text_of(settings, "repository_url") or _DEFAULT_URL,
        text_of(settings, "repository_key_url"),
        text_of(settings, "repository_key_fingerprint"),
    )


def _unwanted(plan: DriverPlan, host: Mapping[str, Any], system: System, wanted: Sequence[str]) -> list[str]:
    """Return installed packages that conflict with the wanted ones: other flavours, other branches, other makers."""
    ours = [name for name in host["packages"] if is_driver_package(name)]
    modules = [
        name for name in host["driver"]["module_packages"] if name not in wanted and not _of_kernel(name, wanted)
    ]
    branches = []
    if system.manager == "apt":
        for name in ours:
            match = _BRANCH_IN_NAME.search(name)
            unbranched = plan.source == "vendor" and not any(_BRANCH_IN_NAME.search(other) for other in wanted)
            if match and name not in wanted and (match.group(1) != plan.branch or unbranched):
                branches.append(name)
    fabric = [
        name for name in ours if name.startswith("nvidia-fabricmanager") and name not in wanted and _has_fabric(wanted)
    ]
    makers: list[str] = []
    if plan.source == "vendor":
        makers = origins(system, host["packages"], ours)["distribution"]
    return sorted({*modules, *branches, *fabric, *makers} - set(wanted))


def _has_fabric(wanted: Sequence[str]) -> bool:
    return any(name.startswith("nvidia-fabricmanager") for name in wanted)


def _of_kernel(name: str, wanted: Sequence[str]) -> bool:
    """Say whether a prebuilt module of one kernel belongs to a wanted package that brings it."""
    if not is_prebuilt(name):
        return False
    return any(is_prebuilt(other) and _series(other) == _series(name) for other in wanted)


def _series(name: str) -> str:
    match = re.match(r"^linux-(?:modules|objects)-nvidia-(\d+(?:-server)?(?:-open)?)-", name)
    return match.group(1) if match else name


def complete(
    plan: DriverPlan, host: Mapping[str, Any], settings: Mapping[str, Any], system: System, partly: Sequence[str]
) -> None:
    """Fill in packages, repository, pin and what the repository has to offer.

    Args:
        plan: The plan, with action, source, branch, version and flavour.
        host: Description of the host.
        settings: The role's settings.
        system: The host's system.
        partly: Packages that alone are missing; empty for the whole driver.
    """
    fabric = fabric_of(plan, host, settings, system)
    names = package_set(plan, host, system)
    driver_names = list(partly) or [*names.module, *names.userspace, *fabric]
    if not partly:
        plan.header_packages = headers_of(plan, host, settings, system)
        plan.unwanted_packages = _unwanted(plan, host, system, driver_names)
        plan.build_kernels = _kernels_to_build(plan, host)
    plan.packages = [*plan.header_packages, *driver_names]
    version = plan.version or _version_to_meet(host, partly)
    if plan.source == "vendor":
        plan.pin = {"packages": list(PIN_PATTERNS), "version": version or plan.branch}
        plan.version = version
        plan.repository = repository_of(host, settings, system)
        plan.module_stream = "" if partly else module_stream(system, plan.branch, plan.flavour)
    elif plan.version:
        own_version = [name for name in driver_names if name not in _OF_OWN_VERSION and not is_prebuilt(name)]
        plan.pin = {"packages": own_version, "version": plan.version}
    if plan.repository:
        _complete_from_vendor(plan, driver_names)
    if plan.version and system.manager == "apt" and text_of(settings, "version"):
        plan.hold = [name for name in driver_names if is_driver_package(name) and not is_prebuilt(name)]
    plan.components = _components(plan, host, system, fabric)
    if system.kind == "redhat" and "dkms" not in host["packages"] and host["os"]["id"] != "rhel":
        plan.prerequisites = ["epel-release"]  # RHEL itself has no package of it, its users enable it by hand


def _version_to_meet(host: Mapping[str, Any], partly: Sequence[str]) -> str:
    """Return the exact version that added packages have to be of, or the halves of a mixed driver; empty for any."""
    installed = installed_driver(host["packages"])
    if partly:
        return installed.version or ""
    versions = [version for version in (installed.version, installed.userspace) if version]
    mixed = len(set(versions)) > 1 and len({version.partition(".")[0] for version in versions}) == 1
    return max(versions, key=version_key) if mixed else ""


def _complete_from_vendor(plan: DriverPlan, names: Sequence[str]) -> None:
    if plan.repository is None:
        return
    url = plan.repository["url"]
    first = "InRelease" if plan.repository["manager"] == "apt" else "repodata/repomd.xml"
    plan.index = {"url": url, "packages": list(names), "version": plan.version or plan.branch}
    plan.urls = [
        {"variable": "nvidia_driver_repository_url", "url": f"{url}/{first}"},
        {"variable": "nvidia_driver_repository_key_url", "url": plan.repository["key_url"]},
    ]


def _kernels_to_build(plan: DriverPlan, host: Mapping[str, Any]) -> list[str]:
    """Return the kernels without their module although the packages are there, and whose headers will be, too."""
    if plan.action != "repair_packages" or host["driver"]["broken_packages"]:
        return []
    return [
        kernel["release"]
        for kernel in host.get("kernels") or []
        if (kernel["running"] or kernel["next_boot"])
        and (kernel["headers"] or any(name.endswith(f"-{kernel['release']}") for name in plan.header_packages))
        and _to_build(kernel["module"], host)
    ]


def _to_build(module: Mapping[str, Any] | None, host: Mapping[str, Any]) -> bool:
    if module is None or module["version"] != host["driver"]["installed"]:
        return True
    return bool(host["secure_boot"]) and module["signed"] is False


def _components(plan: DriverPlan, host: Mapping[str, Any], system: System, fabric: Sequence[str]) -> list[str]:
    if system.manager != "apt":
        return []
    wanted = list(system.components)
    if plan.source == "vendor":
        wanted = ["contrib"] if system.kind == "debian" else []  # helpers that NVIDIA's packages depend on
    elif system.kind == "ubuntu" and (fabric or plan.branch == "615"):
        wanted.append("multiverse")
    lacking = {name for source in own_sources(host) for name in missing_components(source, wanted)}
    return [name for name in wanted if name in lacking]
