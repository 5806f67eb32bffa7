# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The status of all hosts as tables for a terminal of 100 columns."""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.host_table import render_table, short_digest
from ansible.module_utils.opensora.problems import report
from ansible.module_utils.opensora.status_report import disk_groups, service_state, summary
from ansible.module_utils.opensora.status_words import UNKNOWN, cut, duration, memory, power, room, whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible.module_utils.opensora.status_report import HostStatus

COLUMNS = 100
_HOST_COLUMNS = 16
_STATES = {"ok": "ok", "attention": "attention", "unreachable": "not readable"}


def gpu_name(gpu: Mapping[str, Any]) -> str:
    """Return a GPU's name without its maker's, which they all share; with MIG its instances, with a fault that."""
    words = [re.sub(r"^NVIDIA\s+", "", str(gpu.get("name") or "")) or UNKNOWN]
    if gpu.get("mig_enabled"):
        words.insert(0, f"MIG x {len(gpu['mig_devices'])}")
    if gpu.get("healthy") is False:
        words.insert(0, "FAULT")
    return ", ".join(words)


def reserved(service: Mapping[str, Any], gpus: Sequence[Mapping[str, Any]]) -> str:
    """Return the GPUs that a service has reserved by their numbers; one that the host does not show by its UUID."""
    numbers = {gpu["uuid"]: int(gpu["index"]) for gpu in gpus if gpu.get("uuid")}
    wanted = [str(uuid) for uuid in service.get("gpus") or []]
    known = sorted(numbers[uuid] for uuid in wanted if uuid in numbers)
    names = [
        f"{first}-{last}" if last > first + 1 else ", ".join({str(first): 0, str(last): 0})
        for first, last in _ranges(known)
    ]
    return ", ".join([*names, *sorted(uuid[:12] for uuid in wanted if uuid not in numbers)]) or "none"


def _ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return sorted numbers as ranges: 0, 1, 2, 5 are 0 to 2 and 5 to 5."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Return the hosts' names without their domains where that leaves them different; addresses stay whole."""
    first = {
        name: name if re.fullmatch(r"[\d.:a-fA-F]*[.:][\d.:a-fA-F]*", name) else name.split(".")[0] for name in names
    }
    return {name: cut(first[name] if len(set(first.values())) == len(names) else name, _HOST_COLUMNS) for name in names}


def _host_rows(hosts: Sequence[HostStatus]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for host in hosts:
        first = host.problems[0]["message"] if host.problems else ""
        more = f" (+{len(host.problems) - 1})" if len(host.problems) > 1 else ""
        driver = (host.status.get("driver") or {}).get("version")
        rows.append(
            (
                host.name,
                _STATES[host.state],
                duration(host.status.get("uptime_seconds")),
                cut(driver or UNKNOWN, 12),
                cut(first, 40 - len(more)) + more,
            )
        )
    return rows


def _gpu_rows(hosts: Sequence[HostStatus]) -> list[tuple[str, ...]]:
    return [
        (
            host.name,
            str(gpu["index"]),
            cut(gpu_name(gpu), 17),
            whole(gpu["utilization_percent"], "%"),
            memory(gpu["memory_used_mib"], gpu["memory_total_mib"]),
            whole(gpu["temperature_celsius"], "°C"),
            power(gpu["power_draw_watts"], gpu["power_limit_watts"]),
            UNKNOWN if gpu["process_count"] is None else str(gpu["process_count"]),
        )
        for host in hosts
        for gpu in host.status.get("gpus") or []
    ]


def _services(hosts: Sequence[HostStatus]) -> list[tuple[HostStatus, Mapping[str, Any]]]:
    return [(host, service) for host in hosts for service in host.status.get("services") or []]


def _service_rows(hosts: Sequence[HostStatus]) -> list[tuple[str, ...]]:
    return [
        (
            host.name,
            cut(service["name"], 20),
            cut(service_state(service), 10),
            cut(short_digest(str(service["image"] or "")), 12),
            duration(service["uptime_seconds"]),
            str(service["restart_count"]),
            cut(reserved(service, host.status["gpus"]), 12),
        )
        for host, service in _services(hosts)
    ]


def _generation_rows(hosts: Sequence[HostStatus]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for host, service in _services(hosts):
        video = service["last_generation"]
        rows.append(
            (
                host.name,
                cut(service["name"], 20),
                f"{duration(video['age_seconds'])} ago" if video else UNKNOWN,
                duration(video["seconds"]) if video else UNKNOWN,
                cut((video["prompt"] or UNKNOWN) if video else service["last_generation_unknown"], 32),
            )
        )
    return rows


def _disk_rows(hosts: Sequence[HostStatus]) -> list[tuple[str, ...]]:
    return [
        (
            host.name,
            cut(group["mount"] or group["paths"][0], 30),
            cut(", ".join(group["holds"]), 28),
            room(group["free_bytes"]),
            room(group["total_bytes"]),
        )
        for host in hosts
        for group in disk_groups(host.status.get("disks") or [])
    ]


def _wrapped(text: str) -> str:
    """Return a text whose long lines go on below themselves."""
    lines = []
    for line in text.splitlines():
        indent = re.match(r"\s*(?:\||->)?\s*", line)
        further = " " * len(indent.group()) if indent else ""
        lines += textwrap.wrap(line, COLUMNS, subsequent_indent=further, break_on_hyphens=False) or [""]
    return "\n".join(lines)


def render_status(hosts: Sequence[HostStatus]) -> str:
    """Return all hosts as text.

    Args:
        hosts: The hosts in the order of the inventory.
    """
    names = short_names([host.name for host in hosts])
    listed = [replace(host, name=names[host.name]) for host in hosts]
    parts = [
        summary(hosts),
        render_table(_host_rows(listed), ("host", "state", "up", "driver", "needs attention")),
    ]
    for rows, headers in (
        (_gpu_rows(listed), ("host", "gpu", "name", "use", "memory", "temp", "power", "processes")),
        (_service_rows(listed), ("host", "service", "state", "image", "up", "restarts", "gpus")),
        (_generation_rows(listed), ("host", "service", "last video", "took", "prompt")),
        (_disk_rows(listed), ("host", "file system", "holds", "free", "of")),
    ):
        if rows:
            parts.append(render_table(rows, headers))
    found = {host.name: [dict(problem) for problem in host.problems] for host in hosts}
    parts += [_wrapped(text) for text in (report(found, "error"), report(found, "warning")) if text]
    return "\n\n".join(parts)
