# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The status of all hosts as one page that needs nothing else: no script, no font, no picture, no network.

What the template prints is made ready here; every text of a host is escaped on its way into the page.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora import status_chart
from ansible.module_utils.opensora.host_table import short_digest
from ansible.module_utils.opensora.status_history import gpu_key, series
from ansible.module_utils.opensora.status_report import (
    ATTENTION,
    OK,
    UNREACHABLE,
    disk_groups,
    is_nearly_full,
    is_service_well,
    service_state,
    summary,
)
from ansible.module_utils.opensora.status_table import reserved
from ansible.module_utils.opensora.status_words import (
    UNKNOWN,
    duration,
    memory,
    moment,
    power,
    room,
    whole,
)
from jinja2 import Environment, StrictUndefined

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible.module_utils.opensora.status_report import HostStatus

Points = list[tuple[float, "float | None"]]

_STATES = {OK: "All well", ATTENTION: "Needs attention", UNREACHABLE: "Not readable"}
_HOTTEST = 100.0
_MEBIBYTES = 1024.0
_DAY = 86400
# Fewer runs than this make no line; the samples of the run at hand then do.
_ENOUGH_RUNS = 2


def _points(
    host: HostStatus, gpu: Mapping[str, Any], measure: str, history: Sequence[Mapping[str, Any]]
) -> tuple[Points, bool]:
    """Return what a chart shows, and whether that is the history: until there is one, the samples of this run."""
    runs = series(history, host.name, gpu_key(gpu), measure)
    if sum(value is not None for _, value in runs) >= _ENOUGH_RUNS:
        first = next(number for number, (_, value) in enumerate(runs) if value is not None)
        return runs[first:], True
    return [(float(number), sample.get(measure)) for number, sample in enumerate(gpu["samples"])], False


def _chart(title: str, points: Points, ceiling: float | None, unit: str, *, divisor: float = 1.0) -> dict[str, Any]:
    """Return a chart with the same in words, for those who don't see it."""
    known = [value / divisor for _, value in points if value is not None]
    if not known or not ceiling:
        return {"lines": (), "areas": (), "last": None, "label": f"{title}: not known"}
    chart = status_chart.make_chart(points, ceiling)
    low, high = f"{min(known):.0f}", f"{max(known):.0f}"
    between = f"{low} {unit}" if low == high else f"{low} to {high} {unit}"
    label = f"{title}: {between}, last {known[-1]:.0f} {unit}, {len(known)} value{'' if len(known) == 1 else 's'}"
    return {"lines": chart.lines, "areas": chart.areas, "last": chart.last, "label": label}


def _notes(gpu: Mapping[str, Any]) -> list[str]:
    """Return why values of a GPU are not known, those with the same reason together."""
    names = {
        "utilization_percent": "use",
        "memory_used_mib": "memory",
        "memory_total_mib": "memory",
        "temperature_celsius": "temperature",
        "power_draw_watts": "power",
        "process_count": "processes",
    }
    reasons: dict[str, list[str]] = {}
    for measure, reason in gpu["unknown"].items():
        known_as = names.get(measure)
        if known_as and known_as not in reasons.setdefault(reason, []):
            reasons[reason].append(known_as)
    return [f"{', '.join(words).capitalize()}: {reason}" for reason, words in reasons.items()]


def _mig(gpu: Mapping[str, Any]) -> str:
    """Return how a GPU is divided, equal instances with their number; empty where it is whole."""
    if not gpu["mig_enabled"]:
        return ""
    names = [str(name) for name in gpu["mig_devices"]]
    counted = [f"{names.count(name)} × {name}" for name in dict.fromkeys(names)]  # noqa: RUF001  the sign for times
    return f"MIG: {', '.join(counted) or 'no instances'}"


def _gpu(host: HostStatus, gpu: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    measures: dict[str, Any] = {}
    total = gpu["memory_total_mib"]
    ceilings = {"utilization_percent": 100.0, "memory_used_mib": total, "temperature_celsius": _HOTTEST}
    titles = {
        "utilization_percent": ("use", "%", 1.0),
        "memory_used_mib": ("memory", "GiB", _MEBIBYTES),
        "temperature_celsius": ("temperature", "°C", 1.0),
    }
    for measure, (title, unit, divisor) in titles.items():
        points, _ = _points(host, gpu, measure, history)
        measures[title] = {
            "chart": _chart(f"GPU {gpu['index']}, {title}", [*points], ceilings[measure], unit, divisor=divisor),
            "reason": gpu["unknown"].get(measure, ""),
        }
    measures["use"]["text"] = whole(gpu["utilization_percent"], "%")
    measures["memory"]["text"] = memory(gpu["memory_used_mib"], total)
    measures["temperature"]["text"] = whole(gpu["temperature_celsius"], "°C")
    return {
        "index": gpu["index"],
        "name": gpu["name"] or UNKNOWN,
        "uuid": gpu["uuid"] or "UUID unknown",
        "is_sick": gpu["healthy"] is False,
        "mig": _mig(gpu),
        **measures,
        "notes": _notes(gpu),
        "power": {
            "text": power(gpu["power_draw_watts"], gpu["power_limit_watts"]),
            "reason": gpu["unknown"].get("power_draw_watts", ""),
        },
        "processes": {
            "text": UNKNOWN if gpu["process_count"] is None else str(gpu["process_count"]),
            "reason": gpu["unknown"].get("process_count", ""),
        },
    }


def _generation(service: Mapping[str, Any]) -> dict[str, Any]:
    video = service["last_generation"]
    if not video:
        return {"prompt": "", "reason": service["last_generation_unknown"] or "not known", "facts": ""}
    facts = [f"{duration(video['age_seconds'])} ago"]
    if video["seconds"] is not None:
        facts.append(f"took {duration(video['seconds'])}")
    if video["config"]:
        facts.append(video["config"])
    return {
        "prompt": video["prompt"] or UNKNOWN,
        "reason": "",
        "facts": " · ".join(facts),
        "finished": moment(video["finished"]),
        "finished_iso": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(video["finished"])),
    }


