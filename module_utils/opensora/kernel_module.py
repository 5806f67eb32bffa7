# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Which NVIDIA kernel module lies on the disk and which one is loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ansible.module_utils.opensora.host_probe import CommandResult, HostProbe

MODULES_FOLDER = "/lib/modules"
DKMS_FOLDER = "/var/lib/dkms"
_LOG_LINES = 5
# Debian renames the files and loads them as "nvidia" through modprobe's configuration.
MODULE_NAMES = ("nvidia", "nvidia-current-open", "nvidia-current")
_PROC_VERSION = re.compile(r"NVRM version:\s*(?P<words>.*?)\s+(?P<version>\d{3}\.\d+(?:\.\d+)?)\b")


@dataclass(frozen=True)
class KernelModule:
    """The NVIDIA module, on disk or loaded.

    Attributes:
        version: Its version.
        flavour: ``open`` or ``proprietary``, or null where nothing shows it.
        signed: Whether the file carries a signature; null for a loaded module.
        kernel: Release of the kernel it belongs to; null for a loaded module.
    """

    version: str
    flavour: str | None
    signed: bool | None = None
    kernel: str | None = None


def module_query(kernel: str) -> tuple[str, ...]:
    """Return the command that describes the NVIDIA module of a kernel, under each name that it can have."""
    return ("modinfo", "-k", kernel, *MODULE_NAMES)


def parse_module_info(text: str, kernel: str) -> KernelModule | None:
    """Return the first NVIDIA module that modinfo described.

    Args:
        text: Standard output of :func:`module_query`; names without a module only show on standard error.
        kernel: Release of the kernel that was asked about.
    """
    for block in re.split(r"(?m)^(?=filename:)", text):
        fields = dict(re.findall(r"(?m)^([a-z_]+):[ \t]*(\S.*?)[ \t]*$", block))
        if "version" not in fields:
            continue
        license_words = fields.get("license", "")
        # The open modules are dual licensed (MIT and GPL), the others say NVIDIA.
        flavour = "open" if "GPL" in license_words else "proprietary" if "NVIDIA" in license_words else None
        return KernelModule(fields["version"], flavour, "sig_id" in fields or "signer" in fields, kernel)
    return None


def parse_loaded_version(proc_version: str | None, module_version: str | None) -> KernelModule | None:
    """Return the loaded module, or null where none is loaded.

    Args:
        proc_version: Text of ``/proc/driver/nvidia/version``, which also shows the flavour.
        module_version: Text of ``/sys/module/nvidia/version``.
    """
    match = _PROC_VERSION.search(proc_version or "")
    if match:
        return KernelModule(
            match.group("version"), "open" if "Open Kernel Module" in match.group("words") else "proprietary"
        )
    if module_version and re.fullmatch(r"\d+(\.\d+)+", module_version):
        return KernelModule(module_version, None)
    return None


def loaded_modules(proc_modules: str | None, sysfs_names: list[str]) -> set[str]:
    """Return the names of the loaded modules.

    Args:
        proc_modules: Text of ``/proc/modules``; only its first column names a module, the fourth names users of it.
        sysfs_names: Names in ``/sys/module``, which decide where there are any.
    """
    if sysfs_names:
        return set(sysfs_names)
    return {line.split()[0] for line in (proc_modules or "").splitlines() if line.split()}


def read_loaded(probe: HostProbe) -> tuple[KernelModule | None, set[str]]:
    """Return the loaded NVIDIA module, and the names of all loaded modules."""
    loaded = parse_loaded_version(probe.text("/proc/driver/nvidia/version"), probe.text("/sys/module/nvidia/version"))
    return loaded, loaded_modules(probe.text("/proc/modules"), probe.names("/sys/module"))


def build_failures(probe: HostProbe) -> list[dict[str, object]]:
    """Return the builds that DKMS left unfinished: module, version, kernel, log file and its telling lines.

    DKMS removes the build folder of a build that went well, so what is left there is a failure.
    """
    found: list[dict[str, object]] = []
    for module in probe.names(DKMS_FOLDER):
        if not module.startswith("nvidia"):
            continue
        for version in probe.names(f"{DKMS_FOLDER}/{module}"):
            log = f"{DKMS_FOLDER}/{module}/{version}/build/make.log"
            text = probe.text(log)
            if text is not None:
                found.append({"module": module, "version": version, "log": log, **parse_build_log(text)})
    return found


def parse_build_log(text: str) -> dict[str, object]:
    """Return the kernel that a DKMS log is about, and the compiler's own error lines, else the last lines.

    Args:
        text: Text of make.log.
    """
    kernel = re.search(r"for kernel (\S+)", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\b(fatal )?error:|: No such file|^ERROR", line)]
    return {"kernel": kernel.group(1) if kernel else None, "lines": (errors or lines[-_LOG_LINES:])[:_LOG_LINES]}


def kernels_to_look_at(probe: HostProbe, running: str) -> list[str]:
    """Return the kernels whose modules count, the running one first, then the newest installed one.

    A host whose running kernel has no folder (it was removed, or the host is a container) boots another one next.
    """
    installed = sorted(probe.names(MODULES_FOLDER), key=_kernel_key)
    kernels = [running] if running in installed else []
    newest = [kernel for kernel in installed if probe.exists(f"{MODULES_FOLDER}/{kernel}/modules.dep")][
        -1:
    ] or installed[-1:]
    return kernels + [kernel for kernel in newest if kernel not in kernels]


def _kernel_key(release: str) -> tuple[tuple[int, ...], str]:
    return tuple(int(number) for number in re.findall(r"\d+", release)[:5]), release


def described(result: CommandResult, kernel: str) -> KernelModule | None:
    """Return the module that a command's answer describes, or null."""
    return parse_module_info(result.stdout, kernel) if result.ran else None
