# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What of the driver lies on a host's disk besides packages and kernel modules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora import driver_files

if TYPE_CHECKING:
    from ansible.module_utils.opensora.host_probe import HostProbe

_LIBRARY_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib/x86_64-linux-gnu/nvidia/current",
    "/usr/lib/aarch64-linux-gnu/nvidia/current",
)
_LIBRARY_NAMES = ("libnvidia-ml.so.1", "libcuda.so.1")
_LIBRARY = re.compile(r"/lib(?:nvidia-ml|cuda)\.so\.(\d{3}\.\d+(?:\.\d+)?)$")
_UNINSTALLERS = ("/usr/bin/nvidia-uninstall", "/usr/bin/nvidia-installer")


def library_version(probe: HostProbe) -> str | None:
    """Return the version of the libraries that programs get: what the name they ask for leads to.

    A file of another version may lie beside it, left by an upgrade or a driver of another origin.
    """
    for folder in _LIBRARY_FOLDERS:
        for name in _LIBRARY_NAMES:
            match = _LIBRARY.search(probe.resolve(f"{folder}/{name}"))
            if match:
                return match.group(1)
    return _lone_library_version(probe)


def _lone_library_version(probe: HostProbe) -> str | None:
    """Return the version of a library whose link is missing."""
    found = (
        _LIBRARY.search(f"/{name}")
        for folder in _LIBRARY_FOLDERS
        for name in probe.names(folder)
        if name.startswith(("libnvidia-ml.so.", "libcuda.so."))
    )
    return next((match.group(1) for match in found if match), None)


def has_uninstaller(probe: HostProbe) -> bool:
    """Return whether NVIDIA's own installation program was used, which leaves its counterpart behind."""
    return any(map(probe.exists, _UNINSTALLERS))


def read_driver_files(probe: HostProbe) -> dict[str, dict[str, Any] | None]:
    """Return text and time of change of each file that the driver role keeps; the text to the last line end."""
    found: dict[str, dict[str, Any] | None] = {}
    for path in driver_files.PATHS:
        content = probe.octets(path)
        found[path] = (
            None if content is None else {"text": content.decode("utf-8", "replace"), "modified": probe.modified(path)}
        )
    return found
