"""The driver's decision table: for each state the right action, and the wrong ones that must not be taken."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.opensora.driver_state import (
    DriverFound,
    DriverWish,
    InstalledDriver,
    decide,
    installed_driver,
    is_driver_package,
    is_prebuilt,
    module_package_flavour,
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
    "secure boot, built before the key was enrolled": (
        found(loaded=None, secure_boot=True, signing_key_enrolled=True),
        {},
        "repair_packages",
        "kernel_module",
    ),
    "secure boot, the maker's signature": (
        found(
            installed=InstalledDriver("580.95.05", "open", ("linux-modules-nvidia-580-server-open-generic",)),
            on_disk="580.95.05",
            on_disk_signed=True,
            loaded=None,
            secure_boot=True,
            signing_key_enrolled=False,
        ),
        {},
        "reboot",
        "kernel_module",
    ),
    "secure boot, the distribution may sign": (
        found(NOTHING, secure_boot=True, signing_key_enrolled=False),
        {"driver_source": "distribution"},
        "install",
        "packages",
    ),
    "secure boot, no key, vendor": (
        found(NOTHING, secure_boot=True, signing_key_enrolled=False),
        {"driver_source": "vendor"},
        "blocked",
        "firmware",
    ),
    "secure boot not known": (found(loaded=None, secure_boot=None), {}, "reboot", "kernel_module"),
    "module and libraries of different versions": (
        found(installed=replace(OPEN, userspace="580.178.04")),
        {},
        "repair_packages",
        "packages",
    ),
    "module and libraries of one version": (found(installed=replace(OPEN, userspace="580.159.04")), {}, "none", None),
    "runfile, vendor": (
        found(installed=InstalledDriver(), runfile=True),
        {"driver_source": "vendor"},
        "blocked",
        "packages",
    ),
    "runfile, distribution": (
        found(installed=InstalledDriver(), runfile=True, loaded=None),
        {"driver_source": "distribution"},
        "blocked",
        "packages",
    ),
    "runfile, preinstalled adopts it": (
        found(installed=InstalledDriver(), runfile=True),
        {"driver_source": "preinstalled"},
        "none",
        None,
    ),
    "runfile, preinstalled, module replaced": (
        found(installed=InstalledDriver(), runfile=True, loaded="570.172.08"),
        {"driver_source": "preinstalled"},
        "reboot",
        "kernel_module",
    ),
    "an older version is wanted": (
        found(),
        {"driver_source": "vendor", "driver_branch": "580", "driver_version": "580.95.05"},
        "upgrade",
        "packages",
    ),
    "the wanted version is installed, another is loaded": (
        found(loaded="580.95.05"),
        {"driver_source": "vendor", "driver_branch": "580", "driver_version": "580.159.04"},
        "reboot",
        "kernel_module",
    ),
    "broken packages and another version wanted": (
        found(installed=replace(OPEN, broken=("nvidia-kernel-open-dkms",))),
        {"driver_source": "vendor", "driver_branch": "595"},
        "repair_packages",
        "packages",
    ),
    "broken packages and another one loaded": (
        found(installed=replace(OPEN, broken=("libcuda1",)), loaded="570.172.08"),
        {},
        "repair_packages",
        "packages",
    ),
    "no module for the next kernel, another one loaded": (
        found(next_kernel="6.8.0-1029-aws", loaded="570.172.08"),
        {},
        "repair_packages",
        "kernel_module",
    ),
    "broken packages of the wrong flavour": (
        found(gpus=(B200,), installed=replace(CLOSED, broken=("nvidia-kernel-dkms",)), on_disk_flavour="proprietary"),
        {},
        "repair_packages",
        "packages",
    ),
    "no module for this kernel, nouveau": (
        found(on_disk=None, on_disk_flavour=None, loaded=None, loaded_flavour=None, nouveau_loaded=True),
        {},
        "repair_packages",
        "kernel_module",
    ),
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


# What must never be done in a state, whatever else is right: the reason why the action would harm or not help.
NEVER = {
    "everything agrees": ("install", "upgrade", "reboot", "repair_packages", "replace_flavour"),
    "loaded differs": ("install", "upgrade", "repair_packages", "replace_flavour"),
    "not loaded": ("install", "upgrade", "repair_packages"),
    "nouveau loaded": ("install", "upgrade", "repair_packages"),
    "half configured": ("reboot", "install", "none"),
    "half configured and nouveau": ("reboot", "none"),
    "half configured while the driver works": ("reboot", "none"),
    "on disk differs": ("reboot", "none"),
    "no module for the kernel": ("reboot", "none"),
    "no module for the next kernel": ("reboot", "none"),
    "no gpu": ("install", "reboot", "none"),
    "secure boot, unsigned": ("reboot", "install", "none"),
    "blackwell with the proprietary module": ("reboot", "none"),
    "pascal with the open module": ("reboot", "none"),
    "mixed generations": ("install", "none"),
    "runfile, vendor": ("install", "upgrade", "none"),
    "runfile, preinstalled adopts it": ("install", "blocked"),
    "preinstalled adopts any version": ("upgrade", "install"),
    "container that sees the outer module": ("reboot", "repair_packages", "install"),
    "broken packages and another one loaded": ("reboot", "none"),
}


@pytest.mark.parametrize("case", TABLE, ids=list(TABLE))
def test_decision(case: str) -> None:
    state, wish, action, layer = TABLE[case]
    decision = decide(state, DriverWish.from_mapping(wish))
    assert decision.action == action, decision.reason
    assert decision.action not in NEVER.get(case, ())
    assert decision.reason
    if layer is not None or action == "none":
        assert decision.layer == layer


@pytest.mark.parametrize("case", NEVER, ids=list(NEVER))
def test_wrong_actions_are_of_a_case(case: str) -> None:
    assert set(NEVER[case]) <= ACTIONS - {TABLE[case][2]}


VERSION, OTHER = "580.159.04", "570.172.08"
AXES: dict[str, tuple[Any, ...]] = {
    "installed": (None, VERSION, OTHER),
    "broken": ((), ("nvidia-kernel-open-dkms",)),
    "on_disk": (None, VERSION, OTHER),
    "on_disk_known": (True, False),
    "loaded": (None, VERSION, OTHER),
    "nouveau": ("", "loaded", "holds"),
    "secure_boot": (None, False, True),
    "signed": (True, False),
    "enrolled": (None, False, True),
    "flavour": ("open", "proprietary"),
    "cards": ((H100,), (B200,), (P100,), (B200, P100), ()),
    "next_kernel": (None, "6.8.0-1029-aws"),
    "runfile": (False, True),
}
WISHES = (
    DriverWish(),
    DriverWish("preinstalled"),
    DriverWish("vendor", "580"),
    DriverWish("vendor", "580", VERSION),
    DriverWish("distribution"),
)


def state_of(values: dict[str, Any]) -> DriverFound:
    packaged = values["installed"] is not None
    cards = values["cards"]
    if values["nouveau"] == "holds":
        cards = tuple({**card, "driver": "nouveau"} for card in cards)
    name = "nvidia-kernel-open-dkms" if values["flavour"] == "open" else "nvidia-kernel-dkms"
    return DriverFound(
        gpus=cards,
        installed=InstalledDriver(
            values["installed"],
            values["flavour"] if packaged else None,
            (name,) if packaged else (),
            values["broken"] if packaged else (),
        ),
        on_disk=values["on_disk"] if values["on_disk_known"] else None,
        on_disk_flavour=values["flavour"] if values["on_disk"] and values["on_disk_known"] else None,
        on_disk_signed=values["signed"] if values["on_disk"] and values["on_disk_known"] else None,
        on_disk_known=values["on_disk_known"],
        loaded=values["loaded"],
        loaded_flavour=values["flavour"] if values["loaded"] else None,
        nouveau_loaded=bool(values["nouveau"]),
        secure_boot=values["secure_boot"],
        signing_key_enrolled=values["enrolled"],
        next_kernel=values["next_kernel"],
        runfile=values["runfile"] and not packaged,
    )


def violations(state: DriverFound, wish: DriverWish) -> list[str]:
    """Return the rules that the decision breaks."""
    action = decide(state, wish).action
    installed = state.installed
    required = required_flavour(state.gpus)
    present = state.on_disk or installed.version
    holds = any(card.get("driver") == "nouveau" for card in state.gpus)
    agree = present is not None and present == state.loaded
    packaged = bool(installed.module_packages)
    buildable = packaged and state.on_disk_known
    wrong_flavour = required not in {None, "mixed"} and installed.flavour not in {None, required}
    rules = {
        "an action is one of the table": action in ACTIONS,
        "no card, no action": bool(state.gpus) or action == "blocked",
        "cards of two flavours are not acted on": required != "mixed" or action == "blocked",
        "no reboot while packages are broken": not (action == "reboot" and installed.broken),
        "no reboot where the module of the packages is absent": not (
            action == "reboot" and buildable and state.on_disk != installed.version
        ),
        "no reboot into a kernel without a module": not (action == "reboot" and buildable and state.next_kernel),
        "no reboot into a module that the firmware refuses": not (
            action == "reboot" and state.secure_boot and state.loaded is None and state.on_disk_signed is False
        ),
        "no reboot where all agrees and nouveau holds no card": not (action == "reboot" and agree and not holds),
        "no reboot without anything to boot into": not (action == "reboot" and present is None and not holds),
        "no reboot into a module that cannot drive the cards": not (action == "reboot" and wrong_flavour),
        "no installation over packages": not (action == "install" and packaged),
        "no reinstallation where only the loaded one differs": not (
            action in {"install", "upgrade", "repair_packages", "replace_flavour"}
            and installed.version == state.on_disk == VERSION
            and not installed.broken
            and state.next_kernel is None
            and not wrong_flavour
            and not (state.secure_boot and state.on_disk_signed is False)
        ),
        "no other version under preinstalled": not (action == "upgrade" and wish.source in {"", "preinstalled"}),
        "nothing over a runfile": not (
            state.runfile and wish.source in {"vendor", "distribution"} and action != "blocked"
        ),
        "nothing is right while packages are broken": not (action == "none" and installed.broken),
        "nothing is right while no module is loaded": not (action == "none" and state.loaded is None),
        "nothing is right while another module is loaded": not (
            action == "none" and present is not None and state.loaded != present
        ),
        "nothing is right while nouveau holds a card": not (action == "none" and holds),
    }
    return [rule for rule, kept in rules.items() if not kept]


@pytest.mark.parametrize("wish", WISHES, ids=lambda wish: f"{wish.source}-{wish.branch}-{wish.version}")
def test_rules_hold_in_every_state(wish: DriverWish) -> None:
    broken: dict[str, dict[str, Any]] = {}
    for combination in itertools.product(*AXES.values()):
        values = dict(zip(AXES, combination))
        for rule in violations(state_of(values), wish):
            broken.setdefault(rule, values)
    assert broken == {}


def test_the_sweep_reaches_every_action() -> None:
    reached: set[str] = set()
    for combination, wish in itertools.product(itertools.product(*AXES.values()), WISHES):
        reached.add(decide(state_of(dict(zip(AXES, combination))), wish).action)
        if reached == ACTIONS:
            break
    assert reached == ACTIONS


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


# Package, flavour of its module (null: it brings none), whether it is prebuilt.
MODULE_PACKAGES = [
    ("nvidia-open-kernel-dkms", "open", False),
    ("nvidia-kernel-dkms", "proprietary", False),
    ("nvidia-kernel-open-dkms", "open", False),
    ("nvidia-tesla-535-kernel-dkms", "proprietary", False),
    ("nvidia-tesla-535-open-kernel-dkms", "open", False),
    ("nvidia-tesla-470-kernel-dkms", "proprietary", False),
    ("nvidia-legacy-390xx-kernel-dkms", "proprietary", False),
    ("nvidia-dkms-580", "proprietary", False),
    ("nvidia-dkms-580-open", "open", False),
    ("nvidia-dkms-580-server", "proprietary", False),
    ("nvidia-dkms-580-server-open", "open", False),
    ("nvidia-dkms", "proprietary", False),
    ("nvidia-dkms-open", "open", False),
    ("linux-modules-nvidia-580-server-open-generic", "open", True),
    ("linux-modules-nvidia-580-server-6.8.0-1021-aws", "proprietary", True),
    ("linux-modules-nvidia-580-open-generic-hwe-24.04", "open", True),
    ("linux-modules-nvidia-580-generic", "proprietary", True),
    ("linux-objects-nvidia-580-server-6.8.0-60-generic", "proprietary", True),
    ("kmod-nvidia-open-dkms", "open", False),
    ("kmod-nvidia-latest-dkms", "proprietary", False),
    ("kmod-nvidia-580.95.05-5.14.0-570.el9", "proprietary", True),
    ("kmod-nvidia-open-580.95.05-5.14.0-570.el9", "open", True),
    ("nvidia-kernel-common", None, False),
    ("nvidia-kernel-source-580-open", None, False),
    ("nvidia-open-kernel-support", None, False),
    ("nvidia-smi", None, False),
    ("nvidia-driver-cuda", None, False),
    ("nvidia-open", None, False),
    ("nvidia-container-toolkit", None, False),
    ("linux-signatures-nvidia-6.8.0-60-generic", None, False),
    ("linux-headers-generic", None, False),
]


@pytest.mark.parametrize(("name", "flavour", "prebuilt"), MODULE_PACKAGES)
def test_module_packages(name: str, flavour: str | None, prebuilt: bool) -> None:
    assert module_package_flavour(name) == flavour
    assert is_prebuilt(name) is prebuilt


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, True) for name, flavour, _ in MODULE_PACKAGES if flavour),
        ("nvidia-fabricmanager-580", True),
        ("libnvidia-compute", True),
        ("libcuda1", True),
        ("nvidia-persistenced", True),
        ("nvidia-open-570", True),
        ("cuda-drivers-580", True),
        ("nvidia-driver-pinning-580", False),
        ("nvidia-container-toolkit", False),
        ("libnvidia-container1", False),
        ("nvidia-docker2", False),
        ("linux-headers-generic", False),
        ("cuda-keyring", False),
        ("dkms", False),
    ],
)
def test_what_is_the_driver(name: str, expected: bool) -> None:
    assert is_driver_package(name) is expected


@pytest.mark.parametrize(
    ("packages", "module", "userspace"),
    [
        (
            {
                "nvidia-dkms-580-open": package("580.95.05-0ubuntu1"),
                "libnvidia-compute-580": package("580.65.06-0ubuntu1"),
            },
            "580.95.05",
            "580.65.06",
        ),
        ({"nvidia-tesla-535-kernel-dkms": package("535.216.01-1~deb12u1")}, "535.216.01", None),
        ({"libnvidia-compute": package("595.71.05-1ubuntu1")}, "595.71.05", "595.71.05"),
        (
            {
                "linux-modules-nvidia-580-server-open-generic": package("6.8.0-60.63"),
                "libnvidia-compute-580-server": package("580.95.05-0ubuntu0.24.04.1"),
            },
            "580.95.05",
            "580.95.05",
        ),
        ({"kmod-nvidia-580.95.05-5.14.0-570.el9": package("3:580.95.05-1.el9")}, None, None),
    ],
)
def test_versions_of_both_halves(packages: dict[str, Any], module: str | None, userspace: str | None) -> None:
    installed = installed_driver(packages)
    assert (installed.version, installed.userspace) == (module, userspace)


def test_held_packages_are_named() -> None:
    assert installed_driver({"nvidia-smi": package("550.163.01-2", "hi")}).held == ("nvidia-smi",)
