# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Refuse what the inventory wants of the driver where it cannot be: wrong values, and impossible wishes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.driver_branches import (
    BRANCHES,
    branch_for_cuda,
    flavours_of,
    is_possible,
    known_branches,
    undriven,
)
from ansible.module_utils.opensora.driver_packages import DISTRIBUTION_SYSTEMS, VENDOR_SYSTEMS, System
from ansible.module_utils.opensora.problems import Problem, invalid_value
from ansible.module_utils.opensora.value_syntax import PACKAGE, address_problems
from ansible.module_utils.opensora.version_number import major_minor

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHOICES = {
    "source": ("vendor", "distribution", "preinstalled"),
    "flavour": ("auto", "open", "proprietary"),
    "missing_gpu": ("fail", "skip"),
    "fabric_manager": ("auto", "off"),
}
_SWITCHES = ("reboot", "persistence", "guard_upgrades")


def text_of(settings: Mapping[str, Any], name: str) -> str:
    """Return a setting as text; what is unset or null is empty, and a number typed as such is fine."""
    value = settings.get(name)
    return "" if value is None else str(value).strip()


def settings_problems(settings: Mapping[str, Any]) -> list[Problem]:
    """Return the variables whose values are wrong on any host.

    Args:
        settings: The role's variables without their prefix; ``fabric_manager``, ``persistence``, ``guard_upgrades``,
            ``reboot_at_once`` and the repository's may be absent and then have their defaults.
    """
    problems = []
    for name, allowed in _CHOICES.items():
        value = settings.get(name, "auto" if name == "fabric_manager" else None)
        if value not in allowed:
            problems.append(invalid_value(f"nvidia_driver_{name}", value, f"one of {', '.join(allowed)}"))
    problems += [
        invalid_value(f"nvidia_driver_{name}", settings[name], "true or false")
        for name in _SWITCHES
        if not isinstance(settings.get(name, True), bool)
    ]
    version, branch = text_of(settings, "version"), text_of(settings, "branch")
    if version and not re.fullmatch(r"[0-9]{3}(\.[0-9]+){1,2}", version):
        problems.append(invalid_value("nvidia_driver_version", version, "a full driver version such as 580.159.04"))
    if branch and not re.fullmatch(r"[0-9]{3}", branch):
        problems.append(invalid_value("nvidia_driver_branch", branch, "a driver branch of three digits such as 580"))
    if not re.fullmatch(r"\d+", text_of(settings, "reboot_at_once") or "0"):
        problems.append(
            invalid_value("nvidia_driver_reboot_at_once", settings["reboot_at_once"], "a number of hosts, 0 for all")
        )
    headers = settings.get("kernel_headers") or []
    if not isinstance(headers, list) or not all(isinstance(name, str) and PACKAGE.fullmatch(name) for name in headers):
        problems.append(invalid_value("nvidia_driver_kernel_headers", headers, "a list of package names"))
    if settings.get("source") == "vendor":
        problems += _vendor_problems(settings)
    return problems


def _vendor_problems(settings: Mapping[str, Any]) -> list[Problem]:
    version, branch = text_of(settings, "version"), text_of(settings, "branch")
    problems = []
    if not branch and not version:
        problems.append(invalid_value("nvidia_driver_branch", branch, f"one of {known_branches()}"))
    if re.fullmatch(r"\d{3}", branch) and not is_possible(branch):
        problems.append(
            invalid_value("nvidia_driver_branch", branch, f"a branch that exists; supported are {known_branches()}")
        )
    if branch and re.match(r"\d{3}\.", version) and version.split(".")[0] != branch:
        problems.append(
            invalid_value(
                "nvidia_driver_version",
                version,
                f"a version of nvidia_driver_branch, which is {branch}; set both for another branch",
            )
        )
    for name in ("repository_url", "repository_key_url"):
        url = text_of(settings, name)
        unknown = sorted(set(re.findall(r"\{[^}]*\}", url)) - {"{distribution}", "{machine}"})
        if unknown:
            problems.append(
                invalid_value(
                    f"nvidia_driver_{name}", url, "an address with no other fields than {distribution} and {machine}"
                )
            )
        elif url:
            fields = {"{distribution}": "debian13", "{machine}": "x86_64"}
            allowed = "an address that begins with https:// or http://"
            problems += address_problems(f"nvidia_driver_{name}", url, allowed, fields)
    fingerprint = text_of(settings, "repository_key_fingerprint").replace(" ", "")
    if fingerprint and not re.fullmatch(r"[0-9A-Fa-f]{40}", fingerprint):
        problems.append(
            invalid_value(
                "nvidia_driver_repository_key_fingerprint", fingerprint, "a full fingerprint of 40 hex digits"
            )
        )
    return problems


