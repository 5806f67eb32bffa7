# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Which packages of which repository make up an NVIDIA driver: package sets, kernel headers, fabric manager."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.driver_branches import FIRST_UNBRANCHED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

# Fingerprints of the keys that sign NVIDIA's repositories: of Ubuntu and Debian 12, of Debian 13, of the RHEL family.
_KEYS = {
    "3bf863cc.pub": "EB693B3035CD5710E231E123A4B469963BF863CC",
    "8793F200.pub": "02182E60104FCDC26EAE1B8597A5D4CB8793F200",
    "D42D0685.pub": "610C7B14E068A878070DA4E99CD0A493D42D0685",
}
# NVIDIA's word for the machine in the address of its repositories.
_MACHINES = {"x86_64": "x86_64", "aarch64": "sbsa"}
PIN_PATTERNS = ("*nvidia*", "libcuda1", "libcudadebugger1", "libnvcuvid1", "libnvsdm*", "cuda-drivers*")
# What both the distribution and NVIDIA build. On Debian NVIDIA's packages need helpers of contrib, such as
# glx-alternative-nvidia and nvidia-support, so that no wide pattern may exclude them.
_DEBIAN_BUILDS = (
    "libcuda1 libcudadebugger1 libnvcuvid1 libnvidia-* firmware-nvidia-gsp nvidia-alternative nvidia-driver* "
    "nvidia-kernel-dkms nvidia-kernel-support nvidia-modprobe nvidia-open-kernel-* nvidia-opencl-icd "
    "nvidia-persistenced nvidia-smi"
)
_UBUNTU_BUILDS = "nvidia-* libnvidia-* linux-modules-nvidia-* linux-objects-nvidia-*"


@dataclass(frozen=True)
class System:
    """A system that the driver can be installed on.

    Attributes:
        name: NVIDIA's word for it in the address of its repositories.
        title: Its name for people.
        kind: ``debian``, ``ubuntu`` or ``redhat``.
        key_file: File of the key in the vendor's repository.
        own_branches: Driver branches that the distribution's own packages have; empty where it has none.
        components: Components of the distribution that carry or complete the driver.
    """

    name: str
    title: str
    kind: str
    key_file: str
    own_branches: tuple[str, ...] = ()
    components: tuple[str, ...] = ()

    @property
    def manager(self) -> str:
        """Name of the package manager."""
        return "dnf" if self.kind == "redhat" else "apt"

    @property
    def key_fingerprint(self) -> str:
        """Fingerprint of the vendor's key for this system."""
        return _KEYS[self.key_file]


_NON_FREE = ("contrib", "non-free", "non-free-firmware")
# Server branches that Canonical builds and signs for its kernels; 615 is in multiverse.
_UBUNTU_BRANCHES = ("535", "570", "580", "595", "615")
_SYSTEMS = {
    "bookworm": System("debian12", "Debian 12", "debian", "3bf863cc.pub", ("535",), _NON_FREE),
    "trixie": System("debian13", "Debian 13", "debian", "8793F200.pub", ("550",), _NON_FREE),
    "jammy": System("ubuntu2204", "Ubuntu 22.04", "ubuntu", "3bf863cc.pub", _UBUNTU_BRANCHES, ("restricted",)),
    "noble": System("ubuntu2404", "Ubuntu 24.04", "ubuntu", "3bf863cc.pub", _UBUNTU_BRANCHES, ("restricted",)),
}
_REDHAT_9 = System("rhel9", "RHEL 9", "redhat", "D42D0685.pub")
_REDHAT_IDS = ("rhel", "rocky", "almalinux")
VENDOR_SYSTEMS = "Ubuntu 22.04 and 24.04, Debian 12 and 13, RHEL, Rocky Linux and AlmaLinux 9"
DISTRIBUTION_SYSTEMS = "Debian 12 and 13, Ubuntu 22.04 and 24.04"


def find_system(os: Mapping[str, Any]) -> System | None:
    """Return the system of a host, or null for one that the role installs nothing on.

    Args:
        os: The ``os`` part of the host's description; a derivative counts as the distribution whose packages it uses.
    """
    if os["family"] == "redhat":
        return _REDHAT_9 if os["id"] in _REDHAT_IDS and os["major"] == 9 else None  # noqa: PLR2004  the release
    return _SYSTEMS.get(os["codename"] or "")


def repository(system: System, machine: str, url: str, key_url: str, fingerprint: str) -> dict[str, Any] | None:
    """Return the vendor's repository of a system, or null for a machine that NVIDIA builds nothing for.

    Args:
        system: The host's system.
        machine: The kernel's word for the machine, such as ``x86_64``.
        url: Address with the fields ``{distribution}`` and ``{machine}``.
        key_url: Address of the key, with the same fields; empty for the key in the repository.
        fingerprint: Full fingerprint of the key; empty for the vendor's.
    """
    word = _MACHINES.get(machine)
    if word is None:
        return None

    def filled(text: str) -> str:
        return text.replace("{distribution}", system.name).replace("{machine}", word).rstrip("/")

    return {
        "manager": system.manager,
        "name": "nvidia-driver",
        "url": filled(url),
        "key_url": filled(key_url) or f"{filled(url)}/{system.key_file}",
        "key_fingerprint": fingerprint.replace(" ", "").upper() or system.key_fingerprint,
        "suites": ["/"],
    }


