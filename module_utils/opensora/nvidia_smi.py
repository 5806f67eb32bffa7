# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Read nvidia-smi's output over many driver generations, relying on few stable fields, each of them optional."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.opensora.pci import canonical_bus_id

XML_QUERY = ("nvidia-smi", "-q", "-x")
LIST_QUERY = ("nvidia-smi", "-L")
CSV_FIELDS = (
    "index",
    "uuid",
    "name",
    "driver_version",
    "memory.total",
    "memory.used",
    "compute_cap",
    "pci.bus_id",
    "mig.mode.current",
    "persistence_mode",
)
CSV_QUERY = ("nvidia-smi", f"--query-gpu={','.join(CSV_FIELDS)}", "--format=csv,noheader")

_UNKNOWN = re.compile(
    r"^(\[?\s*(n/?a|not supported|unknown error|insufficient permissions|gpu requires reset|err!?)\s*\]?"
    r"|requested functionality has been deprecated|none)?$",
    re.IGNORECASE,
)
_SICK = re.compile(r"unknown error|gpu requires reset|\berr!|gpu is lost|fallen off the bus", re.IGNORECASE)
_VERSION = re.compile(r"^\d+(\.\d+)+$")
_END = "</nvidia_smi_log>"


@dataclass
class SmiReport:
    """What nvidia-smi said.

    Attributes:
        driver_version: Version of the driver it talks to, or null.
        cuda_version: Newest CUDA version that this driver runs, or null.
        gpus: One entry a GPU that answered.
        error: Why there is no or no whole answer: nvidia-smi's own lines, or null.
    """

    driver_version: str | None = None
    cuda_version: str | None = None
    gpus: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None


def _known(text: str | None) -> str | None:
    """Return a value, or null for any of nvidia-smi's ways to say that there is none."""
    value = (text or "").strip()
    return None if _UNKNOWN.match(value) else value


def _version(text: str | None) -> str | None:
    value = _known(text)
    return value if value is not None and _VERSION.match(value) else None


def _mebibytes(text: str | None) -> int | None:
    match = re.match(r"^(\d+)\s*(MiB|MB)?$", _known(text) or "")
    return int(match.group(1)) if match else None


def _enabled(text: str | None) -> bool:
    return (_known(text) or "").lower() == "enabled"


def _switch(text: str | None) -> bool | None:
    """Return whether something is on; null where nvidia-smi does not say."""
    return {"enabled": True, "disabled": False}.get((_known(text) or "").lower())


