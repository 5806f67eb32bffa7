# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Decide what the NVIDIA driver of a host needs: the one table behind diagnosis, prediction and action."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ansible.module_utils.opensora.packages import Packages, broken_packages
from ansible.module_utils.opensora.version_number import upstream_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Action = Literal["none", "install", "upgrade", "replace_flavour", "repair_packages", "reboot", "blocked"]
Flavour = Literal["open", "proprietary"]

# Generations that only one module flavour drives; Turing to Hopper run with both, where the open one is the default.
_PROPRIETARY_ONLY = ("Kepler", "Maxwell", "Pascal", "Volta")
_OPEN_ONLY = ("Blackwell",)

# Packages that bring the kernel module, of Debian (tesla and legacy series too), Ubuntu, NVIDIA's repositories (whose
# names lose the branch with 590) and the RHEL family. The flavour is "open" where the name says so.
_MODULE_PACKAGE = re.compile(
    r"^(nvidia-(?P<debian>open-)?kernel-dkms"
    r"|nvidia(-legacy|-tesla)?(-\d+(xx)?)?-(?P<series>open-)?kernel-dkms"
    r"|nvidia-tesla(-\d+)?-(?P<tesla>open)(-dkms)?"
    r"|nvidia-kernel-(?P<cuda>open-)dkms"
    r"|nvidia-dkms(-\d+)?(-server)?(?P<ubuntu>-open)?"
    r"|linux-(modules|objects)-nvidia-\d+(-server)?(?P<prebuilt>-open)?-.+"
    r"|kmod-nvidia(?P<kmod>-open)?(-latest)?(-dkms|-\d+[\w.-]*)?)$"
)
# Prebuilt for one kernel: the version is the kernel's (Ubuntu), or names driver and kernel (RHEL family).
_PREBUILT_MODULE_PACKAGE = re.compile(r"^(linux-(modules|objects)-nvidia-|kmod-nvidia(-open)?-\d)")
# Headless metapackages on Ubuntu have the driver's version as well.
_USERSPACE_PACKAGE = re.compile(
    r"^(libnvidia(-tesla)?(-\d+)?-ml1|libnvidia-ml|libnvidia-compute(-\d+)?(-server)?|libcuda1|nvidia(-tesla)?(-\d+)?-libcuda1"
    r"|nvidia(-tesla)?(-\d+)?-smi|nvidia-utils(-\d+)?(-server)?|nvidia-driver-cuda(-libs)?)$"
)
_DRIVER_PACKAGE = re.compile(
    r"^(nvidia|libnvidia|libcuda1$|libcudadebugger|libnvcuvid|libnvoptix|libnvsdm|kmod-nvidia|cuda-drivers"
    r"|linux-(modules|objects|signatures)-nvidia|firmware-nvidia|xserver-xorg-video-nvidia)"
)
# The container toolkit, and packages that only set up a repository or a pin.
_NOT_DRIVER = re.compile(r"^(lib)?nvidia-(container|driver-pinning|docker)")


def module_package_flavour(name: str) -> Flavour | None:
    """Return the flavour of the kernel module that a package brings, or null for a package that brings none."""
    match = _MODULE_PACKAGE.match(name)
    if match is None:
        return None
    return "open" if any(match.groupdict().values()) else "proprietary"


def is_prebuilt(name: str) -> bool:
    """Say whether a module package holds a module for one kernel that its maker built and signed."""
    return bool(_PREBUILT_MODULE_PACKAGE.match(name))


def is_driver_package(name: str) -> bool:
    """Say whether a package is part of the driver."""
    return bool(_DRIVER_PACKAGE.match(name)) and not _NOT_DRIVER.match(name)


@dataclass(frozen=True)
class InstalledDriver:
    """What the package manager knows of the driver.

    Attributes:
        version: Driver version of the module's packages, else of the libraries', or null.
        userspace: Driver version of the libraries' packages, or null.
        flavour: Flavour of the module package, or null where there is none.
        module_packages: Packages that bring a kernel module.
        broken: Driver packages that are unpacked, half installed or half configured.
        held: Driver packages that are held back from changes.
    """

    version: str | None = None
    flavour: str | None = None
    module_packages: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    userspace: str | None = None


