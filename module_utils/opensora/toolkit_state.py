# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Which container toolkit a host has, since when, and what specifications it made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora import cdi
from ansible.module_utils.opensora.version_number import upstream_version

if TYPE_CHECKING:
    from ansible.module_utils.opensora.host_probe import HostProbe
    from ansible.module_utils.opensora.packages import Packages

TOOLKIT_PACKAGES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
_PACKAGE_LISTS = "/var/lib/dpkg/info"
_RUNTIME = "/usr/bin/nvidia-container-runtime"


def _installed_at(probe: HostProbe, name: str) -> int | None:
    """Return when a package was last installed, in seconds since 1970: dpkg writes its list of files anew each time."""
    # Not by the names in the folder, of which there are thousands.
    lists = [f"{_PACKAGE_LISTS}/{name}{suffix}.list" for suffix in ("", ":amd64", ":arm64")]
    times = [time for time in map(probe.modified, lists) if time is not None]
    return max(times) if times else probe.modified(_RUNTIME)


def describe_toolkit(probe: HostProbe, packages: Packages) -> dict[str, Any]:
    """Return the ``toolkit`` part of the host's description.

    Args:
        probe: The host.
        packages: The host's packages.
    """
    present = {name: packages[name]["version"] for name in TOOLKIT_PACKAGES if name in packages}
    base = next((name for name in ("nvidia-container-toolkit-base", "nvidia-container-toolkit") if name in present), "")
    return {
        "version": upstream_version(present[base]) if base else None,
        "packages": present,
        "installed_at": _installed_at(probe, base) if base else None,
        "cdi_specs": cdi.read_specifications(probe),
    }
