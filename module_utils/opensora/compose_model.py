# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The compose project of the service as plain data, and the way its GPUs are reserved."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible.module_utils.opensora.service_settings import HealthTimes, PublishedPort

# The compose project of a host with one service; those of several begin with it.
PROJECT = "opensora"
SERVICE = "opensora"
APPLICATION_DIRECTORY = "/opt/open-sora"
SOURCE_DIRECTORY = "/workspace"
CACHE_DIRECTORY = "/var/cache/opensora"
HOME_DIRECTORY = "/home/opensora"
CDI_KIND = "nvidia.com/gpu"
PROFILE_LABEL = "org.opensora-site.environment-profile"

# Docker 28.2 is the first that has CDI switched on unless daemon.json says no.
_CDI_BY_DEFAULT = (28, 2)
# Docker 28.2 also is the first that knows CDI before it brings its containers back (moby issue 49989).
_CDI_RESTART = (28, 2)
# What is written to memory where the image can't be written to. Programs compile into /tmp and load it from there.
_TEMPORARY = {"/tmp": "exec", HOME_DIRECTORY: "noexec"}  # noqa: S108 (a folder of the container)
# Docker 25 is the first that checks more often while the start period lasts.
_START_INTERVAL = (25, 0)


@dataclass(frozen=True)
class DeviceDriver:
    """How a container gets its GPUs.

    Attributes:
        name: ``cdi`` (the engine reads the CDI specification) or ``nvidia`` (the runtime's hook).
        reason: Why this one.
        error: Why it can't work, or an empty text.
    """

    name: Literal["cdi", "nvidia"]
    reason: str
    error: str = ""


@dataclass(frozen=True)
class Service:
    """Everything the compose project is made of, already checked.

    Attributes:
        project: Name of the compose project.
        image: Image by digest.
        command: Command of the container.
        user: ``UID:GID``.
        gpus: UUIDs reserved.
        device_driver: How they are reserved.
        environment: Environment without what the reservation adds.
        profile: Name of the environment profile.
        network_mode: ``bridge`` or ``host``.
        ports: Published ports.
        checkpoints_directory: Folder of the host with the weights; mounted read-only.
        samples_directory: Folder of the host for the videos.
        source_directory: Folder of the host with an application tree to work on, or an empty text.
        cache_directory: Folder of the host for what the application compiles and downloads, or an empty text.
        secrets: Path of the file on the host of each secret, by its name.
        read_only: Whether the image can't be written to by the container.
        temporary_bytes: Size of each folder in memory of a container that is read-only.
        pids_limit: How many processes and threads the container may have, -1 for unlimited.
        shm_bytes: Size of /dev/shm.
        ulimits: Resource limits, -1 for unlimited.
        health_command: Command of the health check.
        health: Times of the health check.
        start_interval: Seconds between checks during the start period, or None where the engine can't.
        restart: Restart policy.
        tty: Whether the container has a terminal.
    """

    project: str
    image: str
    command: tuple[str, ...]
    user: str
    gpus: tuple[str, ...]
    device_driver: DeviceDriver
    environment: Mapping[str, str]
    profile: str
    network_mode: str
    ports: tuple[PublishedPort, ...]
    checkpoints_directory: str
    samples_directory: str
    source_directory: str
    cache_directory: str
    secrets: Mapping[str, str]
    read_only: bool
    temporary_bytes: int
    pids_limit: int
    shm_bytes: int
    ulimits: Mapping[str, int]
    health_command: tuple[str, ...]
    health: HealthTimes
    start_interval: int | None
    restart: str
    tty: bool


def version_tuple(version: object) -> tuple[int, ...]:
    """Return the leading numbers of a version, such as (28, 2, 1) for ``28.2.1-ce``; empty when unknown."""
    match = re.match(r"\d+(?:\.\d+)*", str(version or ""))
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def supports_start_interval(engine: Mapping[str, Any]) -> bool:
    """Return whether the engine checks health more often during the start period; a missing engine will.

    Args:
        engine: ``gpu_host.engine``.
    """
    version = version_tuple(engine.get("version"))
    return not version or version >= _START_INTERVAL


