# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Name what is wrong on a described host, in the first layer that is broken, with the next action."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, cast

from ansible.module_utils.opensora.driver_settings import cuda_problem
from ansible.module_utils.opensora.host_problems_engine import engine_problems
from ansible.module_utils.opensora.host_problems_packages import package_problems
from ansible.module_utils.opensora.problems import LAYERS, Layer, Problem, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

# The next step for each action of the driver's decision.
DRIVER_NEXT_ACTION = {
    "install": "Install the driver: run playbooks/driver.yml with nvidia_driver_source other than preinstalled.",
    "upgrade": "Run playbooks/driver.yml, which installs the wanted version.",
    "replace_flavour": "Install the module flavour that these cards need; a reboot alone does not help.",
    "repair_packages": "Repair the packages or build the module for this kernel; a reboot does not help.",
    "reboot": "Reboot the host.",
}
_DRIVER_FAULT = {
    "install": "is not installed",
    "upgrade": "is not the wanted version",
    "replace_flavour": "has the wrong kernel module flavour",
    "repair_packages": "needs its packages repaired",
    "reboot": "needs a reboot",
}
_BLOCKED_NEXT_ACTION = {
    "pci": "Check that the card is seated and passed through to this host, or set nvidia_driver_missing_gpu: skip.",
    "firmware": (
        "At the host: run `mokutil --import` with the signing key, reboot, choose Enroll MOK on the console; "
        "or turn Secure Boot off."
    ),
    "configuration": "Set nvidia_driver_flavour to auto or to the flavour that these cards need.",
    "packages": "Run `nvidia-uninstall` on the host first, or use that driver: nvidia_driver_source: preinstalled.",
}
_DRIVER_CODES = {
    "install": "driver.absent",
    "upgrade": "driver.version_differs",
    "replace_flavour": "driver.wrong_flavour",
    "repair_packages": "driver.packages_broken",
    "reboot": "driver.loaded_differs",
}
_BLOCKED_CODES = {
    "pci": "gpu.absent",
    "firmware": "driver.module_not_accepted",
    "configuration": "driver.flavour_impossible",
    "packages": "driver.runfile",
}


def driver_problem(host: Mapping[str, Any]) -> Problem | None:
    """Return the problem behind the driver's next action, or null where the driver is as wanted."""
    driver = host["driver"]
    action, layer = driver["action"], driver["layer"]
    if action == "none":
        return None
    blocked = action == "blocked"
    code = _BLOCKED_CODES.get(layer, "driver.blocked") if blocked else _DRIVER_CODES[action]
    if blocked and layer == "pci" and host["pci_gpu_count"]:
        code = "gpu.mixed_generations"
    if action == "install" and driver.get("runfile"):
        return _runfile_without_module(host)
    if action == "reboot" and driver["loaded"] is None:
        code = "driver.nouveau_loaded" if host["nouveau_loaded"] else "driver.not_loaded"
    # Broken packages under a loaded driver bite at the next boot, not now.
    severity: Severity = "warning" if action == "repair_packages" and driver["loaded"] and host["gpus"] else "error"
    return Problem(
        layer=cast("Layer", layer),
        code=code,
        severity=severity,
        message=f"The NVIDIA driver {_DRIVER_FAULT[action]}: {driver['reason']}"
        if not blocked
        else driver["reason"][:1].upper() + driver["reason"][1:],
        next_action=_BLOCKED_NEXT_ACTION.get(layer, "See the reason.") if blocked else _next_action(host, action),
        evidence=_driver_evidence(driver),
    )


def _next_action(host: Mapping[str, Any], action: str) -> str:
    holders = (host.get("package_manager") or {}).get("lock_holders") or []
    if action == "repair_packages" and host["driver"]["broken_packages"] and holders:
        # Whoever works on packages now may be the one who configures these.
        return f"Wait until {holders[0]['command']} (process {holders[0]['pid']}) has finished, then look again."
    return DRIVER_NEXT_ACTION[action]


def _runfile_without_module(host: Mapping[str, Any]) -> Problem:
    """The runfile builds its module for one kernel; unlike packages it does nothing when another one boots."""
    return Problem(
        layer="kernel_module",
        code="driver.runfile",
        severity="error",
        message=f"The driver of NVIDIA's runfile has no module for the running kernel {host['os']['kernel']}",
        next_action="At the host run `nvidia-uninstall` and then playbooks/driver.yml with nvidia_driver_source: "
        "vendor; or run the same runfile again with --dkms.",
        evidence=(
            "/usr/bin/nvidia-uninstall exists and no package brings the driver",
            *_driver_evidence(host["driver"]),
        ),
    )


def _driver_evidence(driver: Mapping[str, Any]) -> tuple[str, ...]:
    states = [f"{name.replace('_', ' ')} {driver[name]}" for name in ("installed", "on_disk", "loaded") if driver[name]]
    lines = [", ".join(states)] if states else []
    if driver["broken_packages"]:
        lines.append(f"not configured: {', '.join(driver['broken_packages'])}")
    lines += [line for failure in driver["build_failures"] for line in (failure["log"], *failure["lines"])]
    return (*lines, *(driver["smi_error"] or "").splitlines())


