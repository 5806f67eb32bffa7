"""Fabric manager and subnet manager: needed by the switches that are there, never by a card's name."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.opensora.gpu_fabric import describe_fabric, has_nvlink5, needs_fabric_manager
from ansible.module_utils.opensora.pci import PciDevice

SWITCH = PciDevice("0000:05:00.0", 0x10DE, 0x22A3, 0x068000, None)
GPU = PciDevice("0000:18:00.0", 0x10DE, 0x2330, 0x030200, "nvidia")


@pytest.mark.parametrize(
    ("architectures", "data", "found"),
    [
        (["Blackwell"], b"\x82\x0bV9\x08SW_MNG\x00", True),
        ([None], b"SW_MNG", True),
        (["Hopper", "Blackwell"], b"SW_MNG", True),
        (["Blackwell"], b"ConnectX-7", False),
        (["Blackwell"], None, False),
        # Bridges of NVLink 5 beside other generations only, or without any GPU, manage nothing here.
        (["Hopper"], b"SW_MNG", False),
        ([], b"SW_MNG", False),
    ],
)
def test_nvlink5(recorded: Any, architectures: list[str | None], data: bytes | None, found: bool) -> None:
    recorded.write("/sys/class/infiniband/mlx5_0/device/vendor", "0x15b3")
    if data is not None:
        recorded.write("/sys/class/infiniband/mlx5_4/device/vpd", data)
    assert has_nvlink5(recorded, [{"architecture": name} for name in architectures]) is found


@pytest.mark.parametrize(
    ("devices", "driver_knows", "nvlink5", "required"),
    [
        ([GPU, SWITCH], False, False, True),
        ([GPU], True, False, True),
        ([GPU], False, True, True),
        ([GPU], False, False, False),
        ([], False, False, False),
    ],
)
def test_required(recorded: Any, devices: list[PciDevice], driver_knows: bool, nvlink5: bool, required: bool) -> None:
    if driver_knows:
        recorded.write("/proc/driver/nvidia-nvswitch/devices/0000:05:00.0")
    assert needs_fabric_manager(recorded, devices, nvlink5=nvlink5) is required


@pytest.mark.parametrize(
    ("names", "package"),
    [
        (["nvidia-fabricmanager"], "nvidia-fabricmanager"),
        (["nvidia-fabricmanager-580", "nvidia-fabricmanager-dev-580"], "nvidia-fabricmanager-580"),
        (["nvidia-fabric-manager"], "nvidia-fabric-manager"),
        (["nvidia-fabricmanager-dev-580"], None),
        (["nvidia-fabricmanager-devel"], None),
        ([], None),
    ],
)
def test_package(names: list[str], package: str | None) -> None:
    packages = {name: {"version": "580.159.04-1ubuntu1", "status": "ii"} for name in names}
    found = describe_fabric(packages, {}, [], required=True, nvlink5=False)
    assert (found["package"], found["installed"]) == (package, package is not None)
    assert found["version"] == (None if package is None else "580.159.04")


def unit(active: str) -> dict[str, Any]:
    return {"load": "loaded", "active": active, "enabled": "enabled", "since": None}


def test_services_and_states() -> None:
    services = {"nvidia-fabricmanager.service": unit("active"), "nvlsm.service": unit("failed")}
    gpus = [
        {"pci_bus_id": "0000:18:00.0", "fabric": {"state": "In Progress", "status": None}},
        {"pci_bus_id": "0000:19:00.0", "fabric": {"state": None, "status": None}},
    ]
    found = describe_fabric({"nvlsm": {"version": "1", "status": "ii"}}, services, gpus, required=True, nvlink5=True)
    assert found["running"] is True
    assert found["subnet_manager"] == {"required": True, "installed": True, "running": False}
    assert found["states"] == [{"pci_bus_id": "0000:18:00.0", "state": "In Progress", "status": None}]


def test_host_that_needs_none() -> None:
    services = {"nvidia-fabricmanager.service": unit("inactive")}
    gpus = [{"pci_bus_id": "0000:18:00.0", "fabric": {"state": "Completed", "status": "Success"}}]
    found = describe_fabric({}, services, gpus, required=False, nvlink5=False)
    assert (found["running"], found["states"]) == (None, [])
    assert found["subnet_manager"] == {"required": False, "installed": False, "running": None}
