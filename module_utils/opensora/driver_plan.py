# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What the driver role will do on a host, and what stands in its way: one answer for preflight, check mode and run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora import driver_installation as installation
from ansible.module_utils.opensora.driver_branches import cuda_of
from ansible.module_utils.opensora.driver_configuration import FABRIC_UNITS, find_configuration
from ansible.module_utils.opensora.driver_obstacles import obstacles, reboot_problem, runfile_problem
from ansible.module_utils.opensora.driver_packages import System, find_system
from ansible.module_utils.opensora.driver_planned import DriverPlan
from ansible.module_utils.opensora.driver_settings import (
    branch_problems,
    cuda_problem,
    secure_boot_problem,
    settings_problems,
    system_problem,
    text_of,
)
from ansible.module_utils.opensora.driver_state import DriverWish, version_state
from ansible.module_utils.opensora.gpu_host_problems import driver_problem, driver_problems
from ansible.module_utils.opensora.problems import Problem, describe

if TYPE_CHECKING:
    from collections.abc import Mapping

_DRIVER_LAYERS = ("pci", "firmware", "kernel_module", "userspace", "fabric", "packages", "configuration")
_DRIVER_SUBJECTS = ("driver", "gpu", "fabric", "userspace")
_CHANGING = ("install", "upgrade", "repair_packages", "replace_flavour")


def make_plan(host: Mapping[str, Any], settings: Mapping[str, Any]) -> DriverPlan:
    """Return what the role will do on a host and what stands in its way.

    Args:
        host: Description of the host, as ``gpu_host_info`` returns it.
        settings: The role's variables without their prefix, with ``image_cuda_version`` and ``control_boot_id``.
    """
    driver = host["driver"]
    plan = DriverPlan(action=driver["action"], reason=driver["reason"], source=text_of(settings, "source"))
    problems = settings_problems(settings)
    if problems:
        plan.action = "blocked"
    elif not host["pci_gpu_count"] and settings["missing_gpu"] == "skip":
        plan.skip, plan.action = True, "none"
        plan.reason = "the host has no NVIDIA GPU and nvidia_driver_missing_gpu is skip"
    elif settings["source"] == "preinstalled":
        problems = _adopt(plan, host, settings)
    else:
        problems = _provide(plan, host, settings)
    plan.problems = [problem.as_dict() for problem in problems]
    plan.refusal = "\n".join(describe(problem) for problem in plan.problems if problem["severity"] == "error")
    plan.summary = _summary(plan)
    return plan


def _own_problems(host: Mapping[str, Any]) -> list[Problem]:
    """Return the problems of the host that are the driver's; what else is wrong is another role's matter."""
    return [
        problem
        for problem in driver_problems(host)
        if problem.layer in _DRIVER_LAYERS and problem.code.partition(".")[0] in _DRIVER_SUBJECTS
    ]


def _cuda(host: Mapping[str, Any], settings: Mapping[str, Any], planned: str | None) -> list[Problem]:
    found = cuda_problem(host, settings, planned)
    return [found] if found else []


def _adopt(plan: DriverPlan, host: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Problem]:
    """Verify a driver that somebody else installed; nothing is ever changed."""
    problems = _own_problems(host)
    if plan.action == "repair_packages" and not any(problem.severity == "error" for problem in problems):
        # The driver works; whoever installed it has to mend it before the next boot, which the warning says.
        plan.action = "none"
    if plan.action != "none":
        found = driver_problem(host)
        problems = [found] if found else []
    return _distinct(problems + _cuda(host, settings, None))


def _distinct(problems: list[Problem]) -> list[Problem]:
    return list({problem.code + problem.message: problem for problem in problems}.values())


def _provide(plan: DriverPlan, host: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Problem]:
    """Plan the installation and upkeep of a driver of this role's own."""
    if host["driver"].get("runfile"):
        plan.action, plan.reason = "blocked", "the driver was installed by NVIDIA's runfile"
        return [runfile_problem(host)]
    system = find_system(host["os"])
    if plan.action == "blocked":
        return _blocked(host, system)
    unsupported = system_problem(host, system, plan.source)
    if system is None or unsupported is not None:
        if plan.action in ("none", "reboot"):
            return _finish(plan, host, settings, None)
        return [unsupported] if unsupported else []
    plan.version = text_of(settings, "version")
    plan.branch = installation.wanted_branch(settings, system)
    plan.flavour = installation.chosen_flavour(host, settings, plan.branch)
    _judge_wish(plan, host, settings, system)
    if plan.action in _CHANGING:
        return _change(plan, host, settings, system)
    return _finish(plan, host, settings, system)


def _finish(
    plan: DriverPlan, host: Mapping[str, Any], settings: Mapping[str, Any], system: System | None
) -> list[Problem]:
    """Plan what a driver whose packages are right lacks; one of an unknown system is used as it is."""
    step = _reboot if plan.action == "reboot" else _keep
    return step(plan, host, settings, system)