def _smi_problem(host: Mapping[str, Any]) -> Problem | None:
    driver = host["driver"]
    if driver["action"] != "none" or host["gpus"]:
        return None
    mismatch = "version mismatch" in (driver["smi_error"] or "")
    return Problem(
        layer="userspace",
        code="userspace.version_mismatch" if mismatch else "userspace.no_answer",
        severity="error",
        message=f"Driver {driver['loaded']} is loaded, but nvidia-smi shows no GPU",
        next_action="Install the userspace packages of exactly the loaded version, or reboot into the installed one."
        if mismatch
        else "Install nvidia-smi of the loaded version and run it; where it names a card, look at the kernel log.",
        evidence=tuple((driver["smi_error"] or "nvidia-smi is not installed").splitlines()),
    )


def _missing_gpu_problem(host: Mapping[str, Any]) -> Problem | None:
    shown = {gpu["pci_bus_id"] for gpu in host["gpus"]}
    missing = [gpu["pci_bus_id"] for gpu in host["pci_gpus"] if gpu["pci_bus_id"] not in shown]
    if not shown or not missing:
        return None
    return Problem(
        layer="kernel_module",
        code="gpu.not_shown",
        severity="warning",
        message=f"The bus has {host['pci_gpu_count']} GPUs, the driver does not show {', '.join(missing)}",
        next_action="Look at the kernel log for NVRM Xid lines of this address; the card may need a power cycle.",
        evidence=tuple((host["driver"]["smi_error"] or "").splitlines()),
    )


def _sick_gpu_problem(host: Mapping[str, Any]) -> Problem | None:
    sick = [f"{gpu['pci_bus_id']} ({gpu['name']})" for gpu in host["gpus"] if not gpu["healthy"]]
    if not sick:
        return None
    return Problem(
        layer="kernel_module",
        code="gpu.unhealthy",
        severity="warning",
        message=f"The driver reports a fault of {', '.join(sick)}",
        next_action="Leave the card out of opensora_service_gpus and reset or replace it; a new driver won't help.",
    )


def small_gpu_problem(host: Mapping[str, Any], minimum_mib: int | None) -> Problem | None:
    """Return the problem of GPUs with less memory than the inventory wants, or null.

    Args:
        host: Description of the host.
        minimum_mib: Memory that a GPU must have, in MiB; null for no minimum.
    """
    known = [gpu for gpu in host["gpus"] if gpu["memory_total_mib"] is not None]
    small = [gpu for gpu in known if gpu["memory_total_mib"] < (minimum_mib or 0)]
    if not small:
        return None
    return Problem(
        layer="pci",
        code="gpu.too_little_memory",
        severity="warning" if len(small) < len(host["gpus"]) else "error",
        message=f"{len(small)} of {len(host['gpus'])} GPUs have less memory than the wanted {minimum_mib} MiB",
        next_action="Select the other GPUs with opensora_service_gpus, or lower the minimum.",
        evidence=tuple(f"{gpu['pci_bus_id']} {gpu['name']}: {gpu['memory_total_mib']} MiB" for gpu in small),
    )


def _uvm_problem(host: Mapping[str, Any]) -> Problem | None:
    if host["driver"]["action"] != "none" or not host["gpus"] or host["uvm_available"]:
        return None
    return Problem(
        layer="kernel_module",
        code="driver.uvm_absent",
        severity="error",
        message="The nvidia_uvm module is not loaded, so that every CUDA program fails with error 999",
        next_action="Run `nvidia-modprobe -u -c 0` now, and load nvidia_uvm at boot.",
        evidence=("/dev/nvidia-uvm does not exist",),
    )


def _fabric_problem(host: Mapping[str, Any]) -> Problem | None:
    fabric, loaded = host["fabric"], host["driver"]["loaded"]
    if not fabric["required"] or loaded is None:
        return None
    next_action = f"Install nvidia-fabricmanager {loaded} and enable it"
    if not fabric["installed"]:
        code, fault = "fabric.absent", "no fabric manager"
    elif fabric["version"] not in (None, loaded):
        code, fault = "fabric.version_differs", f"fabric manager {fabric['version']}, the driver is {loaded}"
    elif fabric["running"] is False:
        code, fault = "fabric.not_running", "a fabric manager that is not running"
        next_action = "Run `systemctl enable --now nvidia-fabricmanager`, and read its journal where it does not start"
    else:
        return None
    return Problem(
        layer="fabric",
        code=code,
        severity="error",
        message=f"The host has NVSwitches and {fault}",
        next_action=f"{next_action}; until then CUDA fails with error 802.",
    )


