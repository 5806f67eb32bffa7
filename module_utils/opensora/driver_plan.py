# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What the driver role will do on a host, and what stands in its way: one answer for preflight, check mode and run."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.apt_sources import AptSource, is_distribution_source, missing_components
from ansible.module_utils.opensora.driver_state import wanted_flavour
from ansible.module_utils.opensora.gpu_host_problems import driver_problem, find_problems
from ansible.module_utils.opensora.problems import Problem, describe, invalid_value
from ansible.module_utils.opensora.version_number import major_minor

if TYPE_CHECKING:
    from collections.abc import Mapping

# Distributions whose own packages the role installs: driver branch and the newest CUDA version of that branch
# (from NVIDIA's table of toolkit and driver versions).
DISTRIBUTION_DRIVERS = {("debian", 12): ("535", "12.2"), ("debian", 13): ("550", "12.4")}
SUPPORTED = "Debian 12 and Debian 13"
COMPONENTS = {12: ["contrib", "non-free", "non-free-firmware"], 13: ["contrib", "non-free", "non-free-firmware"]}
# The first driver branch of each CUDA minor version, from the same table; what a user has to ask for.
_BRANCH_OF_CUDA = (
    ((12, 2), "535"),
    ((12, 4), "550"),
    ((12, 6), "560"),
    ((12, 8), "570"),
    ((12, 9), "575"),
    ((13, 0), "580"),
)
_MODULE_PACKAGES = {"open": "nvidia-open-kernel-dkms", "proprietary": "nvidia-kernel-dkms"}
# Compute only: no display server, no OpenGL.
_USERSPACE_PACKAGES = ["nvidia-smi", "nvidia-persistenced", "nvidia-modprobe", "libcuda1", "libnvidia-nvvm4"]
# Kernel flavours of Debian that have a package of matching headers.
_KERNEL_FLAVOUR = re.compile(r"^\d+\.\d+\.\d+(?:[+-]\S*?)?-((?:cloud-|rt-)?(?:amd64|arm64))$")
_DRIVER_LAYERS = ("pci", "firmware", "kernel_module", "userspace", "fabric", "packages", "configuration")
_CHANGING = ("install", "repair_packages", "replace_flavour")


@dataclass
class DriverPlan:
    """What the role will do.

    Attributes:
        action: ``none``, ``install``, ``repair_packages``, ``replace_flavour``, ``reboot`` or ``blocked``.
        reason: Why.
        skip: Whether the host is left out of the rest of the run.
        problems: What stands in the way, and warnings.
        refusal: The errors as text; empty where there are none.
        flavour: Kernel module flavour to install.
        packages: Packages to install.
        unwanted_packages: Packages to remove first.
        components: Components that the distribution's sources lack.
        reboot: Whether a reboot is to be expected.
        summary: The plan in one line.
    """

    action: str = "none"
    reason: str = ""
    skip: bool = False
    problems: list[dict[str, Any]] = field(default_factory=list)
    refusal: str = ""
    flavour: str = ""
    packages: list[str] = field(default_factory=list)
    unwanted_packages: list[str] = field(default_factory=list)
    components: list[str] = field(default_factory=list)
    reboot: bool = False
    summary: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return asdict(self)


def header_packages(kernel: str, wanted: list[str]) -> list[str]:
    """Return the packages of kernel headers: those asked for, else of the running kernel and its flavour's next ones.

    Args:
        kernel: Release of the running kernel.
        wanted: Packages that the inventory names, for a kernel that is not the distribution's.

    Returns:
        Empty where the kernel is not the distribution's and none are named.
    """
    if wanted:
        return wanted
    match = _KERNEL_FLAVOUR.match(kernel)
    return [f"linux-headers-{match.group(1)}", f"linux-headers-{kernel}"] if match else []


def cuda_problem(host: Mapping[str, Any], settings: Mapping[str, Any], planned: str | None) -> Problem | None:
    """Return the problem of a driver that is too old for the image's CUDA version, or null.

    Args:
        host: Description of the host.
        settings: The role's settings; ``image_cuda_version`` is compared.
        planned: Newest CUDA version of the driver that will be installed; null to judge the one that is there.
    """
    needed = str(settings.get("image_cuda_version") or "")
    offered = planned or host["driver"]["cuda_max"]
    if not needed or offered is None:
        return None
    try:
        if major_minor(offered) >= major_minor(needed):
            return None
    except ValueError:
        return invalid_value("opensora_image_cuda_version", needed, "a version such as 12.2.2")
    branch = next((name for version, name in _BRANCH_OF_CUDA if version >= major_minor(needed)), None)
    driver = "The driver that would be installed" if planned else f"Driver {host['driver']['loaded']}"
    return Problem(
        layer="userspace",
        code="driver.too_old_for_image",
        severity="error",
        message=f"{driver} runs CUDA up to {offered}, the image needs CUDA {needed}",
        next_action=(f"Install driver branch {branch} or newer, or" if branch else "Install a newer driver, or")
        + " choose an older opensora_image_base together with opensora_image_cuda_version.",
    )


