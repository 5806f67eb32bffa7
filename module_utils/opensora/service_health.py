# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Whether a started service is well: its health, the GPUs it sees, and what its end means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ansible.module_utils.opensora.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible.module_utils.opensora.service_state import ServiceState

# A container without a health check counts as well when it has run this long, in seconds.
_SETTLED_SECONDS = 3
# Restarts since the start of the wait after which the engine is going round in circles.
_RESTARTS = 2
_EXIT_NOT_FOUND = (126, 127)


@dataclass(frozen=True)
class Verdict:
    """One look at a starting container.

    Attributes:
        outcome: ``pending``, ``healthy`` or ``failed``.
        reason: Why it failed, or an empty text.
    """

    outcome: Literal["pending", "healthy", "failed"]
    reason: str = ""


def judge(state: ServiceState, elapsed: float, wait: int, restarts_before: int) -> Verdict:
    """Return whether a container that was started is well by now.

    Args:
        state: The container now.
        elapsed: Seconds since the start.
        wait: Seconds after which waiting ends.
        restarts_before: Restarts that the engine had counted when the wait began.
    """
    ended = _end(state, restarts_before)
    if ended:
        return Verdict("failed", ended)
    if state.status == "running":
        if state.health == "unhealthy":
            return Verdict("failed", "the container is unhealthy")
        if state.health == "healthy" or (state.health is None and elapsed >= _SETTLED_SECONDS):
            return Verdict("healthy")
    if elapsed >= wait:
        return Verdict("failed", f"the container is {state.health or state.status} after {wait} s")
    return Verdict("pending")


def _end(state: ServiceState, restarts_before: int) -> str:
    """Return why a container will not become well any more, or an empty text."""
    if state.container_id is None:
        return "the container is gone"
    if state.status in ("exited", "dead"):
        return f"the container ended with {describe_end(state)}"
    if state.restart_count - restarts_before >= _RESTARTS:
        return "the container ends and is restarted again and again"
    return ""


def describe_end(state: ServiceState) -> str:
    """Return the end of a container in words."""
    if state.oom_killed:
        return f"exit code {state.exit_code}: killed by the kernel for want of host memory"
    if state.error:
        return f"exit code {state.exit_code}: {state.error}"
    meanings = {137: "killed", 139: "crashed in native code", 126: "command can't be run", 127: "command not found"}
    meaning = meanings.get(state.exit_code or 0)
    return f"exit code {state.exit_code}" + (f" ({meaning})" if meaning else "")


def evidence(state: ServiceState, log_lines: Sequence[str], ends: Sequence[int]) -> tuple[str, ...]:
    """Return what shows why a container is not well: exit code, health history, last lines of its log.

    Args:
        state: The container now.
        log_lines: Last lines of its log.
        ends: Exit codes of its ends so far, oldest first.
    """
    lines = [f"status {state.status}, health {state.health}, restarts {state.restart_count}"]
    if ends:
        lines.append(f"exit codes of its ends: {', '.join(str(code) for code in ends)}")
    for code, output in state.health_log:
        lines.append(f"health check: exit code {code}")
        lines += [f"    {line}" for line in output.splitlines()]
    lines += [f"log: {line}" for line in log_lines]
    return tuple(lines)


# What the health check of this project's images says when the application can't be imported.
_NOT_IMPORTED = re.compile(r"unhealthy: application: import ")


def not_well(reason: str, lines: Sequence[str]) -> Problem:
    """Return the problem of a container that did not become well.

    The build of an image imports the application as the user that runs it. Where that fails afterwards, the files of
    the image are not what was built: a damaged disk shows like this, and neither engine nor registry notices.

    Args:
        reason: What the container did.
        lines: What shows why, as ``evidence`` returns it.
    """
    if any(_NOT_IMPORTED.search(line) for line in lines):
        return Problem(
            "image",
            "image.application_missing",
            "error",
            f"{reason}: the application can't be imported, although the build of its image has checked that",
            "Where no variable of the service explains it, the image is damaged on this host: remove it and the build "
            "cache that shares its layers (`docker image rm --force`, `docker builder prune --all`), and run again.",
            tuple(lines),
        )
    advice = "Read the health checks and the log above; the last lines usually name the cause."
    return Problem("application", "service.not_healthy", "error", reason, advice, tuple(lines))


def visible_gpus(listing: str) -> tuple[str, ...]:
    """Return the UUIDs in the output of ``nvidia-smi -L``; for a card divided by MIG its instances, not the card.

    Args:
        listing: Output of ``nvidia-smi -L``.
    """
    found: list[str] = []
    for line in listing.splitlines():
        match = re.search(r"UUID:\s*((?:GPU|MIG)-[^\s)]+)", line)
        if not match:
            continue
        uuid = match.group(1)
        if uuid.startswith("MIG-") and found and found[-1].startswith("GPU-"):
            found.pop()
        found.append(uuid)
    return tuple(sorted(found))


