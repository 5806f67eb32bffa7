# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Whether the package manager of a host can be used: who holds its lock, and what an interruption left behind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.packages import unconfigured_packages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible.module_utils.opensora.host_probe import CommandResult, HostProbe

LOCKS_QUERY = ("lslocks", "--noheadings", "--notruncate", "--output", "PID,COMMAND,PATH")
_UPDATES = "/var/lib/dpkg/updates"
_LOCK = re.compile(
    r"^(/var/lib/dpkg/lock(-frontend)?|/var/lib/apt/lists/lock|/var/cache/apt/archives/lock"
    r"|/var/lib/rpm/\.rpm\.lock|/usr/lib/sysimage/rpm/\.rpm\.lock|/var/(cache|lib)/dnf/.*(lock|\.pid))$"
)
_KINDS = {"debian": "apt", "redhat": "dnf"}


def parse_locks(text: str) -> list[dict[str, Any]]:
    """Return who holds a lock of the package manager.

    Args:
        text: Output of :data:`LOCKS_QUERY`; a line whose process or path is unknown to the kernel is left out.

    Returns:
        One entry a lock: ``pid``, ``command`` and ``path``.
    """
    found = []
    for line in text.splitlines():
        match = re.match(r"^\s*(\d+)\s+(.+?)\s+(/\S+)\s*$", line)
        if match and _LOCK.match(match.group(3)):
            found.append({"pid": int(match.group(1)), "command": match.group(2), "path": match.group(3)})
    return found


def describe_package_manager(
    probe: HostProbe,
    family: str,
    dpkg_status: str,
    packages: Mapping[str, Mapping[str, str]],
    locks: CommandResult,
) -> dict[str, Any]:
    """Return the ``package_manager`` part of the host's description.

    Args:
        probe: The host.
        family: ``debian``, ``redhat`` or ``other``.
        dpkg_status: Text of dpkg's records; empty where packages are not dpkg's.
        packages: The host's relevant packages.
        locks: Answer of :data:`LOCKS_QUERY`.
    """
    return {
        "kind": _KINDS.get(family),
        # dpkg numbers the files of a running or interrupted change, and refuses everything while one is left.
        "interrupted": family == "debian" and any(name.isdigit() for name in probe.names(_UPDATES)),
        "lock_holders": parse_locks(locks.stdout) if locks.ran else [],
        "broken": unconfigured_packages(dpkg_status),
        "held": sorted(name for name, package in packages.items() if package["status"].startswith("h")),
    }
