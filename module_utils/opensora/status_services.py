# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The services of this project that an engine has, from what its own command says: no Docker SDK has to be there."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.compose_model import PROFILE_LABEL, PROJECT
from ansible.module_utils.opensora.service_generation import GenerationError, host_path
from ansible.module_utils.opensora.service_state import PROJECT_LABEL, SERVICE_LABEL, from_inspect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LIST_QUERY = (
    *("docker", "ps", "--all", "--quiet", "--no-trunc"),
    *("--filter", f"label={PROFILE_LABEL}", "--filter", f"label={PROJECT_LABEL}"),
)
_BUILD_KEY_LABEL = "org.opensora-site.build-key"
_ONE_OFF_LABEL = "com.docker.compose.oneoff"
_IDENTIFIER = re.compile(r"^[0-9a-f]{12,64}$")
# What the engine says of a container that never started.
_NEVER = "0001-01-01"


def parse_list(text: str) -> list[str]:
    """Return the IDs that :data:`LIST_QUERY` printed."""
    return [line.strip() for line in text.splitlines() if _IDENTIFIER.match(line.strip())]


def inspect_query(identifiers: Sequence[str]) -> tuple[str, ...]:
    """Return the command that describes containers."""
    return ("docker", "container", "inspect", *identifiers)


def parse_inspect(text: str) -> list[dict[str, Any]]:
    """Return the containers of this project's services among those that :func:`inspect_query` described.

    Args:
        text: Its output; a container that went away meanwhile is not in it.
    """
    try:
        data = json.loads(text)
    except ValueError:
        return []
    found = []
    for entry in data if isinstance(data, list) else []:
        labels = (entry.get("Config") or {}).get("Labels") or {}
        is_ours = str(labels.get(PROJECT_LABEL, "")).startswith(PROJECT) and PROFILE_LABEL in labels
        if is_ours and str(labels.get(_ONE_OFF_LABEL, "False")).lower() != "true":
            found.append(entry)
    return found


def epoch(text: object) -> float | None:
    """Return a time of the engine in seconds since 1970, or null where there is none.

    Args:
        text: Such as ``2026-11-25T09:00:00.123456789Z``.
    """
    match = re.match(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?Z$", str(text or ""))
    if match is None or match.group(1).startswith(_NEVER):
        return None
    return datetime.strptime(match.group(1), "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc).timestamp()


def _folder(inspected: Mapping[str, Any], name: str) -> str | None:
    """Return the folder of the host that is mounted under a name in the application's folder, or null."""
    root = PurePosixPath((inspected.get("Config") or {}).get("WorkingDir") or "/")
    try:
        return str(host_path(inspected.get("Mounts") or [], root / name / "*").parent)
    except GenerationError:
        return None


def describe_service(inspected: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return one service.

    Args:
        inspected: What the engine says of its container.
        now: The host's time in seconds since 1970.
    """
    state = from_inspect(inspected)
    started = epoch(state.started_at) if state.status == "running" else None
    return {
        "name": state.name,
        "project": state.labels.get(PROJECT_LABEL),
        "service": state.labels.get(SERVICE_LABEL),
        "profile": state.labels.get(PROFILE_LABEL),
        "status": state.status,
        "health": state.health,
        "exit_code": None if state.status == "running" else state.exit_code,
        "error": state.error,
        "image": state.image,
        "image_id": state.image_id,
        "build_key": state.labels.get(_BUILD_KEY_LABEL),
        "started_at": state.started_at if started is not None else None,
        "uptime_seconds": None if started is None else max(0, int(now - started)),
        "restart_count": state.restart_count,
        "gpus": list(state.gpus),
        "checkpoints_directory": _folder(inspected, "ckpts"),
        "samples_directory": _folder(inspected, "samples"),
    }
