# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The decision of the role package_manager as a filter, so that it costs no round trip to the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import ansible.module_utils

# Ansible adds module_utils/ of a project for modules only; a filter runs on the controller.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora.package_manager_plan import make_plan  # noqa: E402  the path has to be known first
from ansible.module_utils.opensora.plain_data import plain  # noqa: E402


def package_manager_plan(host: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return what has to be done before packages can be changed, see ``make_plan``."""
    return make_plan(plain(host), plain(settings)).as_dict()


class FilterModule:
    """Register the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name and function of the filter."""
        return {"package_manager_plan": package_manager_plan}
