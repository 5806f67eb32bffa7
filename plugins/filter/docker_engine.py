# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The decisions of the role docker_engine as filters, so that they cost no round trip to the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import ansible.module_utils

# Ansible adds module_utils/ of a project for modules only; a filter runs on the controller.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora.daemon_config import merge  # noqa: E402  the path has to be known first
from ansible.module_utils.opensora.engine_decision import (  # noqa: E402
    decide_engine,
    locked_versions,
    own_config,
)
from ansible.module_utils.opensora.plain_data import plain  # noqa: E402


def engine_plan(host: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return what has to be done for the wanted engine, see ``decide_engine``."""
    return decide_engine(plain(host), plain(settings)).as_dict()


def engine_config(settings: dict[str, Any], requested: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of daemon.json that the role's variables and another role ask for together.

    Args:
        settings: The role's settings.
        requested: The keys that another role asks for.
    """
    return merge(own_config(plain(settings)), plain(requested)).config


class FilterModule:
    """Register the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name and function of each filter."""
        return {
            "docker_engine_plan": engine_plan,
            "docker_engine_config": engine_config,
            "docker_engine_locked_versions": locked_versions,
        }
