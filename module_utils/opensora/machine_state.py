# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What every host has, with a GPU or without: processors, memory, firmware and firewall."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ansible.module_utils.opensora.host_probe import CommandResult, HostProbe

_SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_DKMS_KEYS = ("/var/lib/shim-signed/mok/MOK.der", "/var/lib/dkms/mok.pub")
_REBOOT_REQUIRED = ("/run/reboot-required", "/var/run/reboot-required")


def read_secure_boot(probe: HostProbe) -> bool | None:
    """Return whether Secure Boot is on; a host without EFI has none, an unreadable variable is unknown."""
    if not probe.exists("/sys/firmware/efi"):
        return False
    value = probe.octets(_SECURE_BOOT)
    # Four bytes of attributes come before the variable's single byte.
    return None if value is None or len(value) < 5 else value[4] == 1  # noqa: PLR2004


def signing_key_path(probe: HostProbe, secure_boot: bool | None) -> str | None:
    """Return the key that DKMS signs modules with, or null where there is none or nobody asks for a signature."""
    return next((path for path in _DKMS_KEYS if probe.exists(path)), None) if secure_boot else None


def key_query(path: str) -> tuple[str, ...]:
    """Return the command that says whether the firmware knows a key."""
    return ("mokutil", "--test-key", path)


def describe_signing_key(path: str | None, answer: CommandResult | None) -> dict[str, Any]:
    """Return the ``signing_key`` part of the host's description.

    Args:
        path: Result of :func:`signing_key_path`.
        answer: Answer of :func:`key_query`; null where it was not asked.
    """
    known = answer is not None and answer.ran
    return {"path": path, "enrolled": "is already enrolled" in answer.stdout if answer is not None and known else None}


def _number(text: str) -> float | None:
    try:
        return float(text.split(maxsplit=1)[0])
    except (IndexError, ValueError):
        return None


def _ufw_active(configuration: str | None) -> bool | None:
    match = re.search(r"(?m)^ENABLED=(\w+)", configuration or "")
    return match.group(1).lower() == "yes" if match else None


def describe_machine(probe: HostProbe, secure_boot: bool | None) -> dict[str, Any]:
    """Return the parts of the host's description that concern no GPU.

    Args:
        probe: The host.
        secure_boot: Result of :func:`read_secure_boot`.
    """
    uptime = _number(probe.text("/proc/uptime") or "")
    memory = re.search(r"(?m)^MemTotal:\s*(\d+) kB", probe.text("/proc/meminfo") or "")
    processors = (probe.text("/proc/cpuinfo") or "").count("processor\t")
    return {
        "boot_id": probe.text("/proc/sys/kernel/random/boot_id"),
        "uptime_seconds": None if uptime is None else int(uptime),
        "cpu_count": processors or None,
        "memory_total_bytes": int(memory.group(1)) * 1024 if memory else None,
        "secure_boot": secure_boot,
        "reboot_required": any(map(probe.exists, _REBOOT_REQUIRED)),
        "firewall": {"ufw_active": _ufw_active(probe.text("/etc/ufw/ufw.conf"))},
    }