def installed_driver(packages: Packages) -> InstalledDriver:
    """Return what driver the packages of a host make up.

    Args:
        packages: Relevant packages with version and status.
    """
    found = {name: module_package_flavour(name) for name in packages}
    flavours = {name: flavour for name, flavour in found.items() if flavour is not None}
    libraries = sorted(name for name in packages if _USERSPACE_PACKAGE.match(name))
    sources = sorted(name for name in flavours if not is_prebuilt(name)) + libraries
    ours = {name for name in packages if is_driver_package(name)}
    return InstalledDriver(
        version=upstream_version(packages[sources[0]]["version"]) if sources else None,
        flavour=next(iter(flavours.values())) if len(set(flavours.values())) == 1 else None,
        module_packages=tuple(sorted(flavours)),
        broken=tuple(name for name in broken_packages(packages) if name in ours),
        held=tuple(sorted(name for name in ours if packages[name]["status"][:1] == "h")),
        userspace=upstream_version(packages[libraries[0]]["version"]) if libraries else None,
    )


@dataclass(frozen=True)
class DriverWish:
    """What the inventory wants of the driver.

    Attributes:
        source: ``vendor``, ``distribution``, ``preinstalled``, or empty where nothing was said.
        branch: Driver branch such as ``580``; only the vendor's repository has a choice of branches.
        version: Exact version, or empty.
        flavour: ``auto``, ``open`` or ``proprietary``.
    """

    source: str = ""
    branch: str = ""
    version: str = ""
    flavour: str = "auto"

    @classmethod
    def from_mapping(cls, wanted: Mapping[str, Any]) -> DriverWish:
        """Return the wish held by plain data; numbers typed on a command line and null are fine."""

        def text(name: str) -> str:
            value = wanted.get(name)
            return "" if value is None else str(value)

        return cls(
            text("driver_source"), text("driver_branch"), text("driver_version"), text("driver_flavour") or "auto"
        )


@dataclass(frozen=True)
class DriverFound:
    """What was found on a host.

    Attributes:
        gpus: The bus's NVIDIA GPUs as ``pci.describe_gpus`` returns them.
        installed: What the package manager knows.
        on_disk: Version of the module that the next start of the module would take, or null.
        on_disk_flavour: Its flavour, or null.
        on_disk_signed: Whether it is signed, or null.
        on_disk_known: Whether the modules on disk could be read at all, which they cannot in a container.
        loaded: Version of the loaded module, or null.
        loaded_flavour: Its flavour, or null.
        nouveau_loaded: Whether the nouveau module is loaded.
        secure_boot: Whether the firmware only takes signed modules; null where it is not known.
        signing_key_enrolled: Whether the firmware knows the key that DKMS signs with; null where it is not known.
        next_kernel: The newest installed kernel where it is not the running one and has no module, or null.
        runfile: Whether the driver was installed by NVIDIA's runfile, past the package manager.
    """

    gpus: Sequence[Mapping[str, Any]] = ()
    installed: InstalledDriver = InstalledDriver()
    on_disk: str | None = None
    on_disk_flavour: str | None = None
    on_disk_signed: bool | None = None
    on_disk_known: bool = False
    loaded: str | None = None
    loaded_flavour: str | None = None
    nouveau_loaded: bool = False
    secure_boot: bool | None = None
    signing_key_enrolled: bool | None = None
    next_kernel: str | None = None
    runfile: bool = False


@dataclass(frozen=True)
class DriverDecision:
    """What to do about the driver.

    Attributes:
        action: The next step; only ``none`` means that the driver is as wanted.
        reason: Why, in one sentence that names the objects.
        layer: The first layer that is broken; null when the action is ``none``.
    """

    action: Action
    reason: str
    layer: str | None = None


