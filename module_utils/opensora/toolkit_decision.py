# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What has to be done so that containers on a host can be given its GPUs: a pure decision over what was found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.apt_repository import version_matches
from ansible.module_utils.opensora.daemon_config import lacks
from ansible.module_utils.opensora.engine_decision import (
    held,
    installed_version,
    repository_entries,
    repository_problems,
    system_problem,
)
from ansible.module_utils.opensora.problems import Problem, invalid_value
from ansible.module_utils.opensora.value_syntax import PACKAGE_VERSION, address_problems, path_problems
from ansible.module_utils.opensora.version_number import version_key

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
CDI_KIND = "nvidia.com/gpu"
FLAT_SUITE = "/"

# From this version on the toolkit's packages bring a service that writes the specification again at every boot and
# driver change, into the folder for volatile specifications.
REFRESH_SERVICE_SINCE = "1.18.0"
VOLATILE_DIRECTORY = "/var/run/cdi"
PERSISTENT_DIRECTORY = "/etc/cdi"

# The engine's releases: the first that knows CDI at all, and the first in which it is on without being asked for.
ENGINE_WITH_CDI = "25.0"


@dataclass
class ToolkitPlan:
    """What has to be done, and what stands against it.

    Attributes:
        action: ``none``, ``install``, ``upgrade``, ``skip`` (a host without a GPU) or ``blocked``.
        reason: Why, in one sentence.
        packages: Packages to install, in the package manager's form ``name`` or ``name=pattern``.
        repository: True when the vendor's repository has to be set up.
        hold: Packages to hold at their version.
        cdi: ``none``, ``generate`` or ``wait`` (the driver does not answer yet, so nothing can be described).
        cdi_reason: Why the specification has to be generated, in one sentence.
        cdi_path: Where the specification belongs.
        config: True when the engine's configuration file lacks what containers need from it.
        restart: True when the running engine does not know the runtime, whatever its file says.
        problems: What stops the run before anything is changed, and warnings.
        findings: What is not yet as wanted; errors when they are still there after the work.
        urls: Addresses that the work needs, ``{variable, url}`` each.
    """

    action: str = "none"
    reason: str = "the toolkit is as wanted"
    packages: list[str] = field(default_factory=list)
    repository: bool = False
    hold: list[str] = field(default_factory=list)
    cdi: str = "none"
    cdi_reason: str = ""
    cdi_path: str = ""
    config: bool = False
    restart: bool = False
    problems: list[dict[str, Any]] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    urls: list[dict[str, Any]] = field(default_factory=list)

    @property
    def needed(self) -> bool:
        """Say whether the role has anything to do, or to say."""
        works = self.action not in ("none", "skip") or self.cdi == "generate" or self.config or self.restart
        return works or bool(self.problems or self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain data, with ``needed``."""
        return {**asdict(self), "needed": self.needed}


def wanted_devices(gpus: list[dict[str, Any]]) -> list[str]:
    """Return the device names that the specification must hold: by UUID, which no reboot changes.

    Args:
        gpus: ``gpu_host.gpus``. A GPU in MIG mode is given out by its MIG devices only.
    """
    names = []
    for gpu in gpus:
        mig = gpu.get("mig") or {}
        if mig.get("enabled"):
            names += [str(device["uuid"]) for device in mig.get("devices") or []]
        else:
            names.append(str(gpu["uuid"]))
    return names


def specification_fault(specification: Mapping[str, Any], wanted: list[str], driver: str | None) -> str:
    """Return why a CDI specification does not describe the host any more; empty when it does.

    Args:
        specification: One entry of ``gpu_host.toolkit.cdi_specs``.
        wanted: Device names that it must hold.
        driver: Version of the loaded driver, null when unknown.
    """
    described = specification.get("driver_version")
    if driver and described and described != driver:
        return f"{specification['path']} describes driver {described}, loaded is {driver}"
    listed = {str(name) for name in specification.get("devices", [])}
    missing = [name for name in wanted if name not in listed]
    if missing:
        return f"{specification['path']} does not list {', '.join(missing)}"
    gone = sorted(name for name in listed if name.startswith(("GPU-", "MIG-")) and name not in wanted)
    if gone:
        return f"{specification['path']} lists {', '.join(gone)}, which the host does not have"
    return ""


def _decide_cdi(plan: ToolkitPlan, host: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Problem]:
    toolkit = host["toolkit"]
    driver = host["driver"]
    installing = settings.get("version") if settings["source"] == "vendor" else ""
    version = toolkit.get("version") or installing or REFRESH_SERVICE_SINCE
    refreshed = version_key(str(version)) >= version_key(REFRESH_SERVICE_SINCE)
    directory = settings.get("cdi_directory") or (VOLATILE_DIRECTORY if refreshed else PERSISTENT_DIRECTORY)
    plan.cdi_path = f"{str(directory).rstrip('/')}/nvidia.yaml"
    wanted = wanted_devices(list(host["gpus"]))
    if not host["gpus"]:
        plan.cdi, plan.cdi_reason = "wait", "the driver shows no GPU yet"
        return []
    found = [spec for spec in toolkit.get("cdi_specs", []) if spec.get("kind") == CDI_KIND]
    ours = [spec for spec in found if _same_path(spec["path"], plan.cdi_path)]
    others = [spec for spec in found if spec not in ours]
    loaded = driver.get("loaded")
    faults = {spec["path"]: specification_fault(spec, wanted, loaded) for spec in found}
    good_elsewhere = [spec for spec in others if not faults[spec["path"]]]
    if ours:
        plan.cdi_reason = faults[ours[0]["path"]]
    elif not good_elsewhere:
        plan.cdi_reason = f"{plan.cdi_path} does not exist"
    plan.cdi = "generate" if plan.cdi_reason else "none"
    # One device name in two files: within one folder the engine resolves neither, in two folders the volatile one
    # wins and the other is what a person edits in vain.
    problems = [
        Problem(
            layer="toolkit",
            code="toolkit.second_cdi_specification",
            severity="warning",
            message=f"{spec['path']} is a second CDI specification for {CDI_KIND} beside {plan.cdi_path}"
            + (f"; {faults[spec['path']]}" if faults[spec["path"]] else ""),
            next_action=f"Remove {spec['path']}; the role keeps {plan.cdi_path} up to date.",
        )
        for spec in others
        if faults[spec["path"]] or ours
    ]
    if plan.cdi == "generate":
        plan.findings.append(
            Problem(
                layer="toolkit",
                code="toolkit.cdi_specification",
                severity="error",
                message=f"The CDI specification does not describe this host: {plan.cdi_reason}",
                next_action=f"Run 'nvidia-ctk cdi generate --output={plan.cdi_path}' on the host and read its output.",
            ).as_dict()
        )
    return problems


def _same_path(first: str, second: str) -> bool:
    # /var/run is a link to /run on every system with systemd.
    def plain(path: str) -> str:
        return str(PurePosixPath(path)).replace("/var/run/", "/run/", 1)

    return plain(first) == plain(second)


def _decide_packages(plan: ToolkitPlan, host: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Problem]:
    problem = system_problem(host["os"], "nvidia_container_toolkit_source", "vendor")
    if problem:
        return [problem]
    packages = host.get("packages", {})
    version = str(settings.get("version") or "")
    missing = [name for name in PACKAGES if not installed_version(packages, name)]
    differing = [
        name
        for name in PACKAGES
        if version and name not in missing and not version_matches(str(installed_version(packages, name)), version)
    ]
    if missing or differing:
        # All four in one transaction: each asks for the exact version of the next.
        plan.packages = [f"{name}={version}*" if version else name for name in PACKAGES]
    # A package that is installed at another version loses its hold by that.
    plan.hold = [name for name in PACKAGES if version and (plan.packages or not held(packages, name))]
    if missing:
        plan.action, plan.reason = "install", f"not installed: {', '.join(missing)}"
    elif differing:
        plan.action, plan.reason = "upgrade", f"not at version {version}: {', '.join(differing)}"
    elif plan.hold:
        plan.action, plan.reason = "upgrade", f"not held at version {version}: {', '.join(plan.hold)}"
    if plan.packages:
        plan.findings.append(
            Problem(
                layer="packages",
                code="toolkit.package_not_as_wanted",
                severity="error",
                message=f"The NVIDIA container toolkit is not as wanted: {plan.reason}",
                next_action="See what 'apt-cache policy nvidia-container-toolkit' says on the host.",
            ).as_dict()
        )
    return _decide_repository(plan, host, settings)


def _decide_repository(plan: ToolkitPlan, host: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Problem]:
    plan.repository = plan.action != "none"
    if not plan.repository:
        return []
    url = str(settings["repository_url"])
    architecture = str(host["os"]["deb_arch"])
    sources = list(host.get("apt_sources", []))
    plan.urls.append(
        {
            "variable": "nvidia_container_toolkit_repository_url",
            "url": f"{url.replace('$(ARCH)', architecture).rstrip('/')}/InRelease",
        }
    )
    entries = repository_entries(sources, url, FLAT_SUITE, architecture)
    if not entries:
        plan.urls.append(
            {
                "variable": "nvidia_container_toolkit_repository_key_url",
                "url": str(settings["repository_key_url"]),
            }
        )
    return repository_problems(
        entries, url, str(settings["repository_file"]), repair=bool(settings.get("repair_sources"))
    )


def _decide_engine(plan: ToolkitPlan, engine: Mapping[str, Any]) -> None:
    if engine.get("kind") != "docker":
        return
    lacks_runtime = "nvidia" not in engine.get("runtimes", [])
    knows_cdi = bool(engine.get("version")) and version_key(str(engine["version"])) >= version_key(ENGINE_WITH_CDI)
    lacks_cdi = knows_cdi and engine.get("cdi_enabled") is False
    plan.restart = bool(engine.get("running")) and (lacks_runtime or lacks_cdi)
    if lacks_runtime or lacks_cdi:
        what = "the runtime nvidia" if lacks_runtime else "CDI devices"
        plan.findings.append(
            Problem(
                layer="engine",
                code="engine.runtime_not_registered" if lacks_runtime else "engine.cdi_disabled",
                severity="error",
                message=f"The running Docker Engine does not know {what}; the GPU driver of the host is not the cause",
                next_action="Restart the engine with 'systemctl restart docker' and look at 'docker info'.",
                evidence=(f"runtimes: {', '.join(engine.get('runtimes', [])) or 'none'}",),
            ).as_dict()
        )


def _setting_problems(settings: Mapping[str, Any]) -> list[Problem]:
    problems = []
    if settings["source"] == "vendor":
        version = str(settings.get("version") or "")
        if version and not PACKAGE_VERSION.fullmatch(version):
            allowed = "a package version or its beginning, or empty"
            problems.append(invalid_value("nvidia_container_toolkit_version", version, allowed))
        for name in ("repository_url", "repository_key_url"):
            fields = {"$(ARCH)": "amd64"} if name == "repository_url" else {}
            problems += address_problems(f"nvidia_container_toolkit_{name}", settings[name], fields=fields)
    directory = settings.get("cdi_directory")
    if directory:
        problems += path_problems("nvidia_container_toolkit_cdi_directory", directory, plain=True, allowed=", or empty")
    return problems


def decide_toolkit(host: Mapping[str, Any], settings: Mapping[str, Any]) -> ToolkitPlan:
    """Decide what has to be done so that containers can be given GPUs.

    Args:
        host: The fact ``gpu_host``.
        settings: The role's variables without their prefix (source, version, repository_url, repository_key_url,
            cdi_directory), repository_file, the sources file of the role, and repair_sources, whether entries of the
            same repository in other files are disabled; engine_config, the keys of daemon.json that containers need.
    """
    plan = ToolkitPlan()
    if not host.get("pci_gpu_count") and not host["gpus"]:
        plan.action, plan.reason = "skip", "the host has no NVIDIA GPU"
        return plan
    wrong = _setting_problems(settings)
    if wrong:
        plan.action, plan.reason = "blocked", wrong[0].message
        plan.problems = [problem.as_dict() for problem in wrong]
        return plan
    problems = []
    if settings["source"] == "vendor":
        problems += _decide_packages(plan, host, settings)
    elif not host["toolkit"].get("version"):
        problems.append(
            Problem(
                layer="toolkit",
                code="toolkit.missing",
                severity="error",
                message="nvidia_container_toolkit_source is 'preinstalled', but no NVIDIA container toolkit was found",
                next_action="Install one, or let the role do it with nvidia_container_toolkit_source: vendor.",
            )
        )
    problems += _decide_cdi(plan, host, settings)
    _decide_engine(plan, host["engine"])
    plan.config = lacks(host["engine"].get("daemon_config") or {}, dict(settings["engine_config"]))
    plan.problems = [problem.as_dict() for problem in problems]
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        plan.action = "blocked"
        plan.reason = errors[0].message
    return plan