def _headers_problem(host: Mapping[str, Any]) -> Problem | None:
    """A module that is built on the host needs the headers of the kernel it is for."""
    if not any("dkms" in name for name in host["driver"]["module_packages"]):
        return None
    lacking = [kernel for kernel in host.get("kernels") or [] if not kernel["headers"] and kernel["module"] is None]
    if not lacking:
        return None
    names = ", ".join(kernel["release"] for kernel in lacking)
    now = any(kernel["running"] for kernel in lacking) and host["driver"]["loaded"] is None
    return Problem(
        layer="kernel_module",
        code="kernel.headers_missing",
        severity="error" if now else "warning",
        message=f"Kernel {names} has neither headers nor an NVIDIA module"
        + ("" if now else ": the driver works until the host boots it"),
        next_action=f"Install the headers of {names} and of its flavour's next kernels; DKMS then builds the module.",
        evidence=tuple(
            f"{kernel['release']}: "
            + (
                ", ".join(
                    f"{entry['module']}/{entry['version']} {entry['state']}" for entry in kernel.get("dkms") or []
                )
                or "no DKMS module"
            )
            for kernel in host["kernels"]
        ),
    )


def _fabric_state_problem(host: Mapping[str, Any]) -> Problem | None:
    fabric = host["fabric"]
    waiting = [entry for entry in fabric.get("states") or [] if entry["state"] != "Completed"]
    if not fabric["required"] or not fabric["running"] or not waiting:
        return None
    if fabric["version"] not in (None, host["driver"]["loaded"]):
        return None  # that is why they wait
    return Problem(
        layer="fabric",
        code="fabric.not_ready",
        severity="error",
        message=f"The fabric manager runs, and {len(waiting)} GPU(s) are not in the fabric: CUDA fails with error 802",
        next_action="Wait for the state Completed; if it does not come, read `journalctl -u nvidia-fabricmanager`.",
        evidence=tuple(
            f"{entry['pci_bus_id']}: {entry['state']}, status {entry['status'] or 'unknown'}" for entry in waiting
        ),
    )


def _subnet_manager_problem(host: Mapping[str, Any]) -> Problem | None:
    subnet = host["fabric"].get("subnet_manager") or {}
    if not subnet.get("required") or (subnet["installed"] and subnet["running"] is not False):
        return None
    return Problem(
        layer="fabric",
        code="fabric.subnet_manager_absent",
        severity="error",
        message="The host's NVLink 5 switches need the subnet manager nvlsm, which "
        + ("does not run" if subnet["installed"] else "is not installed"),
        next_action="Install nvlsm of the driver's repository and start it before the fabric manager.",
    )


def _runfile_problem(host: Mapping[str, Any]) -> Problem | None:
    driver = host["driver"]
    if not driver.get("runfile") or driver["action"] in ("blocked", "install"):
        return None
    return Problem(
        layer="packages",
        code="driver.runfile",
        severity="warning",
        message="The driver was installed by NVIDIA's runfile, which the package manager does not know",
        next_action="Keep nvidia_driver_source: preinstalled; to change over, run `nvidia-uninstall` first.",
    )


def _cuda_problem(host: Mapping[str, Any], wanted: Mapping[str, Any]) -> Problem | None:
    if host["driver"]["loaded"] is None:
        return None
    return cuda_problem(host, {"image_cuda_version": wanted.get("cuda_version") or ""}, None)


_DRIVER_CHECKS: tuple[Callable[[Mapping[str, Any]], Problem | None], ...] = (
    _headers_problem,
    driver_problem,
    _smi_problem,
    _missing_gpu_problem,
    _sick_gpu_problem,
    _uvm_problem,
    _fabric_problem,
    _fabric_state_problem,
    _subnet_manager_problem,
)


def _deepest_first(problems: list[Problem]) -> list[Problem]:
    # A decision that somebody else made may carry no layer: that one comes last.
    return sorted(problems, key=lambda problem: LAYERS.index(problem.layer) if problem.layer in LAYERS else len(LAYERS))


def driver_problems(host: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with GPUs, driver and fabric, from the deepest layer upwards.

    Args:
        host: Description of the host, as ``gpu_host_info`` returns it.
    """
    return _deepest_first([problem for problem in (check(host) for check in _DRIVER_CHECKS) if problem is not None])


def find_problems(host: Mapping[str, Any], wanted: Mapping[str, Any] | None = None) -> list[Problem]:
    """Return everything that is wrong on a host, from the deepest layer upwards.

    Args:
        host: Description of the host, as ``gpu_host_info`` returns it.
        wanted: What the inventory wants, see ``package_problems`` and ``engine_problems``; also
            ``minimum_memory_mib`` and ``cuda_version``.
    """
    wanted = wanted or {}
    single = (
        _runfile_problem(host),
        _cuda_problem(host, wanted),
        small_gpu_problem(host, wanted.get("minimum_memory_mib")),
    )
    return _deepest_first(
        [
            *driver_problems(host),
            *(problem for problem in single if problem is not None),
            *package_problems(host, wanted),
            *engine_problems(host, wanted),
        ]
    )