def system_problem(host: Mapping[str, Any], system: System | None, source: str) -> Problem | None:
    """Return why a source has nothing for the host's system, or null.

    Args:
        host: Description of the host.
        system: Its system, or null for an unknown one.
        source: ``vendor`` or ``distribution``.
    """
    if system is not None and (source == "vendor" or system.own_branches):
        return None
    supported = DISTRIBUTION_SYSTEMS if source == "distribution" else VENDOR_SYSTEMS
    name = host["os"]["name"] or "no known system"
    reason = f"{name} has no packages of the driver itself" if system else f"the host runs {name}"
    advice = "set nvidia_driver_source: vendor" if system else "install the driver yourself and set preinstalled"
    return Problem(
        layer="configuration",
        code=f"{source}.unsupported",
        severity="error",
        message=f"nvidia_driver_source is {source} and {reason}",
        next_action=f"Supported are {supported}; otherwise {advice}.",
    )


def branch_problems(
    host: Mapping[str, Any], settings: Mapping[str, Any], system: System, branch: str, flavour: str
) -> list[Problem]:
    """Return why a branch cannot be installed on the host, and a warning for one that gets no updates any more.

    Args:
        host: Description of the host.
        settings: The role's settings.
        system: The host's system.
        branch: Branch that would be installed.
        flavour: Kernel module flavour that would be installed.
    """
    problems = []
    version = text_of(settings, "version")
    own = system.own_branches
    if settings["source"] == "distribution" and branch not in own:
        problems.append(invalid_value("nvidia_driver_branch", branch, f"of {system.title}'s own: {', '.join(own)}"))
    if settings["source"] == "distribution" and version and version.split(".")[0] != branch:
        which = "nvidia_driver_branch" if len(own) > 1 else f"the only one of {system.title}"
        problems.append(invalid_value("nvidia_driver_version", version, f"of branch {branch}, {which}"))
    unable = undriven(branch, (gpu.get("architecture") for gpu in host["pci_gpus"]))
    if unable:
        cards = ", ".join(
            f"{gpu['pci_bus_id']} {gpu['device_id']} ({gpu['architecture']})"
            for gpu in host["pci_gpus"]
            if gpu.get("architecture") in unable
        )
        fitting = [name for name in BRANCHES if not undriven(name, unable) and BRANCHES[name].supported]
        problems.append(
            Problem(
                layer="configuration",
                code="driver.branch_impossible",
                severity="error",
                message=f"Driver branch {branch} does not drive {cards}",
                next_action=f"Set nvidia_driver_source: vendor and nvidia_driver_branch to one of {', '.join(fitting)}."
                if fitting
                else "No supported branch drives this card; take the host out of opensora_hosts.",
            )
        )
    required = host["driver"]["required_flavour"]
    if required in ("open", "proprietary") and required != flavour:
        problems.append(
            Problem(
                layer="configuration",
                code="driver.flavour_impossible",
                severity="error",
                message=f"Only the {required} kernel module drives the cards of this host, not the {flavour} one",
                next_action="Set nvidia_driver_flavour to auto or to the flavour that these cards need.",
            )
        )
    elif flavour not in flavours_of(branch):
        problems.append(
            Problem(
                layer="configuration",
                code="driver.flavour_impossible",
                severity="error",
                message=f"Driver branch {branch} has no {flavour} kernel module",
                next_action="Set nvidia_driver_flavour: open, or an nvidia_driver_branch up to 615.",
            )
        )
    if settings["source"] == "vendor" and branch in BRANCHES and not BRANCHES[branch].supported:
        problems.append(
            Problem(
                layer="configuration",
                code="driver.branch_ended",
                severity="warning",
                message=f"Driver branch {branch} gets no updates any more, not even against security faults",
                next_action=f"Set nvidia_driver_branch to one of {known_branches()}.",
            )
        )
    return problems


