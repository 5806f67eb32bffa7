# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""From the variables of the role and the facts of a host to the compose project, with everything that is wrong."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.compose_model import (
    PROJECT,
    DeviceDriver,
    Service,
    build_project,
    choose_device_driver,
    forgets_cdi_containers,
    supports_start_interval,
)
from ansible.module_utils.opensora.environment_profiles import PROFILES, render
from ansible.module_utils.opensora.gpu_selection import NO_GPU, GpuSelectionError, SelectedGpu, select, selectable
from ansible.module_utils.opensora.image_reference import is_image_by_digest
from ansible.module_utils.opensora.problems import Problem, invalid_value
from ansible.module_utils.opensora.service_settings import (
    HealthTimes,
    PublishedPort,
    parse_user,
    read_health_times,
    read_pids_limit,
    read_ports,
    read_secrets,
    read_shared_memory,
    read_temporary_size,
    read_ulimits,
)
from ansible.module_utils.opensora.value_syntax import path_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# The program of the role's own image for the health check.
HEALTH_PROGRAM = "/opt/opensora-site/healthcheck.py"
_PREFIX = "opensora_service_"
# Where the checks run closely together while the model loads, so that a deployment ends soon after it is ready.
_START_INTERVAL_SECONDS = 2
# A container that can write into one of these can become the host; the engine's socket lies in /run.
_OF_SYSTEM = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr"),
    *("/var/run", "/var/lib/containerd", "/var/lib/docker", "/var/lib/dpkg", "/var/lib/systemd"),
)
_HOLDS_SYSTEM = ("/", "/var", "/var/lib", "/root", "/home", "/opt", "/srv", "/mnt")
# Stands for the image in what is only predicted.
_IMAGE_TO_COME = f"sha256:{'0' * 64}"


@dataclass(frozen=True)
class ServicePlan:
    """What the service shall be on one host.

    Attributes:
        project: The compose project; empty when an error stands in the way.
        gpus: The GPUs reserved.
        device_driver: How they are reserved.
        health: Times of the health check.
        ports: Published ports.
        user: (uid, gid) of the container.
        problems: Everything wrong or worth a warning.
        proof_command: Command that has to succeed in the container.
        start_after_engine: Whether something else than the engine has to start the container after a restart.
    """

    project: dict[str, Any]
    gpus: tuple[SelectedGpu, ...]
    device_driver: DeviceDriver
    health: HealthTimes | None
    ports: tuple[PublishedPort, ...]
    user: tuple[int, int] | None
    problems: tuple[Problem, ...]
    proof_command: tuple[str, ...] = ()
    start_after_engine: bool = False


def make_plan(
    settings: Mapping[str, Any],
    host: Mapping[str, Any],
    search: Callable[[str, Any], Any],
    *,
    is_final: bool,
    needs_image: bool,
    project: str = PROJECT,
) -> ServicePlan:
    """Return the plan of one service of a host.

    Args:
        settings: Variables of the role without their prefix; ``image`` may be empty before the image is known.
        host: ``gpu_host``.
        search: ``jmespath.search``.
        is_final: Whether driver and engine are in place. Before, what they decide is not judged.
        needs_image: Whether the image has to be known.
        project: Name of the compose project.
    """
    problems: list[Problem] = []
    gpus = _select(settings["gpus"], host, search, problems, is_final=is_final)
    uuids = tuple(gpu.uuid for gpu in gpus)
    engine = host.get("engine") or {}
    driver = choose_device_driver(
        settings["device_driver"], engine, (host.get("toolkit") or {}).get("cdi_specs") or [], uuids
    )
    if is_final and driver.error:
        advice = "Run playbooks/engine.yml, which generates the specification and switches CDI on."
        problems.append(Problem("toolkit", "service.device_driver", "error", driver.error, advice))
    profile = PROFILES[settings["environment_profile"]]
    environment, found = render(settings["environment_profile"], settings["environment"] or {})
    problems += found
    health, found = read_health_times(settings)
    problems += found
    ports, found = read_ports(settings, profile.network_mode)
    problems += found
    shm_bytes, found = read_shared_memory(settings["shm_size"], host.get("memory_total_bytes"))
    problems += found
    ulimits, found = read_ulimits(settings["ulimits"])
    problems += found
    user = parse_user(settings["user"])
    if user is None:
        problems.append(
            invalid_value(f"{_PREFIX}user", settings["user"], "UID:GID in numbers, not root, such as 10001:10001")
        )
    problems += _check_directories(settings) + _check_commands(settings)
    image = str(settings["image"] or "")
    if (image or needs_image) and not is_image_by_digest(image):
        problems.append(
            invalid_value(
                f"{_PREFIX}image", settings["image"], "an image by digest, NAME@sha256:... or sha256:... (its ID)"
            )
        )
    temporary_bytes, found = read_temporary_size(settings["temporary_size"])
    problems += found
    pids_limit, found = read_pids_limit(settings["pids_limit"])
    problems += found
    secrets, found = read_secrets(settings["secrets"], settings["directory"])
    problems += found
    definition: dict[str, Any] = {}
    if health is not None and shm_bytes is not None and not any(p.severity == "error" for p in problems):
        definition = build_project(
            Service(
                project=project,
                image=image or _IMAGE_TO_COME,
                command=tuple(str(part) for part in settings["command"]),
                user=str(settings["user"]).strip(),
                gpus=uuids,
                device_driver=driver,
                environment=environment,
                profile=settings["environment_profile"],
                network_mode=profile.network_mode,
                ports=tuple(ports),
                checkpoints_directory=settings["checkpoints_directory"],
                samples_directory=settings["samples_directory"],
                source_directory=settings["source_directory"],
                cache_directory=settings["cache_directory"],
                secrets=secrets,
                read_only=bool(settings["read_only"]),
                temporary_bytes=temporary_bytes,
                pids_limit=pids_limit,
                shm_bytes=shm_bytes,
                ulimits=ulimits,
                health_command=tuple(str(part) for part in settings["health_command"]),
                health=health,
                start_interval=_START_INTERVAL_SECONDS if supports_start_interval(engine) else None,
                restart=settings["restart"],
                tty=bool(settings["tty"]),
            )
        )
    return ServicePlan(
        definition,
        tuple(gpus),
        driver,
        health,
        tuple(ports),
        user,
        tuple(problems),
        _proof(settings),
        forgets_cdi_containers(driver, engine, settings["restart"]),
    )


