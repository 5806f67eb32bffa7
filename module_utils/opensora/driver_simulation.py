# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Judge what the package manager says it would do for the driver, before it does it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.driver_state import is_driver_package
from ansible.module_utils.opensora.problems import Problem
from ansible.module_utils.opensora.version_number import upstream_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# "Inst name [old] (new origin [architecture])" and "Remv name [old]" of a simulated apt-get.
_STEP = re.compile(
    r"^(?P<step>Inst|Remv|Purg) (?P<name>\S+)(?: \[(?P<old>[^\]]+)\])?(?: \((?P<new>\S+)[^)]*\))?", re.MULTILINE
)
# Driver packages carry the driver's version; their helpers, such as the 20240109 of a diversion, have one of their own.
_DRIVER_VERSION = re.compile(r"^\d{3}\.\d+")


@dataclass(frozen=True)
class SimulatedStep:
    """One step that the package manager would take.

    Attributes:
        name: Package, without its architecture.
        old: Version that is there, or empty.
        new: Version that would be there, or empty where the package would go.
    """

    name: str
    old: str = ""
    new: str = ""


def parse_simulation(text: str) -> list[SimulatedStep]:
    """Return the steps of a simulated ``apt-get``.

    Args:
        text: What ``apt-get --simulate`` printed, in the C locale.
    """
    return [
        SimulatedStep(match["name"].partition(":")[0], match["old"] or "", match["new"] or "")
        for match in _STEP.finditer(text)
    ]


def _fits(version: str, plan: Mapping[str, Any]) -> bool:
    upstream = upstream_version(version)
    if plan["version"]:
        return upstream == str(plan["version"])
    return not plan["branch"] or upstream.split(".")[0] == str(plan["branch"])


def _driver_version(step: SimulatedStep) -> bool:
    return is_driver_package(step.name) and bool(_DRIVER_VERSION.match(upstream_version(step.new)))


def simulation_problems(text: str, plan: Mapping[str, Any]) -> list[Problem]:
    """Return why the package manager must not do what it would do.

    Args:
        text: What ``apt-get --simulate`` printed.
        plan: What the role will do; ``source``, ``version``, ``branch`` and ``unwanted_packages`` are read.
    """
    steps = parse_simulation(text)
    problems = []
    lost = [step for step in steps if not step.new and not is_driver_package(step.name)]
    lost = [step for step in lost if step.name not in plan["unwanted_packages"]]
    if lost:
        names = ", ".join(step.name for step in lost)
        problems.append(
            Problem(
                layer="packages",
                code="packages.would_be_removed",
                severity="error",
                message=f"Installing the driver would remove packages that are not the driver's: {names}",
                next_action="Find what they conflict with by 'apt-get -s install' of the driver's packages; "
                "remove them yourself if they are not needed, or choose another nvidia_driver_branch.",
                evidence=tuple(f"Remv {step.name} {step.old}".rstrip() for step in lost),
            )
        )
    wrong = [step for step in steps if _driver_version(step) and not _fits(step.new, plan)]
    if plan["source"] == "vendor" and wrong:
        wish = f"version {plan['version']}" if plan["version"] else f"branch {plan['branch']}"
        problems.append(
            Problem(
                layer="packages",
                code="packages.other_branch",
                severity="error",
                message=f"Driver {wish} is wanted, and the package manager would install another: "
                + ", ".join(f"{step.name} {step.new}" for step in wrong),
                next_action="See by 'apt-cache policy' of these packages which source or preference of the host is "
                "stronger than the driver's pin, and remove it.",
                evidence=tuple(f"Inst {step.name} {step.new}" for step in wrong),
            )
        )
    return problems


def package_specifications(plan: Mapping[str, Any], manager: str) -> list[str]:
    """Return the packages of a plan as the package manager takes them, those that the pin covers with its version.

    A name alone would leave an installed package of another branch as it is.

    Args:
        plan: What the role will do; ``packages`` and ``pin`` are read.
        manager: ``apt`` or ``dnf``.
    """
    pin = plan["pin"] or {"packages": [], "version": ""}
    version = str(pin["version"])
    if not version:
        return list(plan["packages"])
    # 580 stands for every version of the branch, 580.159.04 for every packaging of this one.
    pattern = f"{version}-*" if "." in version else f"{version}.*"
    sign = "=" if manager == "apt" else "-"
    return [
        f"{name}{sign}{pattern}"
        if is_driver_package(name) and not name.startswith("linux-") and _covered(name, pin["packages"])
        else name
        for name in plan["packages"]
    ]


def _covered(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