def required_flavour(gpus: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the only flavour that drives all these cards, ``mixed`` for different ones, null where both do."""
    needed = set()
    for gpu in gpus:
        if gpu.get("needs_open_module") or gpu.get("architecture") in _OPEN_ONLY:
            needed.add("open")
        elif gpu.get("architecture") in _PROPRIETARY_ONLY:
            needed.add("proprietary")
    if len(needed) > 1:
        return "mixed"
    return needed.pop() if needed else None


def wanted_flavour(gpus: Sequence[Mapping[str, Any]], wish: str) -> Flavour:
    """Return the flavour to install: the wish where it is definite, else what the cards need, else the open one."""
    definite = wish if wish != "auto" else required_flavour(gpus)
    return "proprietary" if definite == "proprietary" else "open"


def _cards(gpus: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{gpu.get('device_id')} ({gpu.get('architecture') or 'unknown generation'})" for gpu in gpus)


def _blocked_by_hardware(found: DriverFound, wish: DriverWish) -> DriverDecision | None:
    if not found.gpus:
        return DriverDecision("blocked", "the PCI bus has no NVIDIA GPU", "pci")
    required = required_flavour(found.gpus)
    if required == "mixed":
        return DriverDecision(
            "blocked",
            f"the cards need different kernel module flavours and a host has one: {_cards(found.gpus)}",
            "pci",
        )
    if required is not None and wish.flavour not in ("auto", required):
        return DriverDecision(
            "blocked", f"the {wish.flavour} kernel module does not drive {_cards(found.gpus)}", "configuration"
        )
    return None


RUNFILE_REASON = (
    "the driver was installed by NVIDIA's runfile, which the package manager does not know: "
    "remove it with nvidia-uninstall first"
)


def _blocked_by_runfile(found: DriverFound, wish: DriverWish) -> DriverDecision | None:
    """Two installers of one driver overwrite each other's files; a driver that is only to be used may be of either."""
    if not found.runfile or wish.source not in ("vendor", "distribution"):
        return None
    return DriverDecision("blocked", RUNFILE_REASON, "packages")


def _firmware_state(found: DriverFound, wish: DriverWish, action: Action) -> DriverDecision | None:
    """A module that the firmware refuses can be neither built nor rebooted into use."""
    if not found.secure_boot or found.loaded is not None:
        return None
    changing = action != "reboot"
    packages = found.installed.module_packages
    # A distribution may sign its modules itself: then the key of locally built ones does not count.
    foreign_key = (bool(packages) and all(is_prebuilt(name) for name in packages)) or (
        changing and wish.source == "distribution"
    )
    if not changing and found.on_disk is not None and found.on_disk_signed is False:
        if found.signing_key_enrolled and not foreign_key:
            return DriverDecision(
                "repair_packages",
                f"Secure Boot is on and the module {found.on_disk} was built before the key that is enrolled now: "
                "it has to be built and signed again",
                "kernel_module",
            )
        return DriverDecision(
            "blocked", f"Secure Boot is on and the module {found.on_disk} on disk is not signed", "firmware"
        )
    if found.signing_key_enrolled is False and not foreign_key:
        return DriverDecision(
            "blocked", "Secure Boot is on and the key that signs locally built modules is not enrolled", "firmware"
        )
    return None


def _package_state(found: DriverFound) -> DriverDecision | None:
    """What the packages and the files they made say; a reboot helps with none of it."""
    installed = found.installed
    if installed.broken:
        outlook = ""
        if found.loaded and found.next_kernel:
            outlook = f"; driver {found.loaded} works until the next boot, kernel {found.next_kernel} has no module"
        return DriverDecision(
            "repair_packages", f"packages are not configured: {', '.join(installed.broken)}{outlook}", "packages"
        )
    if not installed.module_packages or installed.version is None:
        return None
    if installed.userspace not in (None, installed.version):
        return DriverDecision(
            "repair_packages",
            f"the packages of the kernel module are driver {installed.version}, those of the libraries "
            f"{installed.userspace}",
            "packages",
        )
    return _module_state(found) if found.on_disk_known else None


def _module_state(found: DriverFound) -> DriverDecision | None:
    """What the packages made of the modules on disk, for this kernel and the next one."""
    installed = found.installed
    if found.on_disk is None:
        return DriverDecision(
            "repair_packages",
            f"packages of driver {installed.version} are installed, but there is no module for the kernel",
            "kernel_module",
        )
    prebuilt = all(is_prebuilt(name) for name in installed.module_packages)
    if found.on_disk != installed.version and not prebuilt:
        return DriverDecision(
            "repair_packages",
            f"the packages are driver {installed.version}, the module on disk is {found.on_disk}",
            "kernel_module",
        )
    if found.next_kernel is not None:
        return DriverDecision(
            "repair_packages",
            f"the kernel that boots next, {found.next_kernel}, has no module: the driver works until the next boot"
            if found.loaded
            else f"the kernel that boots next, {found.next_kernel}, has no module",
            "kernel_module",
        )
    return None


def _flavour_state(found: DriverFound, wish: DriverWish) -> DriverDecision | None:
    present = found.on_disk_flavour or found.installed.flavour or (None if found.on_disk else found.loaded_flavour)
    required = required_flavour(found.gpus)
    wanted = wish.flavour if wish.flavour != "auto" else required
    if wanted is None or present is None or present == wanted:
        return None
    return DriverDecision(
        "replace_flavour",
        f"the {present} kernel module is present, {_cards(found.gpus)} wants the {wanted} one",
        "kernel_module",
    )


def version_state(present: str | None, wish: DriverWish) -> DriverDecision | None:
    """Compare a wanted version with what is installed; what is loaded is the reboot's matter.

    Args:
        present: Version that the packages are, else the one on disk or loaded.
        wish: What the inventory wants.

    Returns:
        The change to the wanted version, also to an older one; null where the present one is right.
    """
    if wish.source == "preinstalled" or present is None:
        return None
    if wish.version and present != wish.version:
        return DriverDecision("upgrade", f"driver {present} is installed, {wish.version} is wanted", "packages")
    if wish.source == "vendor" and wish.branch and not wish.version and present.split(".")[0] != wish.branch:
        return DriverDecision("upgrade", f"driver {present} is installed, branch {wish.branch} is wanted", "packages")
    return None


def _running_state(found: DriverFound) -> DriverDecision:
    """Everything on disk is right; only a reboot brings another module into use."""
    present = found.on_disk or found.installed.version
    holders = [gpu["pci_bus_id"] for gpu in found.gpus if gpu.get("driver") == "nouveau"]
    if present is None and found.loaded is None:
        return DriverDecision("install", "no driver is installed", "packages")
    if found.loaded is None:
        cause = "nouveau is loaded" if found.nouveau_loaded else "no NVIDIA module is loaded"
        return DriverDecision("reboot", f"driver {present} is on disk and {cause}", "kernel_module")
    if present is not None and present != found.loaded:
        return DriverDecision(
            "reboot", f"driver {present} is installed, the loaded module is {found.loaded}", "kernel_module"
        )
    if found.on_disk_flavour and found.loaded_flavour and found.on_disk_flavour != found.loaded_flavour:
        return DriverDecision(
            "reboot",
            f"the {found.on_disk_flavour} module is on disk, the {found.loaded_flavour} one is loaded",
            "kernel_module",
        )
    if holders:
        return DriverDecision("reboot", f"nouveau holds {', '.join(holders)}", "kernel_module")
    return DriverDecision("none", f"driver {found.loaded} is loaded and nothing contradicts it")


def decide(found: DriverFound, wish: DriverWish) -> DriverDecision:
    """Return the next step for a host's driver.

    The order is that of cause and effect: hardware, packages, flavour, version, firmware, and the loaded module last,
    so that nothing is rebooted or reinstalled because of a fault that lies deeper.

    Args:
        found: What is on the host.
        wish: What the inventory wants.
    """
    blocked = _blocked_by_hardware(found, wish) or _blocked_by_runfile(found, wish)
    if blocked is not None:
        return blocked
    present = found.installed.version or found.on_disk or found.loaded
    change = _package_state(found) or _flavour_state(found, wish) or version_state(present, wish)
    running = change or _running_state(found)
    # Whatever ends in a newly loaded module fails at a firmware that refuses it; a broken package is mended first.
    if running.action in ("install", "reboot", "replace_flavour", "upgrade"):
        return _firmware_state(found, wish, running.action) or running
    return running
