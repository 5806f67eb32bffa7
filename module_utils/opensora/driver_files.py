# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The files that the driver role keeps on a host: where they are and what stands in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NOUVEAU_PATH = "/etc/modprobe.d/opensora-nouveau.conf"
UVM_PATH = "/etc/modules-load.d/opensora-nvidia-uvm.conf"
UVM_RULES_PATH = "/etc/udev/rules.d/71-opensora-nvidia-uvm.rules"
UPGRADE_GUARD_PATH = "/etc/apt/apt.conf.d/52opensora-driver"
PIN_PATH = "/etc/apt/preferences.d/opensora-nvidia-driver.pref"
RECORD_PATH = "/var/lib/opensora-site/driver-record.json"
# What the reading of a host returns with text and time of change.
PATHS = (NOUVEAU_PATH, UVM_PATH, UVM_RULES_PATH, UPGRADE_GUARD_PATH, PIN_PATH, RECORD_PATH)

_HEAD = "Managed by opensora-site"
# Above 1000 apt also goes down to the version, see apt_preferences(5); below 0 it never takes one.
_PIN_PRIORITY = 1001
_NEVER = -1
# Regular expressions of unattended-upgrades, matched from the start of a package's name. The container toolkit is no
# part of the driver and may be upgraded.
GUARDED_PACKAGES = (
    "nvidia-(?!container)",
    "libnvidia-(?!container)",
    "libcuda",
    "libnvcuvid",
    "firmware-nvidia",
    "linux-(image|headers|modules|objects|signatures)-",
    "linux-(generic|virtual|aws|azure|gcp|oracle|kvm|lowlatency|cloud)",
    "dkms$",
)


def nouveau_text() -> str:
    """Return the modprobe configuration that keeps nouveau away from the cards."""
    why = "the NVIDIA driver and nouveau cannot share a card"
    return f"# {_HEAD}: {why}\nblacklist nouveau\noptions nouveau modeset=0\n"


def uvm_text() -> str:
    """Return the list of modules to load at boot; no program loads this one for a container."""
    return f"# {_HEAD}: CUDA in containers needs unified memory, and nothing there can load a module\nnvidia-uvm\n"


def uvm_rules_text() -> str:
    """Return the udev rule that makes the device nodes of unified memory, which the module does not make itself."""
    return (
        f"# {_HEAD}: the device nodes of unified memory\n"
        'ACTION=="add", SUBSYSTEM=="module", KERNEL=="nvidia_uvm", RUN+="/usr/bin/nvidia-modprobe -c 0 -u"\n'
    )


def upgrade_guard_text() -> str:
    """Return the configuration that leaves driver and kernel out of unattended upgrades."""
    rows = "".join(f'    "{name}";\n' for name in GUARDED_PACKAGES)
    return (
        f"// {_HEAD}: a driver or kernel that is upgraded at night breaks running GPU programs\n"
        f"Unattended-Upgrade::Package-Blacklist {{\n{rows}}};\n"
    )


def exclusion_text(packages: Sequence[str], origin: str) -> str:
    """Return the preferences that never take a distribution's builds of some packages.

    Args:
        packages: Names and patterns of apt.
        origin: Name of the distribution as its repository gives it, such as ``Debian``.
    """
    return f"Package: {' '.join(packages)}\nPin: release o={origin}\nPin-Priority: {_NEVER}\n"


def excludes_builds(text: str) -> bool:
    """Say whether preferences exclude a distribution's builds."""
    return "\nPin: release o=" in text


def pin_text(packages: Sequence[str], version: str, exclusion: str = "") -> str:
    """Return the preferences that keep the driver at one branch or version.

    A package that has no such version is not touched by them, so that broad patterns are safe.

    Args:
        packages: Names and patterns of apt.
        version: Pattern of versions, such as ``580.*`` or ``580.159.04-*``.
        exclusion: What ``exclusion_text`` returned; empty for none.
    """
    stanza = f"Package: {' '.join(packages)}\nPin: version {version}\nPin-Priority: {_PIN_PRIORITY}\n"
    stanzas = [exclusion, stanza] if exclusion else [stanza]
    return f"# {_HEAD}: the driver stays at what the inventory wants\n" + "\n".join(stanzas)
