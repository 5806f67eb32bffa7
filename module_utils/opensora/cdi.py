# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Read the few fields of a Container Device Interface specification that decisions need, without a YAML library."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ansible.module_utils.opensora.host_probe import HostProbe

CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi")
_LIBRARY = re.compile(r"/lib[\w.-]+?\.so\.(\d{3}\.\d+(?:\.\d+)?)\b")
_FIRMWARE = re.compile(r"/firmware/nvidia/(\d{3}\.\d+(?:\.\d+)?)/")


def _scalar(text: str) -> str:
    value = text.strip()
    if value[:1] in "\"'":
        return value[1:].split(value[0])[0]
    return re.sub(r"\s+#.*$", "", value)


def _device_names(lines: list[str]) -> list[str]:
    """Return the names in the top-level list ``devices`` of a YAML text."""
    names = []
    inside = False
    dash_indent: int | None = None
    for line in lines:
        if re.match(r"^[A-Za-z]", line):
            inside = line.startswith("devices:")
            dash_indent = None
            continue
        if not inside or not line.strip():
            continue
        item = re.match(r"^(\s*)-\s+(.*)$", line)
        if item and dash_indent is None:
            dash_indent = len(item.group(1))
        if dash_indent is None:
            continue
        if item and len(item.group(1)) == dash_indent:
            key = item.group(2)
        elif re.match(rf"^\s{{{dash_indent + 2}}}\S", line):
            key = line.strip()
        else:
            continue
        name = re.match(r"^name:\s*(.+)$", key)
        if name:
            names.append(_scalar(name.group(1)))
    return names


def parse_specification(text: str) -> dict[str, Any]:
    """Return ``kind``, ``version``, ``devices`` (names) and ``driver_version`` of a specification in YAML or JSON.

    Args:
        text: Text of the file. A field that is not there is null, or an empty list.
    """
    kind: str | None = None
    version: str | None = None
    devices: list[str] = []
    if text.lstrip().startswith("{"):
        try:
            data = json.loads(text)
        except ValueError:
            data = {}
        kind, version = (str(data[key]) if data.get(key) else None for key in ("kind", "cdiVersion"))
        listed = data.get("devices")
        devices = [
            str(device.get("name"))
            for device in (listed if isinstance(listed, list) else [])
            if isinstance(device, dict)
        ]
    else:
        lines = text.splitlines()
        for line in lines:
            match = re.match(r"^(kind|cdiVersion):\s*(.+)$", line)
            if match and match.group(1) == "kind":
                kind = _scalar(match.group(2))
            elif match:
                version = _scalar(match.group(2))
        devices = _device_names(lines)
    versions = Counter(_LIBRARY.findall(text)) or Counter(_FIRMWARE.findall(text))
    return {
        "kind": kind,
        "version": version,
        "devices": devices,
        "driver_version": versions.most_common(1)[0][0] if versions else None,
    }


def read_specifications(probe: HostProbe) -> list[dict[str, Any]]:
    """Return every specification of the host, each file once even where a folder is a link to another."""
    found: dict[str, dict[str, Any]] = {}
    for folder in CDI_FOLDERS:
        for name in probe.names(folder):
            path = f"{folder}/{name}"
            if not name.endswith((".yaml", ".yml", ".json")):
                continue
            text = probe.text(path)
            if text is not None:
                found.setdefault(
                    probe.resolve(path), {"path": path, **parse_specification(text), "modified": probe.modified(path)}
                )
    return list(found.values())