@dataclass(frozen=True)
class PackageSet:
    """The packages of a driver, compute only: no display server and no OpenGL.

    Attributes:
        module: Packages that bring the kernel module.
        userspace: Packages that bring libraries, nvidia-smi and the persistence daemon.
    """

    module: tuple[str, ...]
    userspace: tuple[str, ...]


def vendor_packages(system: System, branch: str, flavour: str) -> PackageSet:
    """Return the driver packages of NVIDIA's repository.

    Args:
        system: The host's system.
        branch: Driver branch.
        flavour: ``open`` or ``proprietary``.
    """
    is_open = flavour == "open"
    if system.kind == "redhat":
        return PackageSet(
            ("kmod-nvidia-open-dkms" if is_open else "kmod-nvidia-latest-dkms",),
            ("nvidia-driver-cuda", "nvidia-persistenced", "nvidia-modprobe"),
        )
    if system.kind == "debian":
        return PackageSet(
            ("nvidia-kernel-open-dkms" if is_open else "nvidia-kernel-dkms",),
            ("nvidia-driver-cuda", "libcuda1", "nvidia-persistenced", "nvidia-modprobe"),
        )
    suffix = "" if int(branch) >= FIRST_UNBRANCHED else f"-{branch}"
    names = [f"libnvidia-compute{suffix}"]
    if suffix:
        names += [f"nvidia-utils{suffix}", f"nvidia-compute-utils{suffix}"]  # nvidia-smi; from 590 it is in the first
    return PackageSet(
        (f"nvidia-dkms{suffix}{'-open' if is_open else ''}",), (*names, "nvidia-persistenced", "nvidia-modprobe")
    )


def distribution_packages(system: System, branch: str, flavour: str, kernel_name: str) -> PackageSet:
    """Return the driver packages of the distribution itself.

    Args:
        system: The host's system.
        branch: Driver branch; only Ubuntu has a choice of them.
        flavour: ``open`` or ``proprietary``.
        kernel_name: Name of the kernel's package series, such as ``generic`` or ``aws``; Ubuntu only.
    """
    if system.kind == "debian":
        return PackageSet(
            ("nvidia-open-kernel-dkms" if flavour == "open" else "nvidia-kernel-dkms",),
            ("nvidia-smi", "nvidia-persistenced", "nvidia-modprobe", "libcuda1", "libnvidia-nvvm4"),
        )
    series = f"{branch}-server{'-open' if flavour == 'open' else ''}"
    return PackageSet(
        (f"linux-modules-nvidia-{series}-{kernel_name}",),
        (
            f"nvidia-headless-no-dkms-{series}",
            f"nvidia-utils-{branch}-server",
            f"nvidia-compute-utils-{branch}-server",
            "nvidia-modprobe",
        ),
    )


def fabric_packages(system: System, branch: str, source: str, *, nvlink5: bool) -> list[str]:
    """Return the packages that a host with NVSwitches needs, all at the driver's full version.

    Args:
        system: The host's system.
        branch: Driver branch; up to 580 it is part of the name.
        source: ``vendor`` or ``distribution``.
        nvlink5: Whether the links are managed by an InfiniBand subnet manager as well.

    Returns:
        Empty where the distribution has none.
    """
    if source == "distribution":
        return [f"nvidia-fabricmanager-{branch}", f"libnvidia-nscq-{branch}"] if system.kind == "ubuntu" else []
    named = int(branch) < FIRST_UNBRANCHED and system.kind != "redhat"
    packages = [f"nvidia-fabricmanager-{branch}" if named else "nvidia-fabricmanager", "libnvidia-nscq"]
    return [*packages, "libnvsdm", "nvlsm"] if nvlink5 else packages


# Kernel flavours of Debian that have a package of matching headers.
_DEBIAN_KERNEL = re.compile(r"^\d+\.\d+\.\d+(?:[+-]\S*?)?-((?:cloud-|rt-)?(?:amd64|arm64))$")
# Release of an Ubuntu kernel: version, ABI and flavour, such as 6.8.0-1021-aws.
_UBUNTU_KERNEL = re.compile(r"^(\d+)\.(\d+)\.\d+-\d+-([a-z][a-z0-9-]*)$")
_REDHAT_KERNEL = re.compile(r"^\d+\.\d+\.\d+-\S+\.el\d+\S*$")
# The kernels that the releases came with; a newer generic one is of the hardware enablement series.
_UBUNTU_FIRST_KERNELS = {"ubuntu2204": (5, 15), "ubuntu2404": (6, 8)}


