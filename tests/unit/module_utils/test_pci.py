"""What counts as an NVIDIA GPU on the bus."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.pci import (
    PciDevice,
    architecture_of,
    canonical_bus_id,
    describe_gpus,
    needs_open_module,
)


@pytest.mark.parametrize(
    ("vendor", "device", "class_code", "gpu", "switch"),
    [
        (0x10DE, 0x2330, 0x030200, True, False),
        (0x10DE, 0x2684, 0x030000, True, False),
        (0x10DE, 0x22BA, 0x040300, False, False),
        (0x10DE, 0x1AD6, 0x0C0330, False, False),
        (0x10DE, 0x22A3, 0x068000, False, True),
        (0x10DE, 0x1AF1, 0x068000, False, True),
        (0x10DE, 0x0373, 0x068000, False, False),
        (0x1A03, 0x2000, 0x030000, False, False),
        (0x1002, 0x744C, 0x030000, False, False),
    ],
)
def test_kind(vendor: int, device: int, class_code: int, gpu: bool, switch: bool) -> None:
    function = PciDevice("0000:01:00.0", vendor, device, class_code, None)
    assert (function.is_nvidia_gpu, function.is_nvswitch) == (gpu, switch)
    assert len(describe_gpus([function])) == int(gpu)


@pytest.mark.parametrize(
    ("device", "architecture"),
    [
        (0x1180, "Kepler"),
        (0x17C2, "Maxwell"),
        (0x15F8, "Pascal"),
        (0x1B38, "Pascal"),
        (0x1DB6, "Volta"),
        (0x1EB8, "Turing"),
        (0x21C4, "Turing"),
        (0x20B2, "Ampere"),
        (0x2235, "Ampere"),
        (0x2330, "Hopper"),
        (0x2342, "Hopper"),
        (0x26B9, "Ada Lovelace"),
        (0x2901, "Blackwell"),
        (0x2B85, "Blackwell"),
        (0x2F04, "Blackwell"),
        (0x0001, None),
        (0xFFFF, None),
    ],
)
def test_architecture(device: int, architecture: str | None) -> None:
    assert architecture_of(device) == architecture


def test_cards_that_only_the_open_module_drives() -> None:
    assert [needs_open_module(device) for device in (0x2901, 0x2342, 0x2330, 0x1DB6)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("00000000:00:06.0", "0000:00:06.0"),
        ("0000:3B:00.0", "0000:3b:00.0"),
        ("3B:00.0", "0000:3b:00.0"),
        ("00010000:01:00.0", "10000:01:00.0"),
        ("none", "none"),
    ],
)
def test_bus_id(written: str, canonical: str) -> None:
    assert canonical_bus_id(written) == canonical
