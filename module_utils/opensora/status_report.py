# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""From the answers of all hosts to what is to be said of each: how it is doing, and what needs attention.

Only what the status itself shows is judged here. Why a layer is broken is the doctor's to say, so that is where most
of the next actions lead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.connection import unreadable_host
from ansible.module_utils.opensora.doctor_report import without_secrets
from ansible.module_utils.opensora.problems import Problem
from ansible.module_utils.opensora.status_words import printable, room

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

OK = "ok"
ATTENTION = "attention"
UNREACHABLE = "unreachable"

_DOCTOR = "Run playbooks/doctor.yml: it names the layer that is broken and what to do."
_SERVICE = "Run playbooks/service.yml; playbooks/doctor.yml says what stands against it."
# Below this part of a file system its last gigabytes go faster than anyone looks.
_NEARLY_FULL = 0.05


@dataclass(frozen=True)
class HostStatus:
    """One host.

    Attributes:
        name: Name in the inventory.
        status: ``status`` of opensora_status_info; empty where the host could not be read.
        problems: What needs attention, in the one shape of problems.
    """

    name: str
    status: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[Mapping[str, Any], ...] = ()

    @property
    def state(self) -> str:
        """``ok``, ``attention`` or ``unreachable``."""
        if not self.status:
            return UNREACHABLE
        return ATTENTION if self.problems else OK

    def as_dict(self) -> dict[str, Any]:
        """Return the host as plain data for JSON."""
        return {"state": self.state, "problems": [dict(problem) for problem in self.problems], **self.status}


def service_state(service: Mapping[str, Any]) -> str:
    """Return the state of a service in one word: its health where it runs and has a check, else its status."""
    return str((service.get("health") if service.get("status") == "running" else None) or service.get("status"))


def is_service_well(service: Mapping[str, Any]) -> bool:
    """Return whether a service runs and is healthy, or has no health check."""
    return service_state(service) in ("healthy", "running")


def _gpu_problems(status: Mapping[str, Any]) -> list[Problem]:
    gpus, on_bus = status["gpus"], status["bus_gpu_count"]
    error = status["driver"]["error"]
    evidence = tuple(str(error).splitlines()) if error else ()
    if not gpus and not on_bus and evidence:
        return [
            Problem("pci", "pci.no_gpu", "error", "No NVIDIA GPU is on the bus and none answers", _DOCTOR, evidence)
        ]
    if not gpus:
        message = f"No GPU answers, {on_bus} on the bus"
        return [Problem("userspace", "driver.no_answer", "error", message, _DOCTOR, evidence)]
    found = []
    if len(gpus) < on_bus:
        message = f"{on_bus} NVIDIA GPUs on the bus, the driver shows {len(gpus)}"
        found.append(Problem("kernel_module", "gpu.missing", "error", message, _DOCTOR))
    sick = [gpu for gpu in gpus if gpu["healthy"] is False]
    if sick:
        numbers = ", ".join(str(gpu["index"]) for gpu in sick)
        message = f"The driver reports a fault of GPU {numbers}"
        found.append(
            Problem("kernel_module", "gpu.sick", "error", message, _DOCTOR, tuple(str(gpu["uuid"]) for gpu in sick))
        )
    return found


def _engine_problems(status: Mapping[str, Any]) -> list[Problem]:
    engine, unknown = status["engine"], status["services_unknown"]
    if engine["kind"] == "none":
        message = "There is no container engine, so no service"
        return [Problem("engine", "engine.absent", "error", message, "Run site.yml.")]
    if engine["kind"] == "podman":
        message = "The engine is podman, which runs no service of this project"
        return [Problem("engine", "engine.other", "error", message, _DOCTOR)]
    if not engine["running"]:
        evidence = (str(engine["error"]),) if engine["error"] else ()
        return [Problem("engine", "engine.no_answer", "error", "The engine does not answer", _DOCTOR, evidence)]
    if unknown:
        message = f"The services can't be read: {unknown}"
        return [Problem("engine", "engine.no_answer", "error", message, _DOCTOR)]
    if not status["services"]:
        return [Problem("compose", "service.absent", "warning", "No service is deployed", "Run site.yml.")]
    return []