def check_visible_gpus(exit_code: int, output: str, expected: Sequence[str]) -> tuple[list[Problem], bool]:
    """Judge ``nvidia-smi -L`` inside the container.

    Args:
        exit_code: Of the command inside the container.
        output: Of the command.
        expected: UUIDs reserved.

    Returns:
        The problems, and whether the command could be run at all.
    """
    if exit_code in _EXIT_NOT_FOUND or (exit_code != 0 and not expected):
        # A container that was given no GPU has no nvidia-smi either, or one that finds no driver.
        return [], False
    lines = tuple(output.strip().splitlines()[-10:])
    if exit_code != 0:
        message = f"nvidia-smi inside the container ends with exit code {exit_code}"
        advice = (
            "Look at the driver on the host (nvidia-smi there); then replace the container, a restart is not enough."
        )
        return [Problem("userspace", "proof.nvidia_smi_failed", "error", message, advice, lines)], True
    seen = visible_gpus(output)
    if set(seen) == set(expected):
        return [], True
    message = f"the container sees {', '.join(seen) or 'no GPU'}, reserved are {', '.join(sorted(expected)) or 'none'}"
    advice = "Look for a default runtime or NVIDIA_VISIBLE_DEVICES that adds GPUs, and at the CDI specification."
    return [Problem("compose", "proof.gpus_differ", "error", message, advice, lines)], True


def check_proof(command: Sequence[str], exit_code: int, output: str) -> list[Problem]:
    """Judge the proof command inside the container.

    Args:
        command: What was run.
        exit_code: Of the command.
        output: Of the command.
    """
    if exit_code == 0:
        return []
    message = f"the proof inside the container ({' '.join(command)}) ends with exit code {exit_code}"
    advice = "Read its output; the service would not do its work on the reserved GPUs."
    return [Problem("application", "proof.failed", "error", message, advice, tuple(output.strip().splitlines()[-10:]))]


# (pattern in compose's error output, layer, code, what to do)
_FAILURES: tuple[tuple[str, str, str, str], ...] = (
    (
        r"port is already allocated|address already in use",
        "network",
        "port.taken",
        "Free the port or change opensora_service_ports.",
    ),
    (
        r"container name .* is already in use",
        "compose",
        "container.name_taken",
        "Rename or remove the other container.",
    ),
    (
        r"could not select device driver",
        "toolkit",
        "toolkit.no_device_driver",
        "The engine knows no driver for this reservation: install the container toolkit and restart the engine.",
    ),
    (
        r"unresolvable CDI devices|CDI device injection failed|failed to inject CDI",
        "toolkit",
        "toolkit.cdi_unresolvable",
        "The CDI specification doesn't list the GPU: generate it again (nvidia-ctk cdi generate) and run again.",
    ),
    (
        r"nvidia-container-cli.*not found|could not find binary nvidia-container-cli",
        "toolkit",
        "toolkit.hook_missing",
        "Install libnvidia-container-tools, or reserve through CDI (opensora_service_device_driver: cdi).",
    ),
    (
        r"device error: .*unknown device",
        "userspace",
        "gpu.unknown_device",
        "The driver doesn't know this GPU any more: compare nvidia-smi -L with the reservation.",
    ),
    (
        r"unsatisfied condition: cuda>=",
        "userspace",
        "driver.too_old_for_image",
        "The driver is older than the image's CUDA needs: raise nvidia_driver_branch or choose another base image.",
    ),
    (
        r"unknown or invalid runtime name",
        "engine",
        "engine.runtime_unknown",
        "Register the runtime and restart the engine.",
    ),
    (
        r"error setting rlimit",
        "engine",
        "engine.rlimit_refused",
        "The engine may not raise this limit: lower it in opensora_service_ulimits (8 memlock, 7 nofile, 3 stack).",
    ),
    (
        r"bind source path does not exist|invalid mount config",
        "compose",
        "volume.missing",
        "Make the folder on the host, or correct the directory variables of the service.",
    ),
    (
        r"pull access denied|manifest unknown|No such image|not found: manifest",
        "image",
        "image.missing",
        "Provide the image first: run playbooks/image.yml.",
    ),
    (r"no space left on device", "disk", "disk.full", "Free space under the engine's data root."),
    (
        r"could not find an available, non-overlapping IPv4 address pool|Pool overlaps",
        "network",
        "network.pool_exhausted",
        "Remove unused networks, or set default-address-pools in daemon.json.",
    ),
    (
        r"start_interval",
        "engine",
        "engine.too_old",
        "The engine is older than 25: read the host again and render anew.",
    ),
)


def classify_compose_failure(output: str) -> Problem:
    """Return the problem behind a failed ``docker compose up``.

    Args:
        output: What compose printed.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for pattern, layer, code, advice in _FAILURES:
        for line in lines:
            if re.search(pattern, line, re.IGNORECASE):
                return Problem(layer, code, "error", line, advice, tuple(lines[-10:]))  # type: ignore[arg-type]
    message = lines[-1] if lines else "docker compose said nothing"
    return Problem("compose", "compose.failed", "error", message, "Read the lines above it.", tuple(lines[-10:]))
