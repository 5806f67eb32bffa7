# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Name what keeps the package manager of a described host from working, or from doing what the inventory wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.apt_source_conflicts import find_missing_components, find_source_problems
from ansible.module_utils.opensora.driver_packages import find_system, origins
from ansible.module_utils.opensora.driver_state import is_driver_package
from ansible.module_utils.opensora.host_services import is_in_first_boot
from ansible.module_utils.opensora.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMPONENTS = ("contrib", "non-free", "non-free-firmware")
_SHOWN = 8
# Engine packages of the two sources; one host has one of them.
_ENGINES = ("docker-ce", "docker.io", "moby-engine")
_CHANGES = ("install", "upgrade", "replace_flavour", "repair_packages")


def _first_boot_problem(host: Mapping[str, Any]) -> Problem | None:
    if not is_in_first_boot((host.get("cloud_init") or {}).get("status"), host.get("uptime_seconds")):
        return None
    return Problem(
        layer="packages",
        code="packages.cloud_init_running",
        severity="warning",
        message="cloud-init has not finished the host's first boot, and may hold the package manager",
        next_action="Wait: `cloud-init status --wait` returns when it has; the role package_manager waits as well.",
        evidence=(f"cloud-init: {host['cloud_init']['status']}",),
    )


def _lock_problem(host: Mapping[str, Any]) -> Problem | None:
    holders = (host.get("package_manager") or {}).get("lock_holders") or []
    if not holders:
        return None
    names = ", ".join(dict.fromkeys(f"{holder['command']} (process {holder['pid']})" for holder in holders))
    return Problem(
        layer="packages",
        code="packages.lock_held",
        severity="warning",
        message=f"The package manager is in use by {names}",
        next_action="Wait until it has finished, and leave its lock alone; every step of this project waits as well.",
        evidence=tuple(f"{holder['path']}: process {holder['pid']} {holder['command']}" for holder in holders),
    )


def _interrupted_problem(host: Mapping[str, Any]) -> Problem | None:
    state = host.get("package_manager") or {}
    if not state.get("interrupted") or state.get("lock_holders"):
        return None
    return Problem(
        layer="packages",
        code="packages.interrupted",
        severity="error",
        message="dpkg was interrupted and refuses every change until that is finished",
        next_action="Run `dpkg --configure -a`; the role package_manager does so as well.",
        evidence=("/var/lib/dpkg/updates is not empty",),
    )


def _broken_problem(host: Mapping[str, Any]) -> Problem | None:
    of_driver = host["driver"]["broken_packages"]
    state = host.get("package_manager") or {}
    broken = [name for name in state.get("broken") or [] if name not in of_driver]
    # While the package manager works, packages pass through these states.
    if not broken or state.get("lock_holders"):
        return None
    return Problem(
        layer="packages",
        code="packages.broken",
        severity="error",
        message=f"Packages are unpacked or half configured: {', '.join(broken[:_SHOWN])}",
        next_action="Run `dpkg --configure -a` and read what it says; the role package_manager runs it as well.",
    )


def _held_problem(host: Mapping[str, Any]) -> Problem | None:
    held = host["driver"]["held_packages"]
    if not held or host["driver"]["action"] not in _CHANGES:
        return None
    return Problem(
        layer="packages",
        code="packages.held",
        severity="warning",
        message=f"Driver packages that need a change are held: {', '.join(held[:_SHOWN])}",
        next_action="Find out who holds them (`apt-mark showhold`); nvidia_driver releases what it changes.",
    )


def _origin_problem(host: Mapping[str, Any]) -> Problem | None:
    system = find_system(host["os"])
    names = [name for name in host["packages"] if is_driver_package(name)]
    found = origins(system, host["packages"], names) if system is not None else {}
    if not all(found.get(origin) for origin in ("distribution", "vendor")):
        return None
    return Problem(
        layer="packages",
        code="packages.two_origins",
        severity="warning",
        message="Driver packages of the distribution and of NVIDIA's repository are mixed on this host",
        next_action="Remove those of one origin; the next upgrade fails or changes the driver otherwise.",
        evidence=tuple(f"{origin}: {', '.join(found[origin][:_SHOWN])}" for origin in ("distribution", "vendor")),
    )


def _engine_problem(host: Mapping[str, Any]) -> Problem | None:
    packages = host["packages"]
    engines = [name for name in _ENGINES if packages.get(name, {}).get("status", "")[1:2] == "i"]
    mixed = "containerd.io" in packages and "docker.io" in engines
    if len(engines) < 2 and not mixed:  # noqa: PLR2004  one engine is as it should be
        return None
    names = [*engines, *(["containerd.io"] if mixed else [])]
    return Problem(
        layer="packages",
        code="packages.engine_conflict",
        severity="error",
        message=f"Packages of two Docker Engines are on this host: {', '.join(names)}",
        next_action="Keep one set; /var/lib/docker stays. docker_engine_source says which one this project uses.",
        evidence=tuple(f"{name} {packages[name]['version']} ({packages[name]['status']})" for name in names),
    )


_CHECKS = (
    _first_boot_problem,
    _lock_problem,
    _interrupted_problem,
    _broken_problem,
    _held_problem,
    _origin_problem,
    _engine_problem,
)


def package_problems(host: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with packages, package manager and its sources.

    Args:
        host: Description of the host.
        wanted: What the inventory wants; missing components only count for the distribution's driver.
    """
    problems = [problem for problem in (check(host) for check in _CHECKS) if problem is not None]
    sources = host.get("apt_sources") or []
    problems += find_source_problems(sources, host["os"], host.get("apt_unreadable") or [])
    if wanted.get("driver_source") == "distribution" and host["os"]["id"] == "debian":
        problems += find_missing_components(sources, host["os"], _COMPONENTS)
    return problems