def _settings_problems(settings: Mapping[str, Any]) -> list[Problem]:
    problems = []
    choices = {
        "source": ("vendor", "distribution", "preinstalled"),
        "flavour": ("auto", "open", "proprietary"),
        "missing_gpu": ("fail", "skip"),
    }
    for name, allowed in choices.items():
        if settings.get(name) not in allowed:
            problems.append(invalid_value(f"nvidia_driver_{name}", settings.get(name), f"one of {', '.join(allowed)}"))
    version = str(settings.get("version") or "")
    if version and not re.fullmatch(r"\d{3}(\.\d+){1,2}", version):
        problems.append(invalid_value("nvidia_driver_version", version, "a full driver version such as 580.159.04"))
    branch = str(settings.get("branch") or "")
    if branch and not re.fullmatch(r"\d{3}", branch):
        problems.append(invalid_value("nvidia_driver_branch", branch, "a driver branch of three digits such as 580"))
    if settings.get("source") == "vendor":
        problems.append(
            invalid_value(
                "nvidia_driver_source", "vendor", "preinstalled or distribution: this version cannot use it yet"
            )
        )
    return problems


def _own_sources(host: Mapping[str, Any]) -> list[AptSource]:
    codename = host["os"]["codename"] or ""
    return [
        source
        for source in (AptSource(**entry) for entry in host["apt_sources"])
        if is_distribution_source(source, codename)
    ]


def _distribution_problems(host: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Problem]:
    """Return why the distribution's packages cannot be installed on this host."""
    system = host["os"]
    known = DISTRIBUTION_DRIVERS.get((system["id"], system["major"]))
    if known is None:
        return [
            Problem(
                layer="configuration",
                code="distribution.unsupported",
                severity="error",
                message=f"nvidia_driver_source is distribution and the host runs {system['name'] or 'no known system'}",
                next_action=f"Supported are {SUPPORTED}; elsewhere install the driver and set preinstalled.",
            )
        ]
    problems = []
    version = str(settings.get("version") or "")
    if version and not version.startswith(f"{known[0]}."):
        problems.append(
            invalid_value("nvidia_driver_version", version, f"of branch {known[0]}, the only one of {system['name']}")
        )
    if not _own_sources(host):
        problems.append(
            Problem(
                layer="packages",
                code="packages.no_source",
                severity="error",
                message=f"No enabled apt source serves {system['codename']} main of the distribution",
                next_action="Add the distribution's own source, or a mirror of it with the distribution's keyring.",
                evidence=tuple(sorted({source["path"] for source in host["apt_sources"]})),
            )
        )
    if not header_packages(system["kernel"], settings.get("kernel_headers") or []):
        problems.append(
            Problem(
                layer="kernel_module",
                code="kernel.no_headers_package",
                severity="error",
                message=f"The running kernel {system['kernel']} is not the distribution's, its headers are unknown",
                next_action="Name the package of its headers in nvidia_driver_kernel_headers, or boot Debian's kernel.",
            )
        )
    cuda = cuda_problem(host, settings, known[1])
    return problems + ([cuda] if cuda else [])


def _reboot_problem(host: Mapping[str, Any], settings: Mapping[str, Any]) -> Problem | None:
    """Return why a host that needs a reboot must not be rebooted, or null."""
    same_kernel = bool(host["boot_id"]) and host["boot_id"] == settings.get("control_boot_id")
    if settings.get("reboot") and not same_kernel:
        return None
    return Problem(
        layer="kernel_module",
        code="driver.reboot_needed",
        severity="error",
        message=f"The host needs a reboot: {host['driver']['reason']}; "
        + ("it runs on the control node's own kernel" if same_kernel else "nvidia_driver_reboot is false"),
        next_action="Reboot it yourself and run again."
        if same_kernel
        else "Set nvidia_driver_reboot: true, or reboot it yourself and run again.",
    )


def _missing_userspace(host: Mapping[str, Any], packages: list[str]) -> list[str]:
    """Return the packages that an installation of the distribution's driver lacks; none where it is not its driver."""
    ours = set(_MODULE_PACKAGES.values()) & set(host["driver"]["module_packages"])
    return [name for name in packages if name not in host["packages"]] if ours else []


