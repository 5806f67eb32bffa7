# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Judge a reboot by what the host shows afterwards: did it happen, on which kernel, with which module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

# Seconds by which the clocks of two machines and the reading of a host may blur a comparison of times.
_TOLERANCE = 30
_REBUILD = "Rebuild it ('update-initramfs -u -k all', or 'dracut -f --regenerate-all'), reboot and run again."


def _error(layer: Any, code: str, message: str, next_action: str, evidence: tuple[str, ...] = ()) -> Problem:
    return Problem(layer, code, "error", message, next_action, evidence)


def never_came_back(name: str, timeout: int, evidence: str = "") -> Problem:
    """Return the problem of a host that cannot be reached after its reboot.

    Args:
        name: The host as the inventory names it.
        timeout: Seconds that were waited.
        evidence: What the last attempt to reach it said; empty for nothing.
    """
    return _error(
        "connection",
        "reboot.never_came_back",
        f"{name} was rebooted and cannot be reached; {timeout} seconds were waited",
        "Look at the host's console or its management controller. A host that only needs longer wants a larger "
        "nvidia_driver_reboot_timeout; run again as soon as it is back.",
        (evidence,) if evidence else (),
    )


def _did_not_happen(after: Mapping[str, Any], evidence: str) -> Problem:
    return _error(
        "kernel_module",
        "reboot.did_not_happen",
        f"A reboot was ordered and the host is still in the same boot, its boot id is {after['boot_id']}",
        "Look at 'systemctl list-jobs', 'systemd-inhibit --list' and 'journalctl -b' on the host for what holds the "
        "shutdown; reboot it yourself and run again.",
        (evidence,) if evidence else (),
    )


def _other_machine(after: Mapping[str, Any], seconds: float | None) -> Problem | None:
    uptime = after.get("uptime_seconds")
    if seconds is None or uptime is None or uptime <= seconds + _TOLERANCE:
        return None
    return _error(
        "connection",
        "reboot.older_than_the_order",
        f"The reboot was ordered {int(seconds)} seconds ago and the host that answers is up for {uptime} seconds",
        "Make sure that ansible_host leads to this machine only: another one answers at its address.",
    )


def expected_kernel(host: Mapping[str, Any]) -> str | None:
    """Return the kernel that the next boot was to bring, or null where it is not known.

    Args:
        host: Description of the host before the reboot.
    """
    return next((kernel["release"] for kernel in host.get("kernels") or [] if kernel.get("next_boot")), None)


def _other_kernel(before: Mapping[str, Any], after: Mapping[str, Any]) -> Problem | None:
    expected, running = expected_kernel(before), after["os"]["kernel"]
    if expected is None or expected == running:
        return None
    return _error(
        "kernel_module",
        "reboot.other_kernel",
        f"The host was to boot kernel {expected} and runs {running}",
        "Look at the boot loader's default entry (GRUB_DEFAULT, or 'grubby --default-kernel'), make it the kernel that "
        "has the module, and run again.",
    )


def _module_problem(after: Mapping[str, Any]) -> Problem | None:
    driver = after["driver"]
    on_disk, loaded = driver["on_disk"], driver["loaded"]
    if loaded is None:
        return _error(
            "kernel_module",
            "reboot.module_not_loaded",
            f"No NVIDIA module is loaded after the reboot; on disk is {on_disk or 'none'}",
            "Look at 'journalctl -k -b' for lines of NVRM and nvidia, and at 'modprobe -v nvidia'. Another reboot "
            "would not help.",
        )
    if on_disk is not None and on_disk != loaded:
        return _error(
            "kernel_module",
            "reboot.other_module",
            f"The module on disk is {on_disk}, the one loaded after the reboot is {loaded}",
            f"An older copy of the module is probably in the initial RAM disk. {_REBUILD}",
        )
    modules = driver.get("modules") or []
    flavour = next((module["flavour"] for module in modules if module["kernel"] == after["os"]["kernel"]), None)
    if flavour is not None and driver["flavour"] is not None and flavour != driver["flavour"]:
        return _error(
            "kernel_module",
            "reboot.other_flavour",
            f"The {flavour} module is on disk, the {driver['flavour']} one is loaded after the reboot",
            f"The other module is probably in the initial RAM disk. {_REBUILD}",
        )
    return None


def check_reboot(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    plan: Mapping[str, Any],
    seconds: float | None = None,
    evidence: str = "",
) -> list[Problem]:
    """Return what a reboot did not bring about, each as a problem of its own.

    The boot id decides whether there was a reboot: the uptime of a container is its machine's, and clocks are set.

    Args:
        before: Description of the host before the reboot was ordered.
        after: Description of it now.
        plan: What the role is doing; with ``action`` ``none`` and no driver wanted the module is not looked at.
        seconds: Time since the reboot was ordered, or null where that is not known.
        evidence: What the order of the reboot answered; empty for nothing.
    """
    if before["boot_id"] and before["boot_id"] == after["boot_id"]:
        return [_did_not_happen(after, evidence)]
    found = [_other_machine(after, seconds), _other_kernel(before, after)]
    if after["nouveau_loaded"]:
        found.append(
            _error(
                "kernel_module",
                "reboot.nouveau_remains",
                "nouveau is loaded again after the reboot",
                f"Something outside the blacklist loads it: the initial RAM disk, or a kernel command line. {_REBUILD}",
            )
        )
    elif plan.get("action") != "none":
        found.append(_module_problem(after))
    return [problem for problem in found if problem is not None]