def forgets_cdi_containers(driver: DeviceDriver, engine: Mapping[str, Any], restart: str) -> bool:
    """Return whether the engine leaves the service down after its own restart or a reboot, whatever the policy says.

    Before 28.2 the engine brings containers back before it knows CDI; seen with 26.1.5: ``could not select device
    driver "cdi"``, and the container stays exited.

    Args:
        driver: How the GPUs are reserved.
        engine: ``gpu_host.engine``.
        restart: Restart policy.
    """
    version = version_tuple(engine.get("version"))
    return driver.name == "cdi" and restart != "no" and bool(version) and version < _CDI_RESTART


def choose_device_driver(
    requested: str, engine: Mapping[str, Any], cdi_specs: Sequence[Mapping[str, Any]], gpus: Sequence[str]
) -> DeviceDriver:
    """Decide how the GPUs are reserved.

    CDI is preferred: the container keeps its GPUs over a ``systemctl daemon-reload``, which takes them away from
    containers started through the runtime's hook. Before Docker 29.2 a reservation with ``driver: nvidia`` always
    takes the hook, so CDI has to be asked for by name.

    Args:
        requested: ``auto``, ``cdi`` or ``nvidia``.
        engine: ``gpu_host.engine``.
        cdi_specs: ``gpu_host.toolkit.cdi_specs``.
        gpus: UUIDs to reserve.
    """
    if requested == "nvidia":
        return DeviceDriver("nvidia", "asked for by opensora_service_device_driver")
    if engine.get("kind", "none") == "none":
        return DeviceDriver("cdi", "no engine yet; the one that gets installed supports CDI")
    enabled = engine.get("cdi_enabled")
    if enabled is None:
        enabled = version_tuple(engine.get("version")) >= _CDI_BY_DEFAULT
    why = f"Docker {engine.get('version')} has CDI switched {'on' if enabled else 'off'}"
    if not enabled:
        if requested == "cdi":
            return DeviceDriver(
                "cdi", "asked for by opensora_service_device_driver", f"{why}; set features.cdi in daemon.json"
            )
        return DeviceDriver("nvidia", why)
    names = {str(name) for spec in cdi_specs if spec.get("kind") == CDI_KIND for name in spec.get("devices") or []}
    missing = [uuid for uuid in gpus if uuid not in names and f"{CDI_KIND}={uuid}" not in names]
    return _by_specification(requested, why, missing, cdi_specs)


def _by_specification(
    requested: str, enabled: str, missing: Sequence[str], cdi_specs: Sequence[Mapping[str, Any]]
) -> DeviceDriver:
    """Decide for an engine that has CDI switched on, by what the specification lacks."""
    if not missing:
        return DeviceDriver("cdi", f"{enabled} and the CDI specification lists every reserved GPU")
    paths = ", ".join(str(spec.get("path")) for spec in cdi_specs) or "no CDI specification"
    why = f"{paths} doesn't list {', '.join(missing)}"
    if requested == "cdi":
        return DeviceDriver(
            "cdi", "asked for by opensora_service_device_driver", f"{why}; generate it again with nvidia-ctk"
        )
    return DeviceDriver("nvidia", why)


