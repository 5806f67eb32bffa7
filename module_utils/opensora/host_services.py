# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Units of systemd that driver, engine and package manager depend on: one question for all of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible.module_utils.opensora.host_probe import CommandResult

DOCKER = "docker.service"
PERSISTENCE = "nvidia-persistenced.service"
FABRIC = "nvidia-fabricmanager.service"
SUBNET_MANAGER = "nvlsm.service"
UNITS = (
    DOCKER,
    PERSISTENCE,
    FABRIC,
    SUBNET_MANAGER,
    "nvidia-imex.service",
    "nvidia-cdi-refresh.path",
    "nvidia-cdi-refresh.service",
    "unattended-upgrades.service",
)
UNITS_QUERY = (
    "systemctl",
    "show",
    "--timestamp=unix",
    "--property=Id,LoadState,ActiveState,UnitFileState,ActiveEnterTimestamp",
    *UNITS,
)
CLOUD_INIT_QUERY = ("cloud-init", "status")


def parse_units(text: str) -> dict[str, dict[str, Any]]:
    """Return each unit's state.

    Args:
        text: Output of :data:`UNITS_QUERY`: one block of ``Name=value`` lines a unit, blank lines between.

    Returns:
        Unit to ``load``, ``active``, ``enabled`` (words of systemd, null where empty) and ``since`` (seconds since
        1970 at which it became active, null where it is not or the time cannot be read).
    """
    found = {}
    for block in re.split(r"\n\s*\n", text):
        values = dict(re.findall(r"(?m)^([A-Za-z]+)=(.*)$", block))
        if not values.get("Id"):
            continue
        # systemd before 247 does not know the format and prints a date, whose time zone is anybody's guess.
        since = re.fullmatch(r"@(\d+)(?:\.\d+)?", values.get("ActiveEnterTimestamp", "").strip())
        found[values["Id"]] = {
            "load": values.get("LoadState") or None,
            "active": values.get("ActiveState") or None,
            "enabled": values.get("UnitFileState") or None,
            "since": int(since.group(1)) if since and values.get("ActiveState") == "active" else None,
        }
    return found


def is_running(services: Mapping[str, Mapping[str, Any]], unit: str) -> bool | None:
    """Return whether a unit is active; null where systemd was not asked or did not answer."""
    entry = services.get(unit)
    return None if entry is None or entry["active"] is None else entry["active"] == "active"


def is_enabled(services: Mapping[str, Mapping[str, Any]], unit: str) -> bool | None:
    """Return whether a unit is started at boot; null where that is not known."""
    entry = services.get(unit)
    if entry is None:
        return None
    return False if entry["enabled"] is None else entry["enabled"].startswith("enabled")


def describe_cloud_init(result: CommandResult | None) -> dict[str, Any]:
    """Return how far cloud-init is with the host's first boot.

    Args:
        result: Answer of :data:`CLOUD_INIT_QUERY`; null where cloud-init is not installed.
    """
    match = re.search(r"^status: ([a-z ]+?)\s*$", result.stdout, re.MULTILINE) if result else None
    return {"installed": result is not None and result.ran, "status": match.group(1) if match else None}


def describe_persistence(
    services: Mapping[str, Mapping[str, Any]], packages: Mapping[str, Any], gpus: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return whether the driver stays initialised while no program uses it.

    Args:
        services: Result of :func:`parse_units`.
        packages: The host's packages.
        gpus: GPUs that the driver shows, with ``persistence_mode``.
    """
    modes = [gpu["persistence_mode"] for gpu in gpus if gpu.get("persistence_mode") is not None]
    load = (services.get(PERSISTENCE) or {}).get("load")
    return {
        "installed": load == "loaded" or any(name.startswith("nvidia-persistenced") for name in packages),
        "enabled": is_enabled(services, PERSISTENCE),
        "running": is_running(services, PERSISTENCE),
        "mode": all(modes) if modes else None,
    }
