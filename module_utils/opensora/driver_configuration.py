# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What an installed driver needs besides its packages: files, services, modules and the initial RAM disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora import driver_files
from ansible.module_utils.opensora.driver_packages import PIN_PATTERNS, System, excluded_builds

if TYPE_CHECKING:
    from collections.abc import Mapping

PERSISTENCE_UNIT = "nvidia-persistenced.service"
FABRIC_UNIT = "nvidia-fabricmanager.service"
SUBNET_UNIT = "nvlsm.service"
FABRIC_UNITS = (FABRIC_UNIT, SUBNET_UNIT)
# States of a unit that starts with the host; "static" ones are started by others, such as a udev rule.
_ENABLED = ("enabled", "enabled-runtime", "static", "alias", "indirect", "generated")


@dataclass
class Configuration:
    """What differs from what the driver needs; all empty in the steady state.

    Attributes:
        files: Files to write, each with ``path`` and ``text``.
        remove_files: Files to remove.
        initramfs: Whether the initial RAM disks have to be rebuilt.
        services: Services to enable and start, each with ``unit`` and ``why``.
        modules: Kernel modules to load now.
    """

    files: list[dict[str, str]] = field(default_factory=list)
    remove_files: list[str] = field(default_factory=list)
    initramfs: bool = False
    services: list[dict[str, str]] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether anything has to be done."""
        return bool(self.files or self.remove_files or self.initramfs or self.services or self.modules)


def pin_version(branch: str, version: str) -> str:
    """Return apt's pattern of the versions that are wanted: one version in any packaging, or any of a branch."""
    return f"{version}-*" if version else f"{branch}.*"


def _present_text(host: Mapping[str, Any], path: str) -> str | None:
    found = (host.get("driver_files") or {}).get(path)
    return None if found is None else str(found["text"])


def _pin_text(host: Mapping[str, Any], settings: Mapping[str, Any], system: System, branch: str) -> str | None:
    """Return what the pin has to be; null for none."""
    version = str(settings.get("version") or "")
    if settings["source"] == "vendor":
        builds, origin = excluded_builds(system)
        stanza = driver_files.exclusion_text(builds.split(), origin)
        return driver_files.pin_text(PIN_PATTERNS, pin_version(branch, version), stanza)
    if version:
        return driver_files.pin_text(PIN_PATTERNS, pin_version(branch, version))
    # One that makes the distribution's packages agree stays; the vendor's would keep them from being installed.
    present = _present_text(host, driver_files.PIN_PATH)
    return None if present is None or driver_files.excludes_builds(present) else present


def wanted_files(
    host: Mapping[str, Any], settings: Mapping[str, Any], system: System, branch: str
) -> dict[str, str | None]:
    """Return the texts of the role's files as they have to be, null for one that must not be there.

    Args:
        host: Description of the host.
        settings: The role's settings.
        system: The host's system.
        branch: Driver branch.
    """
    wanted: dict[str, str | None] = {
        driver_files.NOUVEAU_PATH: driver_files.nouveau_text(),
        driver_files.UVM_PATH: driver_files.uvm_text(),
        driver_files.UVM_RULES_PATH: driver_files.uvm_rules_text(),
    }
    if system.manager == "apt":
        guard = settings.get("guard_upgrades", True)
        wanted[driver_files.UPGRADE_GUARD_PATH] = driver_files.upgrade_guard_text() if guard else None
        wanted[driver_files.PIN_PATH] = _pin_text(host, settings, system, branch)
    return wanted


def _stale_initramfs(host: Mapping[str, Any]) -> bool:
    """Say whether the initial RAM disk of the next boot is older than the blacklist that it has to hold."""
    blacklist = (host.get("driver_files") or {}).get(driver_files.NOUVEAU_PATH)
    kernel = next((kernel for kernel in host.get("kernels") or [] if kernel["next_boot"]), None)
    if blacklist is None or kernel is None or kernel["initramfs_modified"] is None:
        return False
    return bool(kernel["initramfs_modified"] < blacklist["modified"])


def _to_start(host: Mapping[str, Any], unit: str) -> bool:
    found = (host.get("services") or {}).get(unit)
    if found is None or found["load"] != "loaded":
        return False
    return found["enabled"] not in _ENABLED or found["active"] != "active"


def _services(host: Mapping[str, Any], settings: Mapping[str, Any]) -> list[dict[str, str]]:
    # A daemon that opens a card which does not answer hangs with it.
    if host["driver"]["loaded"] is None or not host["gpus"] or not all(gpu["healthy"] for gpu in host["gpus"]):
        return []
    services = []
    if settings.get("persistence", True) and _to_start(host, PERSISTENCE_UNIT):
        services.append({"unit": PERSISTENCE_UNIT, "why": "keeps the driver initialised between programs"})
    fabric = host["fabric"]
    if fabric["required"] and settings.get("fabric_manager", "auto") == "auto":
        subnet = fabric.get("subnet_manager") or {}
        if subnet.get("required") and _to_start(host, SUBNET_UNIT):
            services.append({"unit": SUBNET_UNIT, "why": "routes the NVLink 5 fabric"})
        # It refuses to run beside a driver of another version.
        if fabric["version"] == host["driver"]["loaded"] and _to_start(host, FABRIC_UNIT):
            services.append({"unit": FABRIC_UNIT, "why": "the host has NVSwitches"})
    return services


def find_configuration(
    host: Mapping[str, Any], settings: Mapping[str, Any], system: System, branch: str
) -> Configuration:
    """Return what besides the packages differs from what the driver needs.

    Args:
        host: Description of the host.
        settings: The role's settings.
        system: The host's system.
        branch: Driver branch.
    """
    wanted = wanted_files(host, settings, system, branch)
    files = [
        {"path": path, "text": text}
        for path, text in wanted.items()
        if text is not None and _present_text(host, path) != text
    ]
    blacklist = any(file["path"] == driver_files.NOUVEAU_PATH for file in files)
    return Configuration(
        files=files,
        remove_files=[path for path, text in wanted.items() if text is None and _present_text(host, path) is not None],
        initramfs=blacklist or _stale_initramfs(host),
        services=_services(host, settings),
        modules=["nvidia-uvm"] if host["driver"]["loaded"] and not host["uvm_available"] else [],
    )
