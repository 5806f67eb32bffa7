# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""How much of each GPU is in use: a few short queries, one after the other, and what they say together.

A value that nvidia-smi does not tell is null, with the words it said instead; it is never 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible.module_utils.opensora.nvidia_smi import SmiReport

# Known to every driver since R450. No name among them: it might hold a comma.
_FIELDS = {
    "utilization_percent": "utilization.gpu",
    "memory_used_mib": "memory.used",
    "memory_total_mib": "memory.total",
    "temperature_celsius": "temperature.gpu",
    "power_draw_watts": "power.draw",
    "power_limit_watts": "power.limit",
}
MEASURES = tuple(_FIELDS)
# What changes from one moment to the next and is worth a chart.
SAMPLED = ("utilization_percent", "memory_used_mib", "temperature_celsius")
SAMPLE_QUERY = ("nvidia-smi", f"--query-gpu=index,uuid,{','.join(_FIELDS.values())}", "--format=csv,noheader")
PROCESS_QUERY = ("nvidia-smi", "--query-compute-apps=gpu_uuid,pid", "--format=csv,noheader")

_NUMBER = re.compile(r"^(\d+(?:\.\d+)?)(?:\s*(?:%|MiB|W|C))?$")
_UUID = re.compile(r"^GPU-[0-9a-fA-F-]+$")


@dataclass
class GpuSample:
    """What one query said of one GPU.

    Attributes:
        index: Number of the GPU as nvidia-smi counts.
        uuid: Its UUID, or null where nvidia-smi does not tell.
        values: The measures; null where nvidia-smi does not tell.
        unknown: Of each null, the words that stood in its place.
    """

    index: int
    uuid: str | None
    values: dict[str, float | None] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)


def _number(text: str) -> float | None:
    match = _NUMBER.match(text)
    return float(match.group(1)) if match else None


def parse_sample(text: str) -> list[GpuSample]:
    """Return what :data:`SAMPLE_QUERY` printed; lines that are no GPU's are left out.

    Args:
        text: Its output.
    """
    samples = []
    for line in text.splitlines():
        words = [word.strip() for word in line.split(",")]
        if len(words) != len(_FIELDS) + 2 or not words[0].isdigit():
            continue
        said = dict(zip(_FIELDS, words[2:]))
        values = {name: _number(word) for name, word in said.items()}
        samples.append(
            GpuSample(
                index=int(words[0]),
                uuid=words[1] if _UUID.match(words[1]) else None,
                values=values,
                unknown={name: f"nvidia-smi says {said[name]}" for name, value in values.items() if value is None},
            )
        )
    return samples


def parse_processes(text: str) -> dict[str, int] | None:
    """Return the number of compute processes of each GPU's UUID, or null where the driver does not list them.

    Args:
        text: Output of :data:`PROCESS_QUERY`; without a process it is empty.
    """
    counts: dict[str, int] = {}
    for line in text.splitlines():
        words = [word.strip() for word in line.split(",")]
        if not line.strip():
            continue
        if not _UUID.match(words[0]):
            return None
        counts[words[0]] = counts.get(words[0], 0) + 1
    return counts


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 1) if known else None


def _last(values: Sequence[float | None]) -> float | None:
    return next((value for value in reversed(values) if value is not None), None)


def _describe(gpu: Mapping[str, Any], samples: Sequence[GpuSample], processes: int | None) -> dict[str, Any]:
    """Return one GPU: its use over all samples, everything else as it was last."""
    by_measure = {name: [sample.values.get(name) for sample in samples] for name in MEASURES}
    values = {name: _last(by_measure[name]) for name in MEASURES}
    values["utilization_percent"] = _mean(by_measure["utilization_percent"])
    values["memory_total_mib"] = values["memory_total_mib"] or gpu.get("memory_total_mib")
    said = samples[-1].unknown if samples else {}
    unknown = {
        name: said.get(name, "nvidia-smi did not answer this query") for name, value in values.items() if value is None
    }
    if processes is None:
        unknown["process_count"] = "nvidia-smi does not list the processes"
    mig = gpu.get("mig") or {}
    return {
        "index": samples[0].index if samples else gpu["index"],
        "uuid": gpu.get("uuid"),
        "name": gpu.get("name"),
        "healthy": gpu.get("healthy"),
        "mig_enabled": mig.get("enabled"),
        "mig_devices": [str(device.get("name") or device.get("uuid")) for device in mig.get("devices") or []],
        **values,
        "process_count": processes,
        "samples": [{name: sample.values.get(name) for name in SAMPLED} for sample in samples],
        "unknown": unknown,
    }


def describe_gpus(
    report: SmiReport, samples: Sequence[Sequence[GpuSample]], processes: Mapping[str, int] | None
) -> list[dict[str, Any]]:
    """Return each GPU with its use.

    Args:
        report: What ``nvidia-smi -q -x`` said; where it has no GPU, those of the samples stand alone.
        samples: Answers of :data:`SAMPLE_QUERY`, the oldest first.
        processes: Result of :func:`parse_processes`.
    """
    gpus: Sequence[Mapping[str, Any]] = report.gpus or [
        {"index": sample.index, "uuid": sample.uuid} for sample in (samples[0] if samples else ())
    ]
    described = []
    for gpu in gpus:
        uuid = gpu.get("uuid")
        # A card that lost its UUID can only be told by its number.
        own = [
            sample
            for answer in samples
            for sample in answer
            if (sample.uuid == uuid if uuid else sample.uuid is None and sample.index == gpu["index"])
        ]
        count = None if processes is None or uuid is None else processes.get(uuid, 0)
        described.append(_describe(gpu, own, count))
    return sorted(described, key=lambda gpu: int(gpu["index"]))
