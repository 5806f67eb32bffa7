# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What surrounds the engine on a host: its configuration file, its commands, and who may use its socket."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.daemon_config import fingerprint
from ansible.module_utils.opensora.json_document import DocumentError, decode_text, parse_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible.module_utils.opensora.host_probe import HostProbe

DAEMON_CONFIG = "/etc/docker/daemon.json"
_COMMANDS = ("/usr/bin/docker", "/usr/local/bin/docker", "/snap/bin/docker", "/var/lib/snapd/snap/bin/docker")
_BUILT_IN_RUNTIMES = ("runc", "io.containerd.runc.v2")
_BINARY_FOLDERS = ("/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin", "/bin", "/sbin")


def read_daemon_config(probe: HostProbe) -> dict[str, Any]:
    """Return what the engine's configuration file says about runtimes and options, and why it cannot be read.

    Args:
        probe: The host.
    """
    content = probe.octets(DAEMON_CONFIG)
    found: dict[str, Any] = {
        "path": DAEMON_CONFIG,
        "exists": content is not None,
        "error": None,
        "exec_opts": [],
        "default_runtime": None,
        "runtimes": {},
        "fingerprint": {},
    }
    try:
        config = parse_object(decode_text(content)) if content else {}
    except DocumentError as error:
        return {**found, "error": str(error)}
    options, runtimes, default = config.get("exec-opts"), config.get("runtimes"), config.get("default-runtime")
    return {
        **found,
        "exec_opts": [str(option) for option in options] if isinstance(options, list) else [],
        "default_runtime": default if isinstance(default, str) and default else None,
        "runtimes": {
            name: str(entry.get("path") or entry.get("runtimeType") or "")
            for name, entry in (runtimes.items() if isinstance(runtimes, dict) else ())
            if isinstance(entry, dict)
        },
        "fingerprint": fingerprint(config),
    }


def missing_default_runtime(probe: HostProbe, config: Mapping[str, Any]) -> str | None:
    """Return the program of the default runtime where it does not exist: then no container starts at all.

    Args:
        probe: The host.
        config: Result of :func:`read_daemon_config`.
    """
    name: str | None = config["default_runtime"]
    if name is None or name in _BUILT_IN_RUNTIMES:
        return None
    path: str | None = config["runtimes"].get(name)
    if not path:
        return name
    if "/" in path:
        return None if probe.exists(path) else path
    return None if any(probe.exists(f"{folder}/{path}") for folder in _BINARY_FOLDERS) else path


def command_paths(probe: HostProbe) -> list[str]:
    """Return where a command ``docker`` lies on the host."""
    return [path for path in _COMMANDS if probe.exists(path)]


def docker_group_members(group_file: str | None) -> list[str]:
    """Return the members of the group docker.

    Args:
        group_file: Text of ``/etc/group``, or null.
    """
    match = re.search(r"^docker:[^:]*:\d*:(.*)$", group_file or "", re.MULTILINE)
    return [name for name in match.group(1).split(",") if name] if match else []
