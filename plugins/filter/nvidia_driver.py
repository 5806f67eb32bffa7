# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The decisions of the role nvidia_driver as filters, so that they cost no round trip to the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import ansible.module_utils

# Ansible adds module_utils/ of a project for modules only; a filter runs on the controller.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora.driver_failure import (  # noqa: E402  the path has to be known first
    failed_build_problem,
    leftover_packages,
)
from ansible.module_utils.opensora.driver_offer import agreed_pin, offered_problems  # noqa: E402
from ansible.module_utils.opensora.driver_plan import make_plan  # noqa: E402
from ansible.module_utils.opensora.package_index import parse_listed_versions  # noqa: E402
from ansible.module_utils.opensora.plain_data import plain  # noqa: E402
from ansible.module_utils.opensora.problems import describe  # noqa: E402


def driver_plan(host: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return what the role will do on a host and what stands in its way, see ``make_plan``."""
    return make_plan(plain(host), plain(settings)).as_dict()


def driver_offered(plan: dict[str, Any], offered: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Return what a repository lacks of a plan, see ``offered_problems``."""
    return [problem.as_dict() for problem in offered_problems(plain(plan), plain(offered))]


def driver_agreed_pin(plan: dict[str, Any], listed: str) -> list[dict[str, str]]:
    """Return the file that makes a distribution's packages agree, in a list that may be empty, see ``agreed_pin``.

    Args:
        plan: The plan.
        listed: What ``apt-cache madison`` printed for the plan's packages.
    """
    found = agreed_pin(plain(plan), parse_listed_versions(str(listed), "apt"))
    return [found] if found else []


def failed_build(host: dict[str, Any], flavour: str) -> str:
    """Return the text of the problem that a kernel module did not build, see ``failed_build_problem``."""
    return describe(failed_build_problem(plain(host), str(flavour)).as_dict())


def leftovers(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the packages to remove after a failed installation, see ``leftover_packages``."""
    return leftover_packages(plain(before), plain(after))


class FilterModule:
    """Register the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name and function of each filter."""
        return {
            "nvidia_driver_plan": driver_plan,
            "nvidia_driver_offered": driver_offered,
            "nvidia_driver_agreed_pin": driver_agreed_pin,
            "nvidia_driver_failed_build": failed_build,
            "nvidia_driver_leftovers": leftovers,
        }