def kernel_series(system: System, kernel: str, packages: Collection[str]) -> str:
    """Return the name under which a distribution keeps the newest kernels like this one, or empty for a foreign kernel.

    Args:
        system: The host's system.
        kernel: Release of the kernel.
        packages: Names of the host's packages; on Ubuntu the installed metapackage of the kernel tells the series.
    """
    if system.kind == "debian":
        match = _DEBIAN_KERNEL.match(kernel)
        return match.group(1) if match else ""
    match = _UBUNTU_KERNEL.match(kernel)
    if system.kind != "ubuntu" or match is None:
        return ""
    flavour = match.group(3)
    metapackages: list[str] = sorted(re.findall(r"(?m)^linux-image-([a-z][a-z0-9.-]*)$", "\n".join(packages)))
    same = [name for name in metapackages if name == flavour or name.startswith(f"{flavour}-")]
    if flavour == "generic":
        same += [name for name in metapackages if name == "virtual" or name.startswith("virtual-")]
    same = [name for name in same if not name.startswith("unsigned")]
    if same:
        return same[-1].replace("virtual", "generic")
    newer = (int(match.group(1)), int(match.group(2))) > _UBUNTU_FIRST_KERNELS[system.name]
    return f"{flavour}-hwe-{system.title.split()[-1]}" if flavour == "generic" and newer else flavour


def header_packages(
    system: System, kernels: Sequence[str], packages: Collection[str], wanted: Sequence[str]
) -> list[str]:
    """Return the packages of kernel headers: of the series, which later kernels bring along, and of each kernel.

    Args:
        system: The host's system.
        kernels: Releases of the kernels that need a module, the running one first.
        packages: Names of the host's packages.
        wanted: Packages that the inventory names, for a kernel that is not the distribution's.

    Returns:
        Empty where the running kernel is not the distribution's and none are named.
    """
    if wanted:
        return list(wanted)
    if system.kind == "redhat":
        own = [kernel for kernel in kernels if _REDHAT_KERNEL.match(kernel)]
        # This one pulls the headers along with each new kernel; naming the release leaves the kernel as it is.
        names = [f"kernel-devel-matched-{kernel}" for kernel in own]
        return [*names, "kernel-headers"] if kernels and kernels[0] in own else []
    series = [kernel_series(system, kernel, packages) for kernel in kernels]
    if not series or not series[0]:
        return []
    exact = [f"linux-headers-{kernel}" for kernel, name in zip(kernels, series) if name]
    return [f"linux-headers-{series[0]}", *exact]


def module_stream(system: System, branch: str, flavour: str) -> str:
    """Return the module stream of the RHEL family that keeps a branch and flavour, or empty on other systems."""
    if system.kind != "redhat":
        return ""
    return f"nvidia-driver:{branch}-{'open' if flavour == 'open' else 'dkms'}"


def excluded_builds(system: System) -> tuple[str, str]:
    """Return the packages whose builds by the distribution must not mix with NVIDIA's, and the name of their origin."""
    if system.kind == "debian":
        return _DEBIAN_BUILDS, "Debian"
    return _UBUNTU_BUILDS, "Ubuntu"


# Names that only one of the two makers of packages uses.
_DEBIAN_OWN = re.compile(
    r"^(nvidia-open-kernel-(dkms|support|source)|nvidia(-legacy|-tesla)[\w-]*-(dkms|smi|support)|nvidia-alternative)$"
)
_DEBIAN_VENDOR = re.compile(r"^(nvidia-driver-cuda|nvidia-kernel-open-dkms|nvidia-open(-\d+)?)$")
_CANONICAL_NAME = re.compile(r"^linux-(modules|objects|signatures)-nvidia-|^(lib)?nvidia-.*-server(-open)?$")
_CANONICAL_VERSION = re.compile(r"-\d+ubuntu[\d.]*\.2\d\.04")
_UBUNTU_VENDOR_VERSION = re.compile(r"-\d+ubuntu\d+$")


def origins(system: System, packages: Mapping[str, Mapping[str, str]], names: Collection[str]) -> dict[str, list[str]]:
    """Return which driver packages are the distribution's and which are NVIDIA's; names that both use are left out.

    Args:
        system: The host's system.
        packages: The host's packages with their versions.
        names: Those of the driver.
    """
    found: dict[str, list[str]] = {"distribution": [], "vendor": []}
    for name in sorted(names):
        version = packages[name]["version"]
        if system.kind == "debian":
            own, vendor = bool(_DEBIAN_OWN.match(name)), bool(_DEBIAN_VENDOR.match(name))
        elif system.kind == "ubuntu":
            own = bool(_CANONICAL_NAME.match(name) or _CANONICAL_VERSION.search(version))
            vendor = not own and bool(_UBUNTU_VENDOR_VERSION.search(version))
        else:
            own, vendor = False, False
        if own or vendor:
            found["distribution" if own else "vendor"].append(name)
    return found
