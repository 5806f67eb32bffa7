# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Who else uses the GPUs and ports that a service is to get."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from ansible.module_utils.opensora.problems import Problem

_FIELDS = 4


@dataclass(frozen=True)
class ComputeProcess:
    """A process that computes on a GPU.

    Attributes:
        gpu: UUID of the GPU.
        pid: Its number on the host.
        name: Path of its program.
        memory_mib: Memory that it has on the GPU in MiB; None when the driver does not tell.
    """

    gpu: str
    pid: int
    name: str
    memory_mib: int | None


def parse_compute_processes(text: str) -> list[ComputeProcess]:
    """Return the processes that nvidia-smi lists.

    Args:
        text: Output of ``nvidia-smi --query-compute-apps=gpu_uuid,pid,used_memory,process_name
            --format=csv,noheader,nounits``. The name comes last, because it may hold commas.
    """
    found = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",", _FIELDS - 1)]
        if len(parts) == _FIELDS and parts[1].isdigit():
            memory = int(parts[2]) if parts[2].isdigit() else None
            found.append(ComputeProcess(parts[0], int(parts[1]), parts[3], memory))
    return found


def busy_gpus(
    processes: Iterable[ComputeProcess],
    gpus: Collection[str],
    own: Collection[int],
    container_of: Callable[[int], str],
) -> list[Problem]:
    """Return a problem for each foreign process on the GPUs of the service.

    Args:
        processes: What computes on the host.
        gpus: UUIDs that the service gets.
        own: Numbers of the processes of this project's containers.
        container_of: Says in which container a process runs; empty for none.
    """
    problems = []
    for process in processes:
        if process.gpu not in gpus or process.pid in own:
            continue
        memory = "" if process.memory_mib is None else f" with {process.memory_mib} MiB"
        container = container_of(process.pid)
        where = f" in container {container}" if container else ""
        problems.append(
            Problem(
                "compose",
                "gpus.in_use",
                "error",
                f"{process.gpu} is in use by {process.name} (process {process.pid}{where}){memory}",
                "End it, select other GPUs (opensora_service_gpus), or share them on purpose "
                "(opensora_service_share_gpus: true). It was left alone.",
            )
        )
    return problems


def listener_in(text: str, port: int) -> str:
    """Return who listens on a TCP port, as ``ss -H -ltnp`` says it; empty for nobody.

    Args:
        text: Output of the command.
        port: The port.
    """
    for line in text.splitlines():
        columns = line.split()
        if len(columns) > _FIELDS - 1 and columns[3].rpartition(":")[2] == str(port):
            names = re.findall(r'\("([^"]+)",pid=(\d+)', line)
            who = ", ".join(f"{name} (process {pid})" for name, pid in names) or "another process"
            return f"{who} on {columns[3]}"
    return ""


def container_in(control_groups: str) -> str:
    """Return the short ID of the container that a process runs in, by its ``/proc/PID/cgroup``; empty for none."""
    match = re.search(r"(?:docker[-/]|libpod-|/)([0-9a-f]{64})", control_groups)
    return match.group(1)[:12] if match else ""