def build_project(service: Service) -> dict[str, Any]:
    """Return the compose project, ready to be written as YAML.

    Args:
        service: The checked wish.
    """
    root = SOURCE_DIRECTORY if service.source_directory else APPLICATION_DIRECTORY
    volumes = [_bind(service.source_directory, SOURCE_DIRECTORY)] if service.source_directory else []
    volumes.append(_bind(service.checkpoints_directory, f"{root}/ckpts", read_only=True))
    volumes.append(_bind(service.samples_directory, f"{root}/samples"))
    if service.cache_directory:
        volumes.append(_bind(service.cache_directory, CACHE_DIRECTORY))
    definition: dict[str, Any] = {
        "image": service.image,
        "command": list(service.command),
        "working_dir": root,
        "user": service.user,
        "init": True,
        "tty": service.tty,
        "restart": service.restart,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "environment": dict(sorted(_environment(service).items())),
        "volumes": volumes,
        "pids_limit": service.pids_limit,
        "shm_size": service.shm_bytes,
        "ulimits": {name: {"soft": limit, "hard": limit} for name, limit in sorted(service.ulimits.items())},
        "healthcheck": _health_check(service),
        "logging": {"driver": "json-file", "options": {"max-size": "100m", "max-file": "3"}},
        "labels": {PROFILE_LABEL: service.profile},
    }
    if service.read_only:
        definition["read_only"] = True
        definition["tmpfs"] = [
            f"{path}:rw,{execution},nosuid,nodev,mode=1777,size={service.temporary_bytes}"
            for path, execution in _TEMPORARY.items()
        ]
    if service.secrets:
        definition["secrets"] = sorted(service.secrets)
    if service.network_mode == "host":
        definition["network_mode"] = "host"
    if service.ports:
        definition["ports"] = [str(port) for port in service.ports]
    if service.gpus:
        definition["deploy"] = {"resources": {"reservations": {"devices": [_reservation(service)]}}}
    project: dict[str, Any] = {"name": service.project, "services": {SERVICE: definition}}
    if service.secrets:
        project["secrets"] = {name: {"file": path} for name, path in sorted(service.secrets.items())}
    escaped: dict[str, Any] = _escape(project)
    return escaped


def _reservation(service: Service) -> dict[str, Any]:
    """Return the device reservation: ids, never a count, which would mean whatever is there."""
    is_cdi = service.device_driver.name == "cdi"
    identifiers = [f"{CDI_KIND}={uuid}" if is_cdi else uuid for uuid in service.gpus]
    return {"driver": service.device_driver.name, "device_ids": identifiers, "capabilities": ["gpu"]}


def _environment(service: Service) -> dict[str, str]:
    """Return the environment with what the reservation needs."""
    environment = {**service.environment, "OPENSORA_EXPECTED_GPUS": str(len(service.gpus))}
    if service.device_driver.name == "cdi":
        # CUDA images say NVIDIA_VISIBLE_DEVICES=all, by which an nvidia default runtime would add every GPU.
        environment["NVIDIA_VISIBLE_DEVICES"] = "void"
    else:
        environment["NVIDIA_VISIBLE_DEVICES"] = ",".join(service.gpus) or "void"
        environment["NVIDIA_DRIVER_CAPABILITIES"] = "compute,utility"
    if service.source_directory:
        environment.setdefault("PYTHONPATH", SOURCE_DIRECTORY)
        environment["OPENSORA_SAMPLES_DIRECTORY"] = f"{SOURCE_DIRECTORY}/samples"
    return environment


def _health_check(service: Service) -> dict[str, Any]:
    """Return the health check."""
    check: dict[str, Any] = {
        "test": ["CMD", *service.health_command],
        "interval": f"{service.health.interval}s",
        "timeout": f"{service.health.timeout}s",
        "retries": service.health.retries,
        "start_period": f"{service.health.start_period}s",
    }
    if service.start_interval is not None and service.health.start_period:
        check["start_interval"] = f"{service.start_interval}s"
    return check


def _bind(source: str, target: str, *, read_only: bool = False) -> dict[str, Any]:
    """Return a bind mount that fails when the folder of the host is missing, instead of making one owned by root."""
    volume: dict[str, Any] = {"type": "bind", "source": source, "target": target}
    if read_only:
        volume["read_only"] = True
    return {**volume, "bind": {"create_host_path": False}}


def _escape(value: Any) -> Any:
    """Return data in which compose substitutes nothing: every ``$`` is doubled."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {key: _escape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escape(item) for item in value]
    return value
