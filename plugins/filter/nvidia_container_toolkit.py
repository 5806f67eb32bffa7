# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The decision of the role nvidia_container_toolkit as a filter, so that it costs no round trip to the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import ansible.module_utils

# Ansible adds module_utils/ of a project for modules only; a filter runs on the controller.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora.plain_data import plain  # noqa: E402  the path has to be known first
from ansible.module_utils.opensora.toolkit_decision import decide_toolkit  # noqa: E402


def toolkit_plan(host: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return what has to be done so that containers can be given GPUs, see ``decide_toolkit``."""
    return decide_toolkit(plain(host), plain(settings)).as_dict()


class FilterModule:
    """Register the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name and function of each filter."""
        return {"nvidia_container_toolkit_plan": toolkit_plan}
