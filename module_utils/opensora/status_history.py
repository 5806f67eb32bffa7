# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What earlier runs saw: JSON lines on the control node, one a host and run, the oldest dropped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.status_gpus import SAMPLED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ansible.module_utils.opensora.status_report import HostStatus


def gpu_key(gpu: Mapping[str, Any]) -> str:
    """Return by what a GPU is known again: its UUID, else its number."""
    return str(gpu.get("uuid") or f"index {gpu.get('index')}")


def make_entry(host: HostStatus, now: int) -> dict[str, Any]:
    """Return the entry of one host; without GPUs where none could be read, so that a chart shows the gap.

    Args:
        host: The host.
        now: Time of the run in seconds since 1970.
    """
    gpus = host.status.get("gpus") or []
    return {"time": now, "host": host.name, "gpus": {gpu_key(gpu): {key: gpu[key] for key in SAMPLED} for gpu in gpus}}


def parse_history(text: str) -> list[dict[str, Any]]:
    """Return the entries of a history; a line that is none, such as one cut off by a full disk, is left out."""
    entries = []
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        is_entry = (
            isinstance(entry, dict) and isinstance(entry.get("host"), str) and isinstance(entry.get("gpus"), dict)
        )
        if is_entry and isinstance(entry.get("time"), int):
            entries.append(entry)
    return entries


def bounded(entries: Sequence[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """Return the last entries of each host, in the order of the runs.

    Args:
        entries: All entries, the oldest first.
        limit: How many a host may have.
    """
    counts: dict[str, int] = {}
    kept = []
    for entry in reversed(entries):
        counts[entry["host"]] = counts.get(entry["host"], 0) + 1
        if counts[entry["host"]] <= limit:
            kept.append(entry)
    return kept[::-1]


def render_history(entries: Iterable[Mapping[str, Any]]) -> str:
    """Return a history as text."""
    return "".join(f"{json.dumps(entry, separators=(',', ':'))}\n" for entry in entries)


def series(entries: Iterable[Mapping[str, Any]], host: str, gpu: str, measure: str) -> list[tuple[float, float | None]]:
    """Return one measure of one GPU over time; null where it was not known.

    Args:
        entries: A history.
        host: Name of the host.
        gpu: See :func:`gpu_key`.
        measure: One of the sampled measures.
    """
    points = []
    for entry in entries:
        if entry["host"] != host:
            continue
        values = entry["gpus"].get(gpu)
        value = values.get(measure) if isinstance(values, dict) else None
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        points.append((float(entry["time"]), float(value) if is_number else None))  # type: ignore[arg-type]
    return points