def cuda_problem(host: Mapping[str, Any], settings: Mapping[str, Any], planned: str | None) -> Problem | None:
    """Return the problem of a driver that is too old for the image's CUDA version, or null.

    Args:
        host: Description of the host.
        settings: The role's settings; ``image_cuda_version`` is compared.
        planned: Newest CUDA version of the driver that will be installed; null to judge the one that is there.
    """
    needed = text_of(settings, "image_cuda_version")
    offered = planned or host["driver"]["cuda_max"]
    if not needed or offered is None:
        return None
    try:
        if major_minor(offered) >= major_minor(needed):
            return None
    except ValueError:
        return invalid_value("opensora_image_cuda_version", needed, "a version such as 12.2.2")
    branch = branch_for_cuda(needed)
    driver = "The driver that would be installed" if planned else f"Driver {host['driver']['loaded']}"
    return Problem(
        layer="userspace",
        code="driver.too_old_for_image",
        severity="error",
        message=f"{driver} runs CUDA up to {offered}, the image needs CUDA {needed}",
        next_action=(f"Install driver branch {branch} or newer, or" if branch else "Install a newer driver, or")
        + " choose an older opensora_image_base together with opensora_image_cuda_version.",
    )


def secure_boot_problem(host: Mapping[str, Any], system: System) -> Problem | None:
    """Return why a module that is built on the host would not load, with the steps that change it, or null.

    Args:
        host: Description of the host; Secure Boot is known to be on.
        system: Its system.
    """
    key = host.get("signing_key") or {"path": None, "enrolled": None}
    if not host["secure_boot"] or key["enrolled"]:
        return None
    usual = "/var/lib/shim-signed/mok/MOK.der" if system.kind == "ubuntu" else "/var/lib/dkms/mok.pub"
    path = key["path"] or usual
    make = {
        "ubuntu": "`apt-get install dkms shim-signed && update-secureboot-policy --new-key`",
        "debian": "`apt-get install dkms && dkms generate_mok`",
        "redhat": "`dnf install epel-release && dnf install dkms mokutil && dkms generate_mok`",
    }[system.kind]
    steps = [] if key["path"] else [f"make a key with {make}"]
    steps += [
        f"run `mokutil --import {path}` and choose a password",
        "reboot",
        "on the console choose Enroll MOK, Continue and Yes, and type the password",
        "run this playbook again",
    ]
    state = "is not enrolled" if key["enrolled"] is False else "is not known to be enrolled"
    if key["path"] is None:
        state = "does not exist yet"
    advice = "At the host: " + "; ".join(f"{number}. {step}" for number, step in enumerate(steps, 1)) + "."
    if system.kind == "ubuntu":
        advice = (
            "Better set nvidia_driver_source: distribution, whose modules Canonical signs; no key is needed for them. "
            f"To stay with the vendor's: {advice[0].lower()}{advice[1:]}"
        )
    return Problem(
        layer="firmware",
        code="driver.module_not_accepted",
        severity="error",
        message=f"Secure Boot is on, and the key that signs kernel modules built on this host {state}: the firmware "
        "would refuse the driver",
        next_action=advice,
        evidence=(f"signing key {path}: {state}",),
    )
