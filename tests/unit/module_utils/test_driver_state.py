"""The driver's decision table: for each state the right action, and the wrong ones that must not be taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.opensora.driver_state import (
    DriverFound,
    DriverWish,
    InstalledDriver,
    decide,
    installed_driver,
    required_flavour,
    wanted_flavour,
)

ACTIONS = {"none", "install", "upgrade", "replace_flavour", "repair_packages", "reboot", "blocked"}
H100 = {"device_id": "0x2330", "architecture": "Hopper", "pci_bus_id": "0000:06:00.0", "driver": "nvidia"}
B200 = {"device_id": "0x2901", "architecture": "Blackwell", "pci_bus_id": "0000:07:00.0", "driver": None}
GH200 = {"device_id": "0x2342", "architecture": "Hopper", "pci_bus_id": "0009:01:00.0", "needs_open_module": True}
P100 = {"device_id": "0x15f8", "architecture": "Pascal", "pci_bus_id": "0000:08:00.0", "driver": None}
UNKNOWN = {"device_id": "0x9999", "architecture": None, "pci_bus_id": "0000:09:00.0", "driver": None}

OPEN = InstalledDriver("580.159.04", "open", ("nvidia-kernel-open-dkms",))
CLOSED = InstalledDriver("580.159.04", "proprietary", ("nvidia-kernel-dkms",))
HEALTHY = DriverFound(
    gpus=(H100,),
    installed=OPEN,
    on_disk="580.159.04",
    on_disk_flavour="open",
    on_disk_signed=False,
    on_disk_known=True,
    loaded="580.159.04",
    loaded_flavour="open",
    secure_boot=False,
)
NOTHING = DriverFound(gpus=(H100,), on_disk_known=True)


def found(base: DriverFound = HEALTHY, **changes: Any) -> DriverFound:
    return replace(base, **changes)


TABLE = {
    "everything agrees": (found(), {}, "none", None),
    "no gpu": (found(gpus=()), {}, "blocked", "pci"),
    "no gpu and nothing installed": (DriverFound(), {}, "blocked", "pci"),
    "nothing installed": (NOTHING, {}, "install", "packages"),
    "nothing installed, nouveau": (found(NOTHING, nouveau_loaded=True), {}, "install", "packages"),
    "nothing installed, secure boot, key unknown": (found(NOTHING, secure_boot=True), {}, "install", "packages"),
    "nothing installed, secure boot, no key": (
        found(NOTHING, secure_boot=True, signing_key_enrolled=False),
        {},
        "blocked",
        "firmware",
    ),
    "nothing installed, secure boot, key enrolled": (
        found(NOTHING, secure_boot=True, signing_key_enrolled=True),
        {},
        "install",
        "packages",
    ),
    "loaded differs": (found(loaded="570.172.08"), {}, "reboot", "kernel_module"),
    "not loaded": (found(loaded=None, loaded_flavour=None), {}, "reboot", "kernel_module"),
    "nouveau loaded": (
        found(loaded=None, loaded_flavour=None, nouveau_loaded=True),
        {},
        "reboot",
        "kernel_module",
    ),
    "nouveau holds one card": (
        found(gpus=(H100, {**H100, "pci_bus_id": "0000:41:00.0", "driver": "nouveau"}), nouveau_loaded=True),
        {},
        "reboot",
        "kernel_module",
    ),
    "nouveau drives another card": (found(nouveau_loaded=True), {}, "none", None),
    "half configured": (
        found(installed=replace(OPEN, broken=("nvidia-kernel-open-dkms",)), on_disk=None, loaded=None),
        {},
        "repair_packages",
        "packages",
    ),
    "half configured and nouveau": (
        found(
            installed=replace(OPEN, broken=("nvidia-kernel-open-dkms",)), on_disk=None, loaded=None, nouveau_loaded=True
        ),
        {},
        "repair_packages",
        "packages",
    ),
    "half configured while the driver works": (
        found(installed=replace(OPEN, broken=("nvidia-kernel-open-dkms",)), next_kernel="6.8.0-1029-aws"),
        {},
        "repair_packages",
        "packages",
    ),
    "on disk differs": (found(on_disk="550.163.01"), {}, "repair_packages", "kernel_module"),
    "no module for the kernel": (
        found(on_disk=None, on_disk_flavour=None, loaded=None, loaded_flavour=None),
        {},
        "repair_packages",
        "kernel_module",
    ),
    "no module for the next kernel": (found(next_kernel="6.8.0-1029-aws"), {}, "repair_packages", "kernel_module"),
    "container that sees the outer module": (
        found(installed=InstalledDriver("580.159.04"), on_disk=None, on_disk_flavour=None, on_disk_known=False),
        {},
        "none",
        None,
    ),
    "loaded without packages": (
        found(installed=InstalledDriver(), on_disk=None, on_disk_flavour=None, on_disk_known=False),
        {},
        "none",
        None,
    ),
    "prebuilt module package": (
        found(
            installed=InstalledDriver("580.159.04", "open", ("linux-modules-nvidia-580-server-open-generic",)),
            on_disk="580.159.04",
        ),
        {},
        "none",
        None,
    ),
    "secure boot, unsigned": (found(loaded=None, secure_boot=True), {}, "blocked", "firmware"),
    "secure boot, signed with an unknown key": (
        found(loaded=None, secure_boot=True, on_disk_signed=True, signing_key_enrolled=False),
        {},
        "blocked",
        "firmware",
    ),
    "secure boot, signed and enrolled": (
        found(loaded=None, secure_boot=True, on_disk_signed=True, signing_key_enrolled=True),
        {},
        "reboot",
        "kernel_module",
    ),
    "secure boot, loaded": (found(secure_boot=True, on_disk_signed=True), {}, "none", None),
    "secure boot, half configured": (
        found(installed=replace(OPEN, broken=("nvidia-kernel-open-dkms",)), loaded=None, secure_boot=True),
        {},
        "repair_packages",
        "packages",
    ),
    "blackwell with the proprietary module": (
        found(gpus=(B200,), installed=CLOSED, on_disk_flavour="proprietary", loaded=None, loaded_flavour=None),
        {},
        "replace_flavour",
        "kernel_module",
    ),
    "grace hopper with the proprietary module": (
        found(gpus=(GH200,), installed=CLOSED, on_disk_flavour="proprietary", loaded=None, loaded_flavour=None),
        {},
        "replace_flavour",
        "kernel_module",
    ),
    "pascal with the open module": (found(gpus=(P100,), loaded=None, loaded_flavour=None), {}, "replace_flavour", None),
    "hopper with the proprietary module": (
        found(installed=CLOSED, on_disk_flavour="proprietary", loaded_flavour="proprietary"),
        {},
        "none",
        None,
    ),
    "hopper, open wished": (
        found(installed=CLOSED, on_disk_flavour="proprietary", loaded_flavour="proprietary"),
        {"driver_flavour": "open"},
        "replace_flavour",
        "kernel_module",
    ),
    "flavour replaced, old one loaded": (
        found(loaded_flavour="proprietary"),
        {"driver_flavour": "open"},
        "reboot",
        "kernel_module",
    ),
    "blackwell, proprietary wished": (
        found(NOTHING, gpus=(B200,)),
        {"driver_flavour": "proprietary"},
        "blocked",
        "configuration",
    ),
    "mixed generations": (found(NOTHING, gpus=(B200, P100)), {}, "blocked", "pci"),
    "unknown generation": (found(gpus=(UNKNOWN,)), {}, "none", None),
    "exact version differs": (
        found(),
        {"driver_source": "distribution", "driver_version": "580.178.04"},
        "upgrade",
        "packages",
    ),
    "branch differs": (found(), {"driver_source": "vendor", "driver_branch": 595}, "upgrade", "packages"),
    "branch is not the distribution's matter": (
        found(),
        {"driver_source": "distribution", "driver_branch": "595"},
        "none",
        None,
    ),
    "preinstalled adopts any version": (
        found(),
        {"driver_source": "preinstalled", "driver_version": "595.1.2", "driver_branch": "595"},
        "none",
        None,
    ),
}


@pytest.mark.parametrize("case", TABLE, ids=list(TABLE))
def test_decision(case: str) -> None:
    state, wish, action, layer = TABLE[case]
    decision = decide(state, DriverWish.from_mapping(wish))
    wrong = ACTIONS - {action}
    assert decision.action not in wrong, decision.reason
    assert decision.reason
    if layer is not None or action == "none":
        assert decision.layer == layer


def test_a_broken_package_says_that_the_next_boot_fails() -> None:
    state, _, _, _ = TABLE["half configured while the driver works"]
    reason = decide(state, DriverWish()).reason
    assert "works until the next boot" in reason
    assert "6.8.0-1029-aws" in reason


@pytest.mark.parametrize(
    ("gpus", "required", "wanted"),
    [
        ([H100], None, "open"),
        ([B200, H100], "open", "open"),
        ([P100], "proprietary", "proprietary"),
        ([P100, B200], "mixed", "open"),
        ([UNKNOWN], None, "open"),
    ],
)
def test_flavour(gpus: list[dict[str, Any]], required: str | None, wanted: str) -> None:
    assert required_flavour(gpus) == required
    assert wanted_flavour(gpus, "auto") == wanted
    assert wanted_flavour(gpus, "proprietary") == "proprietary"


def package(version: str, status: str = "ii") -> dict[str, str]:
    return {"version": version, "status": status}


@pytest.mark.parametrize(
    ("packages", "version", "flavour", "broken"),
    [
        ({}, None, None, ()),
        ({"nvidia-open-kernel-dkms": package("550.163.01-2")}, "550.163.01", "open", ()),
        ({"nvidia-kernel-dkms": package("550.163.01-2")}, "550.163.01", "proprietary", ()),
        ({"nvidia-dkms-580-open": package("580.95.05-0ubuntu0.24.04.1")}, "580.95.05", "open", ()),
        ({"nvidia-dkms-580-server": package("580.95.05-0ubuntu0.24.04.1")}, "580.95.05", "proprietary", ()),
        (
            {
                "linux-modules-nvidia-580-server-open-6.8.0-60-generic": package("6.8.0-60.63"),
                "nvidia-utils-580-server": package("580.95.05-0ubuntu0.24.04.1"),
            },
            "580.95.05",
            "open",
            (),
        ),
        ({"kmod-nvidia-open-dkms": package("3:580.95.05-1.el9")}, "580.95.05", "open", ()),
        (
            {"nvidia-kernel-open-dkms": package("580.95.05-1", "iF"), "libnvidia-ml1": package("580.95.05-1")},
            "580.95.05",
            "open",
            ("nvidia-kernel-open-dkms",),
        ),
        ({"nvidia-container-toolkit": package("1.20.0-1", "iF")}, None, None, ()),
        ({"nvidia-smi": package("550.163.01-2")}, "550.163.01", None, ()),
    ],
)
def test_installed(packages: dict[str, Any], version: str | None, flavour: str | None, broken: tuple[str, ...]) -> None:
    installed = installed_driver(packages)
    assert (installed.version, installed.flavour, installed.broken) == (version, flavour, broken)


def test_held_packages_are_named() -> None:
    assert installed_driver({"nvidia-smi": package("550.163.01-2", "hi")}).held == ("nvidia-smi",)