def _service_problem(service: Mapping[str, Any]) -> Problem | None:
    state, name = service_state(service), service["name"]
    if is_service_well(service):
        return None
    if state == "starting":
        message = f"{name} is starting"
        return Problem(
            "application", "service.starting", "warning", message, "Look again when it has loaded its model."
        )
    words = "has ended" if state == "exited" else f"is {state}"
    ended = "" if service.get("exit_code") is None else f", exit code {service['exit_code']}"
    evidence = (str(service["error"]),) if service.get("error") else ()
    return Problem("application", "service.not_healthy", "error", f"{name} {words}{ended}", _SERVICE, evidence)


def disk_groups(disks: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the file systems, each once, with everything that is kept there.

    Args:
        disks: ``status.disks``.
    """
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in disks:
        # Where it could not be measured nobody knows what is shared.
        key = (entry["mount"],) if entry["mount"] else (None, entry["path"])
        group = groups.setdefault(key, {**entry, "holds": [], "paths": []})
        for name, value in (("holds", entry["holds"]), ("paths", entry["path"])):
            if value not in group[name]:
                group[name].append(value)
    return list(groups.values())


def is_nearly_full(disk: Mapping[str, Any]) -> bool:
    """Return whether hardly anything is free on a file system; unknown is not full."""
    free, total = disk["free_bytes"], disk["total_bytes"]
    return free is not None and bool(total) and free < _NEARLY_FULL * total


def _disk_problems(status: Mapping[str, Any]) -> list[Problem]:
    return [
        Problem(
            "disk",
            "disk.nearly_full",
            "warning",
            f"{group['mount']} has {room(group['free_bytes'])} of {room(group['total_bytes'])} free "
            f"({', '.join(group['holds'])})",
            "Remove videos or images that nobody needs any more.",
        )
        for group in disk_groups(status["disks"])
        if is_nearly_full(group)
    ]


def _clean(value: Any) -> Any:
    """Return data whose texts hold no secrets, and nothing that would steer a terminal or turn a line around."""
    if isinstance(value, str):
        return printable(without_secrets(value))
    if isinstance(value, list):
        return [_clean(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _clean(entry) for key, entry in value.items()}
    return value


def make_host(name: str, result: Mapping[str, Any]) -> HostStatus:
    """Return one host.

    Every text of it can be shown as it is; a page has to escape it nevertheless.

    Args:
        name: Name in the inventory.
        result: Result of opensora_status_info, also of one that failed; empty where the host was never asked.
    """
    status = result.get("status")
    if not isinstance(status, dict):
        problem = unreadable_host(result or {"unreachable": True})
        return HostStatus(printable(name), {}, (_clean(problem.as_dict()),))
    problems = [*_gpu_problems(status), *_engine_problems(status)]
    problems += [problem for problem in map(_service_problem, status["services"]) if problem]
    problems += _disk_problems(status)
    return HostStatus(printable(name), _clean(status), tuple(_clean(problem.as_dict()) for problem in problems))


def summary(hosts: Sequence[HostStatus]) -> str:
    """Return all hosts in one line: ``6 hosts, 2 need attention, 1 not reachable``."""
    count = len(hosts)
    words = [f"{count} host{'' if count == 1 else 's'}"]
    attention = sum(host.state == ATTENTION for host in hosts)
    away = sum(host.state == UNREACHABLE for host in hosts)
    if attention:
        words.append(f"{attention} need{'s' if attention == 1 else ''} attention")
    if away:
        words.append(f"{away} not readable")
    return ", ".join([*words, *([] if attention or away else ["all well"])])
