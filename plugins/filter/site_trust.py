# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The checks of the role site_trust as a filter, so that they cost no round trip to the host."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Callable

import ansible.module_utils

# Ansible adds module_utils/ of a project for modules only; a filter runs on the controller.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora.host_clock import clock_problem  # noqa: E402  the path has to be known first
from ansible.module_utils.opensora.plain_data import plain  # noqa: E402
from ansible.module_utils.opensora.site_trust import (  # noqa: E402
    STORES,
    certificate_problems,
    no_proxy_problems,
    required_urls,
    unsupported_family,
    url_problems,
)
from ansible.module_utils.opensora.site_trust_state import differs  # noqa: E402


def site_trust_plan(host: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return the problems of the site's settings and the addresses that the host will need.

    Args:
        host: The fact ``gpu_host``.
        settings: The role's variables without their prefix.
    """
    host, settings = plain(host), plain(settings)
    problems = certificate_problems(settings["ca_certificates"], time.time())
    problems += url_problems(
        {
            f"site_trust_{name}": settings[name]
            for name in (
                "http_proxy",
                "https_proxy",
                "python_index_url",
                "debian_mirror_url",
                "debian_security_mirror_url",
            )
        }
    )
    clock = clock_problem(host.get("clock_ahead_seconds"))
    problems += [clock] if clock else []
    problems += no_proxy_problems(str(settings["no_proxy"]))
    asked = any(settings[name] for name in settings if name != "python_index_url")
    if asked and host["os"].get("family") not in STORES:
        problems.append(unsupported_family(host["os"]))
    return {
        "needed": bool(problems) or differs(host, settings),
        "problems": [problem.as_dict() for problem in problems],
        "urls": required_urls(
            host.get("apt_sources", []),
            str(host["os"].get("codename")),
            settings["debian_mirror_url"],
            settings["debian_security_mirror_url"],
        ),
    }


def certificate_store(family: str) -> dict[str, str]:
    """Return where a family of distributions keeps additional certificates, and the command for its bundle."""
    return dict(STORES[str(family)])


class FilterModule:
    """Register the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name and function of each filter."""
        return {
            "site_trust_plan": site_trust_plan,
            "site_trust_store": certificate_store,
        }
