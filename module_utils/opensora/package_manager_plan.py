# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What has to be done before the package manager of a host can be used."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.apt_source_conflicts import find_source_problems
from ansible.module_utils.opensora.apt_source_repair import is_repairable
from ansible.module_utils.opensora.host_services import is_in_first_boot
from ansible.module_utils.opensora.problems import invalid_value

if TYPE_CHECKING:
    from collections.abc import Mapping

# A kernel's packages build the driver for that kernel, and stay half configured when the build fails.
_KERNEL_PACKAGE = re.compile(r"^linux-(image|headers|modules)-")


@dataclass
class PackageManagerPlan:
    """What the role will do.

    Attributes:
        wait: Whether somebody else is using the package manager, or cloud-init will.
        configure: Whether an interrupted change has to be finished.
        tolerated: Packages that may stay half configured, because the driver's role repairs them.
        repair: Whether source entries have to be disabled so that apt works.
        reasons: Why, one sentence each.
        problems: What stands in the way, and warnings of what will be disabled.
    """

    wait: bool = False
    configure: bool = False
    tolerated: list[str] = field(default_factory=list)
    repair: bool = False
    reasons: list[str] = field(default_factory=list)
    problems: list[dict[str, Any]] = field(default_factory=list)

    @property
    def needed(self) -> bool:
        """Say whether the role has anything to do, or to refuse."""
        return bool(self.reasons) or any(problem["severity"] == "error" for problem in self.problems)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain data, with ``needed``."""
        return {**asdict(self), "needed": self.needed}


def make_plan(host: Mapping[str, Any], settings: Mapping[str, Any]) -> PackageManagerPlan:
    """Return what the role will do on a host.

    Args:
        host: Description of the host, as ``gpu_host_info`` returns it.
        settings: The role's variables without their prefix.
    """
    plan = PackageManagerPlan()
    for name in ("wait_timeout", "lock_timeout"):
        if not str(settings[name]).isdigit():
            plan.problems.append(
                invalid_value(f"package_manager_{name}", settings[name], "a whole number of seconds, from 0").as_dict()
            )
    state, first_boot = host["package_manager"], host["cloud_init"]["status"]
    holders = state["lock_holders"]
    in_first_boot = is_in_first_boot(first_boot, host["uptime_seconds"])
    plan.wait = in_first_boot or bool(holders)
    if in_first_boot:
        plan.reasons.append(f"cloud-init is {first_boot}")
    plan.reasons += [f"{holder['command']} (process {holder['pid']}) holds {holder['path']}" for holder in holders]
    # Half-configured packages of the driver are the driver role's: configuring them again fails in the same way.
    plan.tolerated = _of_driver(host)
    broken = [name for name in state["broken"] if name not in plan.tolerated]
    plan.configure = state["interrupted"] or bool(broken)
    if plan.configure:
        plan.reasons.append(f"half configured: {', '.join(broken)}" if broken else "dpkg was interrupted")
    _plan_sources(plan, host, settings)
    return plan


def _of_driver(host: Mapping[str, Any]) -> list[str]:
    driver = host["driver"]
    kernels = [name for name in host["package_manager"]["broken"] if _KERNEL_PACKAGE.match(name)]
    failed = driver["build_failures"] or driver["broken_packages"]
    return [*driver["broken_packages"], *(kernels if failed else [])]


def _plan_sources(plan: PackageManagerPlan, host: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    found = find_source_problems(host["apt_sources"], host["os"], host["apt_unreadable"])
    broken = [problem.as_dict() for problem in found if is_repairable(problem.as_dict())]
    plan.repair = bool(broken) and bool(settings["repair_sources"])
    if plan.repair:
        plan.reasons += [problem["message"] for problem in broken]
        for problem in broken:
            problem["severity"] = "warning"
            problem["next_action"] = (
                "Nothing: the run disables the entry and keeps the former file beside it with the ending .orig."
            )
    plan.problems += broken
