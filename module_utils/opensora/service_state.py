# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The container of the service as it is, and what has to be done to make it what it should be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Action = Literal["none", "create", "replace", "start"]
CONFIG_HASH_LABEL = "com.docker.compose.config-hash"
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
WORKING_DIRECTORY_LABEL = "com.docker.compose.project.working_dir"


@dataclass(frozen=True)
class ServiceState:
    """What the engine says of the container of the service.

    Attributes:
        container_id: None when there is no container; every other value then is empty.
        name: Name of the container.
        status: ``created``, ``running``, ``restarting``, ``paused``, ``exited`` or ``dead``.
        health: ``starting``, ``healthy``, ``unhealthy``, or None without a health check.
        image: Image as the compose file named it.
        image_id: ID of that image when the container was created.
        config_hash: Hash of the definition by which compose created it.
        gpus: UUIDs reserved.
        device_driver: Driver of the reservation.
        labels: Labels of the container, among them those of its image.
        user: User of the container.
        restart_count: How often the engine restarted it.
        exit_code: Of the last end.
        oom_killed: Whether the kernel ended it for want of memory.
        error: What the engine said when it could not start it.
        started_at: When it started, in the engine's words.
        health_log: The last health checks, oldest first: exit code and output.
        other_containers: Further containers of the same service.
    """

    container_id: str | None = None
    name: str | None = None
    status: str | None = None
    health: str | None = None
    image: str | None = None
    image_id: str | None = None
    config_hash: str | None = None
    gpus: tuple[str, ...] = ()
    device_driver: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    restart_count: int = 0
    exit_code: int | None = None
    oom_killed: bool = False
    error: str = ""
    started_at: str | None = None
    health_log: tuple[tuple[int, str], ...] = ()
    other_containers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What to do with the container.

    Attributes:
        action: ``none``, ``create``, ``replace`` or ``start``.
        changed_keys: Which of container, definition, image, gpus, status, health and file differ.
        reasons: The same for people.
        force: Whether compose has to be told to replace a container whose definition it finds unchanged.
        write_file: Whether the compose file on the host differs.
    """

    action: Action
    changed_keys: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    force: bool = False
    write_file: bool = False

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return self.action != "none" or self.write_file


def from_inspect(inspected: Mapping[str, Any], others: Sequence[str] = ()) -> ServiceState:
    """Return the state of a container.

    Args:
        inspected: What the engine answers to ``GET /containers/ID/json``.
        others: IDs of further containers of the same service.
    """
    config = inspected.get("Config") or {}
    state = inspected.get("State") or {}
    health = state.get("Health") or {}
    requests = (inspected.get("HostConfig") or {}).get("DeviceRequests") or []
    identifiers = [str(i) for request in requests for i in request.get("DeviceIDs") or []]
    labels = config.get("Labels") or {}
    log = [(int(entry.get("ExitCode", 0)), str(entry.get("Output", "")).strip()) for entry in health.get("Log") or []]
    return ServiceState(
        container_id=inspected.get("Id"),
        name=str(inspected.get("Name", "")).lstrip("/"),
        status=state.get("Status"),
        health=None if health.get("Status") in (None, "", "none") else health["Status"],
        image=config.get("Image"),
        image_id=inspected.get("Image"),
        config_hash=labels.get(CONFIG_HASH_LABEL),
        gpus=tuple(sorted(identifier.rpartition("=")[2] for identifier in identifiers)),
        device_driver=str(requests[0].get("Driver")) if requests else None,
        labels=labels,
        user=config.get("User"),
        restart_count=int(inspected.get("RestartCount") or 0),
        exit_code=state.get("ExitCode"),
        oom_killed=bool(state.get("OOMKilled")),
        error=str(state.get("Error") or ""),
        started_at=state.get("StartedAt"),
        health_log=tuple(log),
        other_containers=tuple(others),
    )


def decide(
    found: ServiceState,
    *,
    config_hash: str | None,
    image: str,
    image_id: str | None,
    gpus: Sequence[str],
    file_differs: bool,
) -> Decision:
    """Return what has to be done.

    Args:
        found: The container as it is.
        config_hash: Hash of the wanted definition by this host's compose, None when compose can't be asked yet.
        image: Wanted image.
        image_id: ID of the wanted image on this host, None when it is not there.
        gpus: UUIDs wanted.
        file_differs: Whether the compose file on the host differs from the wanted one.
    """
    if found.container_id is None:
        return Decision("create", ("container",), ("there is no container",), write_file=file_differs)
    several = f"there are {1 + len(found.other_containers)} containers of the service"
    differences = [
        (key, reason)
        for key, differs, reason in (
            ("definition", found.config_hash != config_hash, "the container was created by another definition"),
            (
                "image",
                found.image_id != image_id,
                f"the container runs {found.image_id}, wanted is {image_id or image}",
            ),
            (
                "gpus",
                set(found.gpus) != set(gpus),
                f"the container has {_listed(found.gpus)}, wanted is {_listed(gpus)}",
            ),
            ("container", bool(found.other_containers), several),
            # Compose leaves these two as they are; only a new container gets its GPUs anew.
            ("health", found.status == "running" and found.health == "unhealthy", "the container is unhealthy"),
            ("status", found.status == "paused", "the container is paused"),
        )
        if differs
    ]
    keys = tuple(key for key, _ in differences)
    reasons = tuple(reason for _, reason in differences)
    if differences:
        return Decision("replace", keys, reasons, force="definition" not in keys, write_file=file_differs)
    if found.status not in ("running", "restarting"):
        return Decision("start", ("status",), (f"the container is {found.status}",), write_file=file_differs)
    if file_differs:
        return Decision("none", ("file",), ("the compose file on the host differs",), write_file=True)
    return Decision("none")


def describe_state(state: ServiceState) -> str:
    """Return the state as short lines for a diff; without what changes by itself, such as the time of the start."""
    if state.container_id is None:
        return "container: none\n"
    lines = {
        "container": state.container_id[:12],
        "image": state.image,
        "image id": state.image_id,
        "status": state.status,
        "health": state.health,
        "user": state.user,
        "gpus": ", ".join(state.gpus) or "none",
        "device driver": state.device_driver,
    }
    return "".join(f"{name}: {value}\n" for name, value in lines.items())


def predict_state(found: ServiceState, decision: Decision, image: str, gpus: Sequence[str]) -> str:
    """Return what :func:`describe_state` would say after a decision was carried out, as far as it is known.

    Args:
        found: The container as it is.
        decision: What would be done.
        image: Wanted image.
        gpus: UUIDs wanted.
    """
    if decision.action == "none":
        return describe_state(found)
    lines = {
        "container": (found.container_id or "")[:12] if decision.action == "start" else "new",
        "image": image,
        "status": "running",
        "health": "healthy",
        "gpus": _listed(gpus),
    }
    return "".join(f"{name}: {value}\n" for name, value in lines.items())


def _listed(gpus: Sequence[str]) -> str:
    """Return UUIDs for a sentence."""
    return ", ".join(sorted(gpus)) or "no GPU"
