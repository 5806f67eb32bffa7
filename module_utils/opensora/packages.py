# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Which packages of driver, toolkit, engine and kernel a host has, read from the package manager's own records."""

from __future__ import annotations

import re

# Only what decisions are made about; a host has thousands of packages.
_RELEVANT = re.compile(
    r"^(nvidia|libnvidia|libnvcuvid|libnvoptix|libcuda1|lib(egl|gl1|gles\d?|glx)-nvidia|cuda-(drivers|keyring|compat)"
    r"|xserver-xorg-video-nvidia|dkms$|mokutil$|kmod-nvidia|firmware-(nvidia|misc-nonfree)|glx-alternative-nvidia|nvlsm|libnvsdm|snapd$|cloud-init$|unattended-upgrades$"
    r"|linux-(headers|image|modules-nvidia|objects-nvidia|signatures-nvidia)|kernel-(core|devel|headers)|docker|moby|containerd|runc$|podman"
    r"|buildah$|python3-docker$|python3-venv$|ca-certificates$|initramfs-tools$|dracut$)"
)
_DESIRED = {"install": "i", "hold": "h", "deinstall": "r", "purge": "p", "unknown": "u"}
_STATES = {
    "not-installed": "n",
    "config-files": "c",
    "half-installed": "H",
    "unpacked": "U",
    "half-configured": "F",
    "triggers-awaited": "W",
    "triggers-pending": "t",
    "installed": "i",
}
_ABSENT = "nc"  # never installed, or removed with only configuration files left

Packages = dict[str, dict[str, str]]


def parse_dpkg_status(text: str) -> Packages:
    """Return the relevant packages of dpkg's status file that are on the disk, also in part.

    Args:
        text: Text of the status file.

    Returns:
        Package name to ``version`` and ``status``, the two letters that ``dpkg -l`` shows: ``ii`` is installed, ``hi``
        installed and held, ``iF`` half configured, ``iU`` unpacked.
    """
    found: Packages = {}
    for paragraph in text.split("\n\n"):
        head = re.search(r"^Package: (\S+)$", paragraph, re.MULTILINE)
        if head is None or not _RELEVANT.match(head.group(1)):
            continue
        status = re.search(r"^Status: (\S+) (\S+) (\S+)$", paragraph, re.MULTILINE)
        version = re.search(r"^Version: (\S+)$", paragraph, re.MULTILINE)
        if status is None:
            continue
        desired, error, state = status.groups()
        letters = _DESIRED.get(desired, "u") + _STATES.get(state, "n")
        if letters[1] in _ABSENT:
            continue
        if error != "ok":
            letters += "R"
        # A library may be there for two architectures; the one that is not in order counts.
        if letters[1] == "i" and head.group(1) in found:
            continue
        found[head.group(1)] = {"version": version.group(1) if version else "", "status": letters}
    return found


def parse_rpm_list(text: str) -> Packages:
    """Return the relevant packages of an rpm query whose lines are name, tab, version; rpm knows no half states."""
    found: Packages = {}
    for line in text.splitlines():
        name, _, version = line.partition("\t")
        if version and _RELEVANT.match(name):
            found[name] = {"version": version, "status": "ii"}
    return found


def unconfigured_packages(text: str) -> list[str]:
    """Return the names of all packages of dpkg's status file that are unpacked, half installed or half configured.

    Args:
        text: Text of the status file.
    """
    state = r"^Package: (\S+)\nStatus: \S+ \S+ (?:half-installed|unpacked|half-configured)$"
    return sorted(set(re.findall(state, text, re.MULTILINE)))


RPM_QUERY = ("rpm", "-qa", "--qf", "%{NAME}\\t%{EVR}\\n")


def broken_packages(packages: Packages) -> list[str]:
    """Return the names of the packages that are unpacked, half installed or half configured."""
    return sorted(name for name, package in packages.items() if package["status"][1:2] in ("H", "U", "F"))


def half_installed_packages(text: str) -> list[str]:
    """Return the names of all packages of dpkg's status file whose files are there in part; dpkg can't finish them.

    Args:
        text: Text of the status file.
    """
    return re.findall(r"^Package: (\S+)\nStatus: install \S+ half-installed$", text, re.MULTILINE)