def _plan_distribution(plan: DriverPlan, host: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Problem]:
    driver = host["driver"]
    flavour = wanted_flavour(host["pci_gpus"], settings["flavour"])
    packages = [_MODULE_PACKAGES[flavour], *_USERSPACE_PACKAGES]
    if plan.action == "none" and _missing_userspace(host, _USERSPACE_PACKAGES):
        plan.action, plan.reason = "install", f"missing: {', '.join(_missing_userspace(host, _USERSPACE_PACKAGES))}"
        packages = list(_USERSPACE_PACKAGES)
    if plan.action == "upgrade":
        return [
            invalid_value("nvidia_driver_version", settings["version"], f"{driver['installed']}, which is installed")
        ]
    if plan.action not in _CHANGING:
        return []
    problems = _distribution_problems(host, settings)
    if problems:
        return problems
    plan.flavour = flavour
    plan.packages = [*header_packages(host["os"]["kernel"], settings.get("kernel_headers") or []), *packages]
    other = _MODULE_PACKAGES["proprietary" if flavour == "open" else "open"]
    plan.unwanted_packages = [other] if other in host["packages"] else []
    wanted = COMPONENTS[host["os"]["major"]]
    lacking = {name for source in _own_sources(host) for name in missing_components(source, wanted)}
    plan.components = [name for name in wanted if name in lacking]
    plan.reboot = host["nouveau_loaded"] or driver["loaded"] is not None
    return []


def make_plan(host: Mapping[str, Any], settings: Mapping[str, Any]) -> DriverPlan:
    """Return what the role will do on a host and what stands in its way.

    Args:
        host: Description of the host, as ``gpu_host_info`` returns it.
        settings: The role's variables without their prefix, with ``image_cuda_version`` and ``control_boot_id``.
    """
    driver = host["driver"]
    plan = DriverPlan(action=driver["action"], reason=driver["reason"])
    problems = _settings_problems(settings)
    if problems:
        plan.action = "blocked"
    elif not host["pci_gpu_count"] and settings["missing_gpu"] == "skip":
        plan.skip, plan.action = True, "none"
        plan.reason = "the host has no NVIDIA GPU and nvidia_driver_missing_gpu is skip"
    else:
        problems = _host_problems(plan, host, settings)
    plan.problems = [problem.as_dict() for problem in problems]
    plan.refusal = "\n".join(describe(problem) for problem in plan.problems if problem["severity"] == "error")
    plan.summary = _summary(plan)
    return plan


def _host_problems(plan: DriverPlan, host: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Problem]:
    """Complete the plan and return its problems."""
    own = [problem for problem in find_problems(host) if problem.layer in _DRIVER_LAYERS]
    installing = settings["source"] == "distribution"
    if installing and plan.action != "blocked":
        problems = _plan_distribution(plan, host, settings)
        if plan.action in (*_CHANGING, "upgrade"):
            return problems
    if installing and plan.action == "reboot":
        refused = _reboot_problem(host, settings)
        plan.reboot = refused is None
        return [refused] if refused else []
    if not installing and plan.action == "repair_packages" and not any(problem.severity == "error" for problem in own):
        # The driver works; whoever installed it has to mend it before the next boot, which the warning says.
        plan.action = "none"
    if not installing and plan.action != "none":
        found = driver_problem(host)
        problems = [found] if found else []
    else:
        problems = own
    cuda = cuda_problem(host, settings, None)
    return problems + ([cuda] if cuda else [])


def _summary(plan: DriverPlan) -> str:
    parts = [f"driver: {plan.action.replace('_', ' ')} ({plan.reason})"]
    if plan.components:
        parts.append(f"add components {' '.join(plan.components)}")
    if plan.unwanted_packages:
        parts.append(f"remove {' '.join(plan.unwanted_packages)}")
    if plan.packages:
        parts.append(f"install {' '.join(plan.packages)}")
    unsure = "only if the module does not load without one" if plan.packages else "no"
    parts.append(f"reboot: {'yes' if plan.reboot else unsure}")
    return "; ".join(parts)


def failed_build_problem(host: Mapping[str, Any], flavour: str) -> Problem:
    """Return the problem of packages that did not install because their kernel module did not build.

    Args:
        host: Description of the host, read after the failure.
        flavour: Flavour that was being installed.
    """
    failures = host["driver"]["build_failures"]
    kernels = ", ".join(sorted({failure["kernel"] or "?" for failure in failures})) or host["os"]["kernel"]
    other = "proprietary" if flavour == "open" else "open"
    required = host["driver"]["required_flavour"]
    offers = [] if required == flavour else [f"set nvidia_driver_flavour: {other}, which these cards can use"]
    offers += ["boot an older kernel of the distribution", "install the vendor's driver and set preinstalled"]
    lines = [line for failure in failures for line in [failure["log"], *failure["lines"]]]
    return Problem(
        layer="kernel_module",
        code="driver.module_not_built",
        severity="error",
        message=f"The distribution's {flavour} kernel module does not build for kernel {kernels}",
        next_action=f"One of: {'; '.join(offers)}.",
        evidence=tuple(lines),
    )


def leftover_packages(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the driver packages to remove after a failed installation, so that the package manager is in order again.

    Args:
        before: Description of the host before the installation.
        after: Description of it now.
    """
    names = set(after["packages"]) - set(before["packages"])
    ours = {name for name in names if re.match(r"^(nvidia|libnvidia|libnvcuvid|libcuda1|firmware-nvidia)", name)}
    return sorted(ours | set(after["driver"]["broken_packages"]))
