# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The switches that connect GPUs: whether a host has some, what they need, and what is there of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora import host_services
from ansible.module_utils.opensora.version_number import upstream_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible.module_utils.opensora.host_probe import HostProbe
    from ansible.module_utils.opensora.packages import Packages
    from ansible.module_utils.opensora.pci import PciDevice

_SWITCHES = "/proc/driver/nvidia-nvswitch/devices"
_INFINIBAND = "/sys/class/infiniband"
_SWITCH_MANAGER = b"SW_MNG"  # what NVIDIA's own driver container looks for in the vital product data
# The other generations' links are not managed through network cards; reading their data takes a while a card.
_WITHOUT_NVLINK5 = ("Kepler", "Maxwell", "Pascal", "Volta", "Turing", "Ampere", "Ada Lovelace", "Hopper")
# Without the files to develop against, whose packages begin with the same words.
_PACKAGE = re.compile(r"^nvidia-fabric-?manager(-\d+)?$")


def has_nvlink5(probe: HostProbe, pci_gpus: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the host manages NVLink 5 switches, through bridges that look like InfiniBand network cards.

    Args:
        probe: The host.
        pci_gpus: GPUs on the bus with ``architecture``.
    """
    if all(gpu["architecture"] in _WITHOUT_NVLINK5 for gpu in pci_gpus):
        return False
    return any(
        _SWITCH_MANAGER in (probe.octets(f"{_INFINIBAND}/{name}/device/vpd") or b"")
        for name in probe.names(_INFINIBAND)
    )


def needs_fabric_manager(probe: HostProbe, devices: Sequence[PciDevice], *, nvlink5: bool) -> bool:
    """Return whether GPUs wait for a fabric manager before they compute: by the switches, not by the GPUs' name.

    Args:
        probe: The host.
        devices: What is on the bus.
        nvlink5: Result of :func:`has_nvlink5`.
    """
    return nvlink5 or any(device.is_nvswitch for device in devices) or bool(probe.names(_SWITCHES))


def describe_fabric(
    packages: Packages,
    services: Mapping[str, Mapping[str, Any]],
    gpus: Sequence[Mapping[str, Any]],
    *,
    required: bool,
    nvlink5: bool,
) -> dict[str, Any]:
    """Return the ``fabric`` part of the host's description.

    Args:
        packages: The host's packages.
        services: State of its units.
        gpus: GPUs that the driver shows, with ``fabric``.
        required: Result of :func:`needs_fabric_manager`.
        nvlink5: Result of :func:`has_nvlink5`.
    """
    package = next((name for name in sorted(packages) if _PACKAGE.match(name)), None)
    return {
        "required": required,
        "installed": package is not None,
        "running": host_services.is_running(services, host_services.FABRIC) if required else None,
        "version": upstream_version(packages[package]["version"]) if package else None,
        "package": package,
        "nvlink5": nvlink5,
        "subnet_manager": {
            "required": nvlink5,
            "installed": "nvlsm" in packages,
            "running": host_services.is_running(services, host_services.SUBNET_MANAGER) if nvlink5 else None,
        },
        "states": [
            {"pci_bus_id": gpu["pci_bus_id"], **gpu["fabric"]} for gpu in gpus if required and gpu["fabric"]["state"]
        ],
    }