def _service(host: HostStatus, service: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": service["name"],
        "state": service_state(service),
        "is_well": is_service_well(service),
        "image": short_digest(str(service["image"] or "")),
        "image_full": service["image"] or UNKNOWN,
        "uptime": duration(service["uptime_seconds"]),
        "restarts": str(service["restart_count"]),
        "gpus": reserved(service, host.status["gpus"]),
        "profile": service["profile"] or UNKNOWN,
        "generation": _generation(service),
    }


def _disk(group: Mapping[str, Any]) -> dict[str, Any]:
    free, total = group["free_bytes"], group["total_bytes"]
    used = None if free is None or not total else round(100 * (1 - free / total), 1)
    return {
        "mount": group["mount"] or group["paths"][0],
        "holds": ", ".join(group["holds"]),
        "paths": ", ".join(group["paths"]),
        "used": used,
        "is_nearly_full": is_nearly_full(group),
        "text": UNKNOWN if free is None else f"{room(free)} free of {room(total)}",
        "label": "not known" if used is None else f"{used:.0f} % used",
    }


def _caption(host: HostStatus, history: Sequence[Mapping[str, Any]], now: int) -> str:
    """Return what the charts of a host show."""
    gpus = host.status.get("gpus") or []
    shown = [_points(host, gpu, "memory_used_mib", history) for gpu in gpus]
    begins = [points[0][0] for points, is_history in shown if is_history]
    if begins:
        runs = max(len(points) for points, is_history in shown if is_history)
        begin = min(begins)
        form = "%H:%M UTC" if now - begin < _DAY else "%-d %b, %H:%M UTC"
        return f"Charts: {runs} runs since {moment(begin, form)}"
    count = max((len(gpu["samples"]) for gpu in gpus), default=0)
    return f"Charts: {count} samples of this run" if count > 1 else ""


def _host(number: int, host: HostStatus, history: Sequence[Mapping[str, Any]], now: int) -> dict[str, Any]:
    status = host.status
    facts = []
    if status:
        engine, driver = status["engine"], status["driver"]["version"]
        facts.append(f"up {duration(status['uptime_seconds'])}")
        facts.append(f"driver {driver}" if driver else "no driver")
        facts.append(
            f"{engine['kind'].capitalize()} {engine['version']}" if engine["version"] else f"engine: {engine['kind']}"
        )
    return {
        "anchor": f"host-{number}",
        "name": host.name,
        "state": host.state,
        "state_text": _STATES[host.state],
        "facts": " · ".join(facts),
        "problems": [dict(problem) for problem in host.problems],
        "gpus": [_gpu(host, gpu, history) for gpu in status.get("gpus") or []],
        "services": [_service(host, service) for service in status.get("services") or []],
        "disks": [_disk(group) for group in disk_groups(status.get("disks") or [])],
        "caption": _caption(host, history, now),
    }


def _figures(hosts: Sequence[HostStatus]) -> list[dict[str, str]]:
    """Return the few numbers at the top of the page."""
    gpus = [gpu for host in hosts for gpu in host.status.get("gpus") or []]
    services = [service for host in hosts for service in host.status.get("services") or []]
    uses = [gpu["utilization_percent"] for gpu in gpus if gpu["utilization_percent"] is not None]
    both = [
        (gpu["memory_used_mib"], gpu["memory_total_mib"])
        for gpu in gpus
        if gpu["memory_used_mib"] is not None and gpu["memory_total_mib"]
    ]
    used, total = sum(pair[0] for pair in both), sum(pair[1] for pair in both)
    well = sum(map(is_service_well, services))
    return [
        {"value": str(len(gpus)), "label": "GPUs that answer"},
        {"value": f"{sum(uses) / len(uses):.0f} %" if uses else UNKNOWN, "label": "average use"},
        {"value": f"{100 * used / total:.0f} %" if total else UNKNOWN, "label": "of GPU memory in use"},
        {"value": f"{well} of {len(services)}" if services else "0", "label": "services healthy"},
    ]


def page_data(hosts: Sequence[HostStatus], history: Sequence[Mapping[str, Any]], now: int) -> dict[str, Any]:
    """Return everything that the template prints.

    Args:
        hosts: The hosts in the order of the inventory.
        history: What was seen until now, this run included.
        now: Time of the run in seconds since 1970.
    """
    # Once for all charts: a history may be long.
    entries: dict[str, list[Mapping[str, Any]]] = {}
    for entry in history:
        entries.setdefault(entry["host"], []).append(entry)
    return {
        "generated": moment(now),
        "generated_iso": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "summary": summary(hosts),
        "is_well": all(host.state == OK for host in hosts),
        "figures": _figures(hosts),
        "chart_width": status_chart.WIDTH,
        "chart_height": status_chart.HEIGHT,
        "hosts": [_host(number, host, entries.get(host.name, []), now) for number, host in enumerate(hosts, 1)],
    }


def render_page(template: str, hosts: Sequence[HostStatus], history: Sequence[Mapping[str, Any]], now: int) -> str:
    """Return the page.

    Args:
        template: Its template.
        hosts: The hosts in the order of the inventory.
        history: What was seen until now, this run included.
        now: Time of the run in seconds since 1970.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(page_data(hosts, history, now))