def _error_lines(text: str) -> str | None:
    """Return what a program said instead of an answer, without empty lines and at most five lines."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines[:5]) or None


def _mig_devices(gpu: ET.Element) -> list[dict[str, Any]]:
    devices: list[dict[str, Any]] = []
    for device in gpu.findall("./mig_devices/mig_device"):
        index = device.findtext("index", "").strip()
        devices.append(
            {
                "index": int(index) if index.isdigit() else len(devices),
                "uuid": _known(device.findtext("uuid")),
                "name": None,
                "memory_total_mib": _mebibytes(device.findtext("./fb_memory_usage/total")),
            }
        )
    return devices


def _gpu_from_xml(index: int, gpu: ET.Element) -> dict[str, Any]:
    raw_fields = [gpu.findtext(name) or "" for name in ("uuid", "product_name", "fan_speed", "performance_state")]
    raw_fields.append(gpu.findtext("./fb_memory_usage/total") or "")
    recovery = _known(gpu.findtext("gpu_recovery_action"))
    uuid = _known(gpu.findtext("uuid"))
    remap_failed = (gpu.findtext("./remapped_rows/remapped_row_failure") or "").strip().lower() == "yes"
    return {
        "index": index,
        "uuid": uuid,
        "name": _known(gpu.findtext("product_name")),
        "architecture": _known(gpu.findtext("product_architecture")),
        "pci_bus_id": canonical_bus_id(gpu.get("id") or gpu.findtext("./pci/pci_bus_id") or ""),
        "memory_total_mib": _mebibytes(gpu.findtext("./fb_memory_usage/total")),
        "compute_capability": None,
        "persistence_mode": _switch(gpu.findtext("persistence_mode")),
        "fabric": {"state": _known(gpu.findtext("./fabric/state")), "status": _known(gpu.findtext("./fabric/status"))},
        "mig": {
            "enabled": _enabled(gpu.findtext("./mig_mode/current_mig")),
            "pending": _enabled(gpu.findtext("./mig_mode/pending_mig")),
            "devices": _mig_devices(gpu),
        },
        # A recovery action (reset, reboot, drain) or a failed row remap means the driver itself gave the card up.
        "healthy": (
            uuid is not None and recovery is None and not remap_failed and not any(map(_SICK.search, raw_fields))
        ),
    }


def parse_xml(text: str) -> SmiReport:
    """Return what ``nvidia-smi -q -x`` said.

    Args:
        text: Its output; text before or after the document, or instead of it, becomes the report's error.
    """
    start = text.find("<?xml")
    if start < 0:
        start = text.find("<nvidia_smi_log")
    if start < 0:
        return SmiReport(error=_error_lines(text) or "nvidia-smi printed nothing")
    end = text.rfind(_END)
    # Warnings such as a damaged InfoROM come after the document, others before it.
    document, rest = (text[start:], "") if end < start else (text[start : end + len(_END)], text[end + len(_END) :])
    notes = _error_lines(f"{text[:start]}\n{rest}")
    if "<!ENTITY" in document:
        return SmiReport(error="nvidia-smi's XML defines entities, which it never does: refused")
    try:
        log = ET.fromstring(document)  # noqa: S314  a program that root installed wrote it
    except ET.ParseError as error:
        return SmiReport(error=notes or f"nvidia-smi's XML cannot be read: {error}")
    gpus = [_gpu_from_xml(index, gpu) for index, gpu in enumerate(log.findall("gpu"))]
    return SmiReport(_version(log.findtext("driver_version")), _version(log.findtext("cuda_version")), gpus, notes)


def parse_csv(text: str) -> SmiReport:
    """Return what ``nvidia-smi --query-gpu`` with :data:`CSV_FIELDS` said; other lines become the report's error."""
    report = SmiReport()
    other = []
    for line in text.splitlines():
        values = [value.strip() for value in line.split(",")]
        if len(values) != len(CSV_FIELDS) or not values[0].isdigit():
            other.append(line)
            continue
        row = dict(zip(CSV_FIELDS, values))
        report.driver_version = report.driver_version or _version(row["driver_version"])
        uuid = _known(row["uuid"])
        report.gpus.append(
            {
                "index": int(row["index"]),
                "uuid": uuid,
                "name": _known(row["name"]),
                "architecture": None,
                "pci_bus_id": canonical_bus_id(row["pci.bus_id"]),
                "memory_total_mib": _mebibytes(row["memory.total"]),
                "compute_capability": _version(row["compute_cap"]),
                "persistence_mode": None,
                "fabric": {"state": None, "status": None},
                "mig": {"enabled": _enabled(row["mig.mode.current"]), "pending": False, "devices": []},
                "healthy": uuid is not None and not any(map(_SICK.search, values)),
            }
        )
    report.error = _error_lines("\n".join(other))
    return report


def merge_reports(xml: SmiReport, csv: SmiReport) -> SmiReport:
    """Return one report: the XML's, completed by the query, which alone knows the compute capability.

    Where the XML has no GPU the query's answer stands alone. An error of the query does not count while the XML is
    whole, because drivers before R510 do not know every field asked for.
    """
    if not xml.gpus:
        return SmiReport(
            xml.driver_version or csv.driver_version, xml.cuda_version, csv.gpus, None if csv.gpus else xml.error
        )
    by_uuid = {gpu["uuid"]: gpu for gpu in csv.gpus}
    gpus = []
    for gpu in xml.gpus:
        other = by_uuid.get(gpu["uuid"], {})
        gpus.append(
            {
                **gpu,
                "index": other.get("index", gpu["index"]),
                "compute_capability": other.get("compute_capability"),
                "memory_total_mib": gpu["memory_total_mib"] or other.get("memory_total_mib"),
            }
        )
    return SmiReport(xml.driver_version or csv.driver_version, xml.cuda_version, gpus, xml.error)


def parse_mig_list(text: str) -> dict[str, list[dict[str, Any]]]:
    """Return the MIG devices of each GPU's UUID from ``nvidia-smi -L``, the only place that names their UUIDs."""
    found: dict[str, list[dict[str, Any]]] = {}
    current: list[dict[str, Any]] = []
    for line in text.splitlines():
        card = re.match(r"^GPU \d+:.*\(UUID: (GPU-[^)]+)\)", line)
        device = re.match(r"^\s+MIG (\S+)\s+Device\s+(\d+):\s+\(UUID: (MIG-[^)]+)\)", line)
        if card:
            current = found.setdefault(card.group(1), [])
        elif device:
            current.append({"index": int(device.group(2)), "uuid": device.group(3), "name": device.group(1)})
    return found


def with_mig_devices(gpus: list[dict[str, Any]], listed: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the GPUs with UUID and profile name added to their MIG devices."""
    result = []
    for gpu in gpus:
        sizes = {device["index"]: device["memory_total_mib"] for device in gpu["mig"]["devices"]}
        devices = [
            {**device, "memory_total_mib": sizes.get(device["index"])} for device in listed.get(gpu["uuid"] or "", [])
        ]
        result.append({**gpu, "mig": {**gpu["mig"], "devices": devices or gpu["mig"]["devices"]}})
    return result
