# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The decisions around a change of the driver as filters: before it, when it fails, after a reboot, the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import ansible.module_utils

# Ansible adds module_utils/ of a project for modules only; a filter runs on the controller.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora import reboot_result  # noqa: E402  the path has to be known first
from ansible.module_utils.opensora.driver_history import (  # noqa: E402
    make_record,
    missing_versions,
    plan_rollback,
    restore_after_failure,
)
from ansible.module_utils.opensora.driver_simulation import (  # noqa: E402
    package_specifications,
    simulation_problems,
)
from ansible.module_utils.opensora.package_index import parse_listed_versions  # noqa: E402
from ansible.module_utils.opensora.plain_data import plain  # noqa: E402

Problems = list[dict[str, Any]]


def specifications(plan: dict[str, Any], manager: str) -> list[str]:
    """Return the plan's packages as the package manager takes them, see ``package_specifications``."""
    return package_specifications(plain(plan), str(manager))


def simulated(text: str, plan: dict[str, Any]) -> Problems:
    """Return why a simulated installation must not be done, see ``simulation_problems``."""
    return [problem.as_dict() for problem in simulation_problems(str(text), plain(plan))]


def restore(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return what puts a host back after a failure, see ``restore_after_failure``."""
    return restore_after_failure(plain(before), plain(after))


def rebooted(
    before: dict[str, Any],
    after: dict[str, Any],
    plan: dict[str, Any],
    seconds: float | None = None,
    evidence: str = "",
) -> Problems:
    """Return what a reboot did not bring about, see ``check_reboot``."""
    found = reboot_result.check_reboot(plain(before), plain(after), plain(plan), plain(seconds), str(evidence))
    return [problem.as_dict() for problem in found]


def never_came_back(name: str, timeout: int, evidence: str = "") -> Problems:
    """Return the problem of a host that cannot be reached after its reboot, as a list."""
    return [reboot_result.never_came_back(str(name), int(timeout), str(evidence)).as_dict()]


def record(host: dict[str, Any], time: str) -> dict[str, Any]:
    """Return what has to be known of a host to come back to its driver, see ``make_record``."""
    return make_record(plain(host), str(time))


def rollback(host: dict[str, Any], record_text: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what a rollback will do, see ``plan_rollback``."""
    return plan_rollback(plain(host), str(record_text), plain(settings)).as_dict()


def not_offered(packages: dict[str, str], listed: str, manager: str) -> Problems:
    """Return the problem of versions that the host's package manager does not list, see ``missing_versions``."""
    offered = parse_listed_versions(str(listed), str(manager))
    return [problem.as_dict() for problem in missing_versions(plain(packages), offered)]


class FilterModule:
    """Register the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name and function of each filter."""
        return {
            "nvidia_driver_specifications": specifications,
            "nvidia_driver_simulated": simulated,
            "nvidia_driver_restore": restore,
            "nvidia_driver_rebooted": rebooted,
            "nvidia_driver_never_came_back": never_came_back,
            "nvidia_driver_record": record,
            "nvidia_driver_rollback": rollback,
            "nvidia_driver_not_offered": not_offered,
        }
