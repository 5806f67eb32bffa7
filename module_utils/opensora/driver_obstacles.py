# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What on a host stands against changing its driver, found before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.driver_installation import fabric_of, headers_of, own_sources, repository_of
from ansible.module_utils.opensora.driver_packages import System, kernel_series, origins
from ansible.module_utils.opensora.driver_state import is_driver_package
from ansible.module_utils.opensora.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible.module_utils.opensora.driver_planned import DriverPlan


def runfile_problem(host: Mapping[str, Any]) -> Problem:
    """Return the problem of a driver that was installed past the package manager."""
    present = host["driver"]["on_disk"] or host["driver"]["loaded"] or "of an unknown version"
    return Problem(
        layer="packages",
        code="driver.runfile",
        severity="error",
        message=f"Driver {present} was installed by NVIDIA's runfile, and packages would overwrite parts of it",
        next_action="At the host run `nvidia-uninstall`, then run again; or set nvidia_driver_source: preinstalled to "
        "use it as it is.",
        evidence=("/usr/bin/nvidia-uninstall exists and no package brings the driver",),
    )


def reboot_problem(host: Mapping[str, Any], settings: Mapping[str, Any]) -> Problem | None:
    """Return why the host may not be rebooted, or null: it is not wanted, or would take the control node along."""
    same_kernel = bool(host["boot_id"]) and host["boot_id"] == settings.get("control_boot_id")
    if settings.get("reboot") and not same_kernel:
        return None
    return Problem(
        layer="kernel_module",
        code="driver.reboot_needed",
        severity="error",
        message=f"The host needs a reboot: {host['driver']['reason']}; "
        + ("it runs on the control node's own kernel" if same_kernel else "nvidia_driver_reboot is false"),
        next_action="Reboot it yourself and run again."
        if same_kernel
        else "Set nvidia_driver_reboot: true, or reboot it yourself and run again.",
    )


def obstacles(
    plan: DriverPlan, host: Mapping[str, Any], settings: Mapping[str, Any], system: System, *, builds: bool
) -> list[Problem]:
    """Return why packages cannot be installed on this host.

    Args:
        plan: The plan, with source, branch and flavour.
        host: Description of the host.
        settings: The role's settings.
        system: The host's system.
        builds: Whether the kernel module is part of it.
    """
    problems = []
    kernel = host["os"]["kernel"]
    prebuilt = plan.source == "distribution" and system.kind == "ubuntu"
    if plan.source == "distribution" and not own_sources(host):
        problems.append(
            Problem(
                layer="packages",
                code="packages.no_source",
                severity="error",
                message=f"No enabled apt source serves {host['os']['codename']} main of the distribution",
                next_action="Add the distribution's own source, or a mirror of it with the distribution's keyring.",
                evidence=tuple(sorted({source["path"] for source in host["apt_sources"]})),
            )
        )
    if builds and prebuilt and not kernel_series(system, kernel, host["packages"]):
        problems.append(
            Problem(
                layer="kernel_module",
                code="kernel.no_module_package",
                severity="error",
                message=f"The running kernel {kernel} is not Ubuntu's, which has no driver module for it",
                next_action="Boot a kernel of Ubuntu, or set nvidia_driver_source: vendor, which builds the module.",
            )
        )
    if builds and not prebuilt and not headers_of(plan, host, settings, system):
        problems.append(
            Problem(
                layer="kernel_module",
                code="kernel.no_headers_package",
                severity="error",
                message=f"The running kernel {kernel} is not the distribution's, its headers are unknown",
                next_action="Name the package of its headers in nvidia_driver_kernel_headers, or boot a kernel of "
                f"{system.title}.",
            )
        )
    if plan.source == "vendor" and repository_of(host, settings, system) is None:
        machine = host["os"]["arch"]
        problems.append(
            Problem(
                layer="configuration",
                code="vendor.unsupported",
                severity="error",
                message=f"NVIDIA's repository has no driver for the machine {machine}",
                next_action="Take the host out of opensora_hosts; x86_64 and aarch64 are supported.",
            )
        )
    if (
        host["fabric"]["required"]
        and settings.get("fabric_manager", "auto") == "auto"
        and not fabric_of(plan, host, settings, system)
    ):
        problems.append(
            Problem(
                layer="fabric",
                code="fabric.no_package",
                severity="error",
                message=f"The host has NVSwitches, and {system.title} has no package of the fabric manager",
                next_action="Set nvidia_driver_source: vendor; without the fabric manager CUDA fails with error 802.",
            )
        )
    mixed = _other_origin(plan, host, system)
    return [*problems, mixed] if mixed else problems


def _other_origin(plan: DriverPlan, host: Mapping[str, Any], system: System) -> Problem | None:
    """Return the problem of packages of the other maker: their files and dependencies do not fit together."""
    names = [name for name in host["packages"] if is_driver_package(name)]
    found = origins(system, host["packages"], names)
    other = found["distribution" if plan.source == "vendor" else "vendor"]
    if not other or (system.kind == "debian" and plan.source == "vendor"):
        return None  # Debian's own ones are older and of other names: they are removed
    maker = "NVIDIA's repository" if plan.source == "distribution" else "the distribution"
    remove = "apt-get purge " + " ".join(other)
    return Problem(
        layer="packages",
        code="packages.two_origins",
        severity="error",
        message=f"nvidia_driver_source is {plan.source}, and driver packages of {maker} are installed: "
        + ", ".join(other),
        next_action=f"Remove them with `{remove}` and run again, or set nvidia_driver_source: "
        f"{'vendor' if plan.source == 'distribution' else 'distribution'}.",
        evidence=tuple(f"{name} {host['packages'][name]['version']}" for name in other),
    )
