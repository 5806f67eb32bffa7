# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What NVIDIA hardware the PCI bus has: the one source that needs no driver."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ansible.module_utils.opensora.host_probe import HostProbe

PCI_DEVICES = "/sys/bus/pci/devices"
_NVIDIA = 0x10DE
_DISPLAY = 0x03  # base class of display controllers: VGA (0300) and 3D (0302); audio is 04, USB is 0c
_OTHER_BRIDGE = 0x0680  # base and sub class of NVSwitch functions
_FIRST_SWITCH_ID = 0x1A00  # nForce chipsets have bridges of that class too, all with smaller ids

# Device ids by chip, from the public PCI id database and NVIDIA's published chip table; both ends included.
_ARCHITECTURES = (
    (0x0FC0, 0x103F, "Kepler"),
    (0x1180, 0x11FF, "Kepler"),
    (0x1280, 0x133F, "Kepler"),
    (0x1340, 0x15EF, "Maxwell"),
    (0x15F0, 0x15FF, "Pascal"),
    (0x1600, 0x17FF, "Maxwell"),
    (0x1B00, 0x1D7F, "Pascal"),
    (0x1D80, 0x1DFF, "Volta"),
    (0x1E00, 0x1FFF, "Turing"),
    (0x2080, 0x20FF, "Ampere"),
    (0x2180, 0x21FF, "Turing"),
    (0x2200, 0x227F, "Ampere"),
    (0x2300, 0x23FF, "Hopper"),
    (0x2400, 0x25FF, "Ampere"),
    (0x2680, 0x28FF, "Ada Lovelace"),
    (0x2900, 0x29FF, "Blackwell"),
    (0x2B80, 0x2DFF, "Blackwell"),
    (0x2F00, 0x2F7F, "Blackwell"),
)
# Grace Hopper superchips: the same chip as an H100, but only the open module flavour drives them.
_GRACE_HOPPER = range(0x2340, 0x2350)


@dataclass(frozen=True)
class PciDevice:
    """One function on the bus.

    Attributes:
        bus_id: Address as sysfs writes it, such as ``0000:06:00.0``.
        vendor: Vendor id.
        device: Device id.
        class_code: Base class, sub class and interface in 24 bits.
        driver: Name of the kernel driver that holds it, or null.
    """

    bus_id: str
    vendor: int
    device: int
    class_code: int
    driver: str | None

    @property
    def is_nvidia_gpu(self) -> bool:
        """Whether this is a display controller of NVIDIA, not an audio or USB function of such a card."""
        return self.vendor == _NVIDIA and self.class_code >> 16 == _DISPLAY

    @property
    def is_nvswitch(self) -> bool:
        """Whether this is an NVSwitch, which needs the fabric manager."""
        return self.vendor == _NVIDIA and self.class_code >> 8 == _OTHER_BRIDGE and self.device >= _FIRST_SWITCH_ID


def architecture_of(device: int) -> str | None:
    """Return the generation of a GPU as nvidia-smi names it, or null for a device id that is not known here."""
    return next((name for first, last, name in _ARCHITECTURES if first <= device <= last), None)


def needs_open_module(device: int) -> bool:
    """Return whether only the open kernel module drives this card: Grace Hopper, and Blackwell onwards."""
    return device in _GRACE_HOPPER or architecture_of(device) == "Blackwell"


def canonical_bus_id(bus_id: str) -> str:
    """Return a bus address in the form sysfs uses: nvidia-smi's ``00000000:06:00.0`` is ``0000:06:00.0``."""
    match = re.fullmatch(r"(?:([0-9A-Fa-f]+):)?([0-9A-Fa-f]+:[0-9A-Fa-f]+\.[0-9A-Fa-f])", bus_id.strip())
    if match is None:
        return bus_id.strip().lower()
    return f"{int(match.group(1) or '0', 16):04x}:{match.group(2).lower()}"


def read_devices(probe: HostProbe) -> list[PciDevice]:
    """Return every device on the bus whose ids can be read, in the order of their addresses."""
    devices = []
    for bus_id in probe.names(PCI_DEVICES):
        folder = f"{PCI_DEVICES}/{bus_id}"
        texts = [probe.text(f"{folder}/{name}") for name in ("vendor", "device", "class")]
        try:
            vendor, device, class_code = (int(text or "", 16) for text in texts)
        except ValueError:
            continue
        # The driver is a link in sysfs; a recorded tree may hold it as a plain file.
        driver = probe.link_name(f"{folder}/driver") or probe.text(f"{folder}/driver")
        devices.append(PciDevice(bus_id.lower(), vendor, device, class_code, driver or None))
    return devices


def describe_gpus(devices: list[PciDevice]) -> list[dict[str, Any]]:
    """Return the ``pci_gpus`` part of the host's description."""
    return [
        {
            "pci_bus_id": device.bus_id,
            "device_id": f"0x{device.device:04x}",
            "class": f"0x{device.class_code:06x}",
            "driver": device.driver,
            "architecture": architecture_of(device.device),
            "needs_open_module": needs_open_module(device.device),
        }
        for device in devices
        if device.is_nvidia_gpu
    ]