def _select(
    expression: object,
    host: Mapping[str, Any],
    search: Callable[[str, Any], Any],
    problems: list[Problem],
    *,
    is_final: bool,
) -> list[SelectedGpu]:
    """Return the selected GPUs; while the driver is to come, only whether the expression can be read is judged."""
    if expression == NO_GPU:
        return []
    gpus = host.get("gpus") or []
    driver_action = (host.get("driver") or {}).get("action")
    is_pending = not gpus and not is_final and (driver_action != "none" or not host.get("pci_gpu_count"))
    if is_pending:
        placeholder = {"index": 0, "uuid": "GPU-pending", "memory_total_mib": None, "mig": {"devices": []}}
        try:
            select(expression, [placeholder], search)
        except GpuSelectionError as error:
            if error.__cause__ is not None or not isinstance(expression, str):
                problems.append(_selection_problem(error, ("the driver shows its GPUs only after it is installed",)))
        return []
    try:
        return select(expression, gpus, search)
    except GpuSelectionError as error:
        problems.append(_selection_problem(error, selectable(gpus)))
        return []


def _selection_problem(error: GpuSelectionError, evidence: tuple[str, ...]) -> Problem:
    """Return the problem of a selection."""
    advice = f"Correct {_PREFIX}gpus of this host; above is what there is to select from."
    return Problem("configuration", "gpus.selection", "error", f"{_PREFIX}gpus: {error}", advice, evidence)


def _proof(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the command that proves a container: the user's, else the health check's program, which can compute."""
    if settings["proof_command"]:
        return tuple(str(part) for part in settings["proof_command"])
    command = tuple(str(part) for part in settings["health_command"])
    return (*command, "--compute") if command[-1:] == (HEALTH_PROGRAM,) else command


def _check_directories(settings: Mapping[str, Any]) -> list[Problem]:
    """Return the directories that are not absolute, or that lie in each other."""
    names = ("directory", "checkpoints_directory", "samples_directory", "source_directory", "cache_directory")
    problems = [
        invalid_value(f"{_PREFIX}{name}", settings[name], "an absolute path without '..'")
        for name in names
        if not (name in ("source_directory", "cache_directory") and not settings[name])
        and path_problems(name, settings[name])
    ]
    problems += [
        invalid_value(f"{_PREFIX}{name}", settings[name], "a folder that is neither the system's nor the engine's")
        for name in names
        if name != "directory" and _is_of_system(str(settings[name]))
    ]
    if str(settings["checkpoints_directory"]).rstrip("/") == str(settings["samples_directory"]).rstrip("/"):
        problems.append(
            invalid_value(
                f"{_PREFIX}samples_directory",
                settings["samples_directory"],
                "another folder than that of the checkpoints",
            )
        )
    return problems


def _is_of_system(path: str) -> bool:
    """Return whether a folder is one that no container may be given: it holds the engine's socket, or the system."""
    if not path or path_problems("", path):
        return False  # refused as no path at all
    place = "/" + posixpath.normpath(path).lstrip("/")
    return place in _HOLDS_SYSTEM or any(f"{place}/".startswith(f"{folder}/") for folder in _OF_SYSTEM)


def _check_commands(settings: Mapping[str, Any]) -> list[Problem]:
    """Return the commands that are not lists of words."""
    return [
        invalid_value(f"{_PREFIX}{name}", settings[name], "a list of words, such as [sleep, infinity]")
        for name in ("command", "health_command")
        if not isinstance(settings[name], list) or not settings[name]
    ]