def _blocked(host: Mapping[str, Any], system: System | None) -> list[Problem]:
    found = driver_problem(host)
    if host["driver"]["layer"] == "firmware" and system is not None:
        found = secure_boot_problem(host, system) or found
    return [found] if found else []


def _judge_wish(plan: DriverPlan, host: Mapping[str, Any], settings: Mapping[str, Any], system: System) -> None:
    """Compare with the role's own settings: the reading only knows what the inventory sets, not their defaults."""
    if plan.action in ("none", "reboot"):
        driver = host["driver"]
        chooses = plan.source == "vendor" or len(system.own_branches) > 1
        wish = DriverWish("vendor" if chooses else plan.source, plan.branch, plan.version, text_of(settings, "flavour"))
        change = version_state(driver["installed"] or driver["on_disk"] or driver["loaded"], wish)
        if change is not None:
            plan.action, plan.reason = change.action, change.reason
    if plan.action == "none":
        missing = installation.missing_packages(plan, host, settings, system)
        if missing:
            plan.action, plan.reason = "install", f"missing: {', '.join(missing)}"
            plan.packages = missing


def _change(plan: DriverPlan, host: Mapping[str, Any], settings: Mapping[str, Any], system: System) -> list[Problem]:
    """Complete a plan that changes packages, or return why it must not be done."""
    partly = plan.packages  # only these are missing; the module stays as it is
    plan.packages = []
    problems = branch_problems(host, settings, system, plan.branch, plan.flavour)
    problems += obstacles(plan, host, settings, system, builds=not partly)
    builds = not partly and (plan.source == "vendor" or system.kind == "debian")
    if builds:
        refused = secure_boot_problem(host, system)
        problems += [refused] if refused else []
    problems += _cuda(host, settings, None if partly else cuda_of(plan.branch))
    if any(problem.severity == "error" for problem in problems):
        return problems
    installation.complete(plan, host, settings, system, partly)
    loaded = host["driver"]["loaded"]
    if plan.action == "repair_packages":
        other = loaded is not None and loaded != host["driver"]["installed"]
    else:
        other = loaded is not None and not partly
    plan.reboot = bool(host["nouveau_loaded"] or other)
    found = find_configuration(host, settings, system, plan.branch)
    plan.files, plan.remove_files, plan.initramfs = found.files, found.remove_files, found.initramfs
    return problems


def _reboot(
    plan: DriverPlan, host: Mapping[str, Any], settings: Mapping[str, Any], system: System | None
) -> list[Problem]:
    refused = reboot_problem(host, settings)
    plan.reboot = refused is None
    if refused:
        return [refused]
    if system is not None and host["driver"]["module_packages"]:
        found = find_configuration(host, settings, system, plan.branch)
        plan.files, plan.remove_files, plan.initramfs = found.files, found.remove_files, found.initramfs
    return []


def _keep(
    plan: DriverPlan, host: Mapping[str, Any], settings: Mapping[str, Any], system: System | None
) -> list[Problem]:
    """Plan what a right driver lacks besides its packages; one that comes from outside of them is only used."""
    cured = set()
    if system is not None and host["driver"]["module_packages"]:
        found = find_configuration(host, settings, system, plan.branch)
        if found:
            plan.action, plan.reason = "configure", "the packages are right, their configuration is not"
            plan.files, plan.remove_files, plan.initramfs = found.files, found.remove_files, found.initramfs
            plan.services, plan.modules = found.services, found.modules
        cured |= {"driver.uvm_absent"} if found.modules else set()
        if any(service["unit"] in FABRIC_UNITS for service in found.services):
            cured |= {"fabric.not_running", "fabric.not_ready", "fabric.subnet_manager_absent"}
    problems = [problem for problem in _own_problems(host) if problem.code not in cured]
    return _distinct(problems + _cuda(host, settings, None))


def _summary(plan: DriverPlan) -> str:
    parts = [f"driver: {plan.action.replace('_', ' ')} ({plan.reason})"]
    if plan.packages and (plan.version or plan.branch):
        parts.append(f"version {plan.version}" if plan.version else f"branch {plan.branch}")
    parts += [f"use the repository {plan.repository['url']}"] if plan.repository else []
    named = {
        "add components": plan.components,
        "remove": plan.unwanted_packages,
        "install": [*plan.prerequisites, *plan.packages],
        "build the module for": plan.build_kernels,
        "write": [file["path"] for file in plan.files],
        "delete": plan.remove_files,
        "rebuild the initial RAM disk": [""] if plan.initramfs else [],
        "load": plan.modules,
        "start": [service["unit"] for service in plan.services],
    }
    parts += [f"{verb} {' '.join(names)}".rstrip() for verb, names in named.items() if names]
    unsure = "only if the module does not load without one" if plan.packages else "no"
    parts.append(f"reboot: {'yes' if plan.reboot else unsure}")
    return "; ".join(parts)
