# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Units of systemd that driver, engine and package manager depend on: one question for all of them."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible.module_utils.opensora.host_probe import HostProbe

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
# In the zone UTC: systemd before 251, such as Ubuntu 22.04's, refuses to print seconds since 1970.
UNITS_QUERY = (
    "systemctl",
    "show",
    "--property=Id,LoadState,ActiveState,UnitFileState,ActiveEnterTimestamp",
    *UNITS,
)
CLOUD_INIT_QUERY = ("cloud-init", "status")
_CLOUD_INIT = "/usr/bin/cloud-init"
_CLOUD_INIT_RESULT = "/run/cloud-init/result.json"  # written at the end of the last stage, removed at the next boot
# The turn of cloud-init has not come yet. Where that stays so after a boot, it is switched off and never runs.
_NOT_YET = ("not run", "not started")
_BOOT_SECONDS = 300


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
        found[values["Id"]] = {
            "load": values.get("LoadState") or None,
            "active": values.get("ActiveState") or None,
            "enabled": values.get("UnitFileState") or None,
            "since": _seconds(values.get("ActiveEnterTimestamp", ""))
            if values.get("ActiveState") == "active"
            else None,
        }
    return found


def _seconds(timestamp: str) -> int | None:
    """Return a time of systemd in seconds since 1970; null for a date in another zone than UTC."""
    number = re.fullmatch(r"@(\d+)(?:\.\d+)?", timestamp.strip())
    if number:
        return int(number.group(1))
    date = re.fullmatch(r"\w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", timestamp.strip())
    try:
        return int(datetime.fromisoformat(f"{date.group(1)}+00:00").timestamp()) if date else None
    except ValueError:
        return None


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


def _cloud_init_result(text: str) -> str | None:
    """Return what the file says that cloud-init writes when it ends: ``done``, ``error``, or null."""
    try:
        stages = json.loads(text).get("v1")
    except (ValueError, AttributeError):
        return None
    if not isinstance(stages, dict):
        return None
    return "error" if stages.get("errors") else "done"


def describe_cloud_init(probe: HostProbe) -> dict[str, Any]:
    """Return how far cloud-init is with the host's first boot, as far as its files tell.

    Args:
        probe: The host.

    Returns:
        ``installed`` and ``status``. Where it is installed and the status is null, :data:`CLOUD_INIT_QUERY` has to be
        asked, which starts a Python program of its own.
    """
    installed = probe.exists(_CLOUD_INIT)
    text = probe.text(_CLOUD_INIT_RESULT) if installed else None
    return {"installed": installed, "status": _cloud_init_result(text) if text else None}


def parse_cloud_init(text: str) -> str | None:
    """Return the status that cloud-init printed, such as ``running``, or null.

    Args:
        text: Output of :data:`CLOUD_INIT_QUERY`.
    """
    match = re.search(r"^status: ([a-z ]+?)\s*$", text, re.MULTILINE)
    return match.group(1) if match else None


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


def is_in_first_boot(status: str | None, uptime_seconds: float | None) -> bool:
    """Say whether cloud-init works on the host, or is still to begin.

    Args:
        status: What ``cloud-init status`` says, or null when unknown.
        uptime_seconds: Time since the boot, or null when unknown.
    """
    return status == "running" or (status in _NOT_YET and (uptime_seconds or 0) < _BOOT_SECONDS)
