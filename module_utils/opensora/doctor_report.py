# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""From what was read of a host to a table of layers: which is ok, which is broken, and which nobody can judge yet.

A layer is ok only where something shows that it works. Where nothing contradicts it and nothing shows it either,
such as a toolkit on a host whose driver does not load, it is not judged, and the text says why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

from ansible.module_utils.opensora.host_table import render_table
from ansible.module_utils.opensora.problems import LAYERS, describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

OK = "ok"
WARNING = "warning"
BROKEN = "broken"
NOT_JUDGED = "not_judged"

# The wish comes first, because a host can't be judged by a wrong one; it and the network are shown only where they
# have a problem.
_SHOWN_WITH_A_PROBLEM_ONLY = ("configuration", "network")

# Without which layers one can't be judged; the first broken one of them is named as the reason.
_RESTS_ON: dict[str, tuple[str, ...]] = {
    "firmware": ("pci",),
    "kernel_module": ("pci", "firmware", "packages"),
    "userspace": ("pci", "firmware", "kernel_module", "packages"),
    "fabric": ("firmware", "kernel_module", "userspace", "packages"),
    "toolkit": ("pci", "firmware", "kernel_module", "userspace", "packages"),
    "image": ("engine",),
    "compose": ("engine",),
    "application": ("engine", "compose"),
}

# Words that say enough: whatever lies below, there is nothing here to judge.
_NOTHING_THERE = ("not installed", "not deployed", "not looked at")

_GIBIBYTE = 1024**3
_NAMES_IN_A_CELL = 3
# What the service's own reading reports where there is no service, which is not a fault of a host.
_NOT_A_FAULT = ("service.absent",)
# Room that only the next build of the image needs; on a host that has its image nothing stands still for want of it.
_ROOM_FOR_THE_IMAGE = ("disk.low_bytes", "disk.low_inodes")

# What is masked wherever it stands: passwords in addresses, values under a telling name, and tokens of known forms.
_SECRETS = tuple(
    re.compile(pattern)
    for pattern in (
        r"()(?<=://)(?:[^/\s:@]+:[^/\s@]+|[^/\s@]{20,})(?=@)",
        r"(?i)(\b[a-z_-]*(?:password|passwd|token|secret|api_?key|access_?key|credentials?)\s*=\s*[\"']?)[^\s\"',;&]+",
        # After a colon only what looks like a token: a sentence may go on there.
        r"(?i)(\b[a-z_-]*(?:password|passwd|token|secret|api_?key|access_?key|credentials?)[\"']?:\s*[\"']?)(?=\S*\d)[^\s\"',;]{8,}",
        r"(?i)(\b(?:bearer|basic)\s+)(?=\S*[\d=])[\w.~+/-]{12,}=*",
        r"()\b(?:hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|glpat-[\w-]{20,})",
    )
)


@dataclass(frozen=True)
class LayerState:
    """One line of a host's table.

    Attributes:
        state: ``ok``, ``warning``, ``broken`` or ``not_judged``.
        found: What was found, or why nothing was looked at.
    """

    state: str
    found: str


@dataclass(frozen=True)
class ServiceReading:
    """What was read of the running service.

    Attributes:
        service: The container as ``opensora_service_info`` returns it; null where it was not asked or did not answer.
        problems: What is not as it should be.
        failure: Why the reading failed, or an empty text.
    """

    service: Mapping[str, Any] | None = None
    problems: tuple[Mapping[str, Any], ...] = ()
    failure: str = ""


@dataclass(frozen=True)
class HostReport:
    """What the doctor says of one host.

    Attributes:
        layers: State of each layer, from below.
        problems: Everything that is wrong, the deepest layer first and in it what is broken before what is a warning.
    """

    layers: Mapping[str, LayerState]
    problems: tuple[Mapping[str, Any], ...]

    @property
    def first_broken(self) -> str | None:
        """The first layer that is broken, or null."""
        return next((layer for layer, entry in self.layers.items() if entry.state == BROKEN), None)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data for JSON."""
        return {
            "layers": {layer: {"state": entry.state, "found": entry.found} for layer, entry in self.layers.items()},
            "first_broken": self.first_broken,
            "problems": [dict(problem) for problem in self.problems],
        }


def without_secrets(text: str) -> str:
    """Return a text with passwords and tokens masked.

    A host's words can hold them: the address of a package source, the log of a container.
    """
    for pattern in _SECRETS:
        text = pattern.sub(r"\1***", text)
    return text


def _clean(problem: Mapping[str, Any], severity: str = "") -> dict[str, Any]:
    """Return a problem with the keys of the one shape, in its order, and no secrets."""
    return {
        "layer": str(problem["layer"]),
        "code": str(problem["code"]),
        "severity": severity or str(problem["severity"]),
        "message": without_secrets(str(problem["message"])),
        "next_action": without_secrets(str(problem["next_action"])),
        "evidence": [without_secrets(str(line)) for line in problem.get("evidence") or []],
    }


# --- what was found in each layer: whether something shows that it works, and the words for it


def _counted(names: Iterable[str]) -> str:
    """Return equal names once with their number: ``2 x H100, A100``."""
    listed = list(names)
    return ", ".join(
        f"{listed.count(name)} x {name}" if listed.count(name) > 1 else name for name in dict.fromkeys(listed)
    )


def _shortened(names: Sequence[str]) -> str:
    """Return the first names of a list and how many there are more; the problem's evidence has them all."""
    more = len(names) - _NAMES_IN_A_CELL
    return ", ".join(names[:_NAMES_IN_A_CELL]) + (f" and {more} more" if more > 0 else "")


def _connection(host: Mapping[str, Any], root: str) -> str:
    system = host.get("os") or {}
    name = system.get("name") or system.get("id") or "unknown system"
    words = [str(name), f"kernel {system.get('kernel') or 'unknown'}"]
    python = (host.get("python") or {}).get("version")
    if root != "/":
        words.insert(0, f"recorded in {root}")
    elif python:
        words.append(f"Python {python}")
    return ", ".join(words)


def _pci(host: Mapping[str, Any]) -> tuple[bool, str]:
    gpus = host.get("pci_gpus") or []
    if not gpus:
        return False, "no NVIDIA GPU on the bus"
    kinds = _counted(f"{gpu.get('architecture') or 'unknown generation'} ({gpu.get('device_id')})" for gpu in gpus)
    places = ", ".join(str(gpu.get("pci_bus_id")) for gpu in gpus)
    return True, f"{kinds} at {places}" if len(gpus) == 1 else kinds


def _firmware(host: Mapping[str, Any]) -> tuple[bool, str]:
    secure_boot = host.get("secure_boot")
    if secure_boot is None:
        return False, "whether Secure Boot is on can't be read"
    if not secure_boot:
        return True, "Secure Boot off"
    enrolled = (host.get("signing_key") or {}).get("enrolled")
    loaded = (host.get("driver") or {}).get("loaded")
    key = "" if enrolled is None else f"the signing key is {'' if enrolled else 'not '}enrolled"
    words = ["Secure Boot on", *([key] if key else []), *([f"driver {loaded} accepted"] if loaded else [])]
    return bool(loaded or enrolled), ", ".join(words)


def _kernel_module(host: Mapping[str, Any]) -> tuple[bool, str]:
    driver = host.get("driver") or {}
    loaded, on_disk, installed = driver.get("loaded"), driver.get("on_disk"), driver.get("installed")
    places: dict[str, list[str]] = {}
    for place, version in (("loaded", loaded), ("on disk", on_disk), ("installed", installed)):
        if version:
            places.setdefault(str(version), []).append(place)
    flavour = f" {driver['flavour']}" if driver.get("flavour") else ""
    versions = [f"{version}{flavour}, {' = '.join(names)}" for version, names in places.items()]
    words = [f"driver {'; '.join(versions)}"] if versions else ["no driver"]
    if versions and not loaded:
        words.append("not loaded")
    if host.get("nouveau_loaded"):
        words.append("nouveau is loaded")
    return bool(loaded) and on_disk in (None, loaded), "; ".join(words)


def _userspace(host: Mapping[str, Any]) -> tuple[bool, str]:
    driver = host.get("driver") or {}
    gpus = host.get("gpus") or []
    if not gpus:
        lines = str(driver.get("smi_error") or "").strip().splitlines()
        return False, lines[0].split(". ")[0] if lines else "no nvidia-smi"
    words = [_counted(str(gpu.get("name")) for gpu in gpus)]
    sick = sum(gpu.get("healthy") is False for gpu in gpus)
    if sick:
        words.append(f"{sick} of them with a fault")
    if driver.get("cuda_max"):
        words.append(f"CUDA up to {driver['cuda_max']}")
    mode = (host.get("persistence") or {}).get("mode")
    if mode is not None:
        words.append(f"persistence {'on' if mode else 'off'}")
    return True, ", ".join(words)


def _fabric(host: Mapping[str, Any]) -> tuple[bool, str]:
    fabric = host.get("fabric") or {}
    if not fabric.get("required"):
        return True, "not needed: no NVSwitch"
    if not fabric.get("installed"):
        return False, "NVSwitches, no fabric manager"
    is_running = fabric.get("running")
    running = "state unknown" if is_running is None else "running" if is_running else "not running"
    states = [str(entry.get("state")) for entry in fabric.get("states") or []]
    words = [f"fabric manager {fabric.get('version') or 'of unknown version'}, {running}"]
    if states:
        words.append(f"GPUs: {_counted(states)}")
    loaded = (host.get("driver") or {}).get("loaded")
    works = is_running is True and loaded is not None and fabric.get("version") == loaded
    return works and all(state == "Completed" for state in states), ", ".join(words)


def _packages(host: Mapping[str, Any]) -> tuple[bool, str]:
    driver, manager = host.get("driver") or {}, host.get("package_manager") or {}
    known = manager.get("kind") or {"debian": "apt", "redhat": "dnf"}.get(str((host.get("os") or {}).get("family")))
    if not known:
        return False, "a system whose packages can't be read"
    modules = ", ".join(driver.get("module_packages") or [])
    if driver.get("installed"):
        words = [f"driver {driver['installed']}" + (f" ({modules})" if modules else "")]
    else:
        words = ["driver from NVIDIA's installer file" if driver.get("runfile") else "no driver packages"]
    for name, key in (("half configured", "broken_packages"), ("held", "held_packages")):
        if driver.get(key):
            words.append(f"{name}: {_shortened(driver[key])}")
    return True, ", ".join(words)


def _toolkit(host: Mapping[str, Any]) -> tuple[bool, str]:
    toolkit, loaded = host.get("toolkit") or {}, (host.get("driver") or {}).get("loaded")
    specifications = [spec for spec in toolkit.get("cdi_specs") or [] if spec.get("devices")]
    words = [str(toolkit["version"]) if toolkit.get("version") else "not installed"]
    words += [
        f"CDI {spec.get('path')}" + (f" of driver {spec['driver_version']}" if spec.get("driver_version") else "")
        for spec in specifications
    ]
    registered = "nvidia" in ((host.get("engine") or {}).get("runtimes") or [])
    if registered:
        words.append("runtime nvidia registered")
    of_this_driver = any(spec.get("driver_version") in (None, loaded) for spec in specifications)
    works = bool(toolkit.get("version") and loaded and host.get("gpus") and (of_this_driver or registered))
    return works, ", ".join(words)


def _engine(host: Mapping[str, Any]) -> tuple[bool, str]:
    engine = host.get("engine") or {}
    kind = str(engine.get("kind") or "none")
    if kind == "none":
        return False, "not installed"
    if not engine.get("running"):
        answer = engine.get("error") or "does not answer"
        return False, f"{kind} ({engine['package']}): {answer}" if engine.get("package") else f"{kind}: {answer}"
    words = [f"{kind} {engine.get('version')}"]
    if engine.get("min_api_version") and engine.get("api_version"):
        words.append(f"API {engine['min_api_version']} to {engine['api_version']}")
    words += [f"{plugin} {engine.get(plugin) or 'missing'}" for plugin in ("compose", "buildx")]
    if engine.get("cgroup_driver"):
        words.append(f"cgroup driver {engine['cgroup_driver']}")
    words.append(f"CDI {'on' if engine.get('cdi_enabled') else 'off'}")
    return kind == "docker", ", ".join(words)


def _disk(host: Mapping[str, Any]) -> tuple[bool, str]:
    words, known = [], True
    for disk in host.get("disk") or []:
        free, inodes = disk.get("free_bytes"), disk.get("free_inodes")
        known = known and free is not None
        room = "unknown" if free is None else f"{free / _GIBIBYTE:.1f} GiB"
        words.append(f"{disk.get('path')} {room}" + (f" and {inodes} inodes" if inodes is not None else ""))
    return known and bool(words), f"free: {', '.join(words)}" if words else "not measured"


_FINDINGS: dict[str, Callable[[Mapping[str, Any]], tuple[bool, str]]] = {
    "pci": _pci,
    "firmware": _firmware,
    "kernel_module": _kernel_module,
    "userspace": _userspace,
    "fabric": _fabric,
    "packages": _packages,
    "toolkit": _toolkit,
    "engine": _engine,
    "disk": _disk,
}


def is_service_asked(host: Mapping[str, Any], root: str) -> bool:
    """Return whether the doctor looks at the service of a host.

    A folder runs nothing, and without an engine or the Docker SDK that this project installs there is no service of it.

    Args:
        host: ``gpu_host``.
        root: ``/``, or the folder that the host was read from.
    """
    engine = host.get("engine") or {}
    return root == "/" and bool(engine.get("running")) and engine.get("sdk") is not None


def _no_service(host: Mapping[str, Any], reading: ServiceReading, root: str) -> str:
    """Return why there is nothing to say of the service, or an empty text where it was read and is there."""
    if root != "/":
        return "not looked at: a recorded host runs nothing"
    if reading.failure:
        return f"not looked at: {reading.failure}"
    if reading.service is not None:
        return "" if reading.service.get("state") == "present" else "not deployed"
    engine = host.get("engine") or {}
    if engine.get("kind") in (None, "none"):
        return "not deployed: no engine"
    return (
        "not deployed: no Docker SDK, which playbooks/engine.yml installs"
        if engine.get("running")
        else "not looked at: the engine does not answer"
    )


def _service_findings(host: Mapping[str, Any], reading: ServiceReading, root: str) -> dict[str, tuple[bool, str]]:
    absent = _no_service(host, reading, root)
    service = reading.service or {}
    if absent:
        return dict.fromkeys(("image", "compose", "application"), (False, absent))
    image = str(service.get("image_digest") or service.get("image") or service.get("image_id") or "unknown image")
    key = f", build key {str(service['build_key'])[:12]}" if service.get("build_key") else ""
    status, health = service.get("status"), service.get("health")
    gpus = len(service.get("gpus") or [])
    return {
        "image": (image != "unknown image", f"{image}{key}"),
        "compose": (
            True,
            f"{service.get('name') or 'container'} of user {service.get('user')}, {gpus} GPU(s) reserved",
        ),
        "application": (
            status == "running" and health in (None, "healthy"),
            f"{status}, {health or 'no health check'}, {service.get('restart_count') or 0} restart(s)",
        ),
    }


# --- the report of one host


def _ordered(problems: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Return problems once each, the deepest layer first, what is broken before what is a warning."""
    unique: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for problem in problems:
        unique.setdefault((problem["layer"], problem["code"], problem["message"]), problem)
    return tuple(
        sorted(unique.values(), key=lambda problem: (LAYERS.index(problem["layer"]), problem["severity"] != "error"))
    )


def unreadable_report(problems: Sequence[Mapping[str, Any]]) -> HostReport:
    """Return the report of a host that could not be read.

    Args:
        problems: Why; at least one of the layer ``connection``.
    """
    cleaned = _ordered(_clean(problem) for problem in problems)
    first = next(problem["message"] for problem in cleaned if problem["layer"] == "connection")
    layers = {
        layer: LayerState(NOT_JUDGED, "not looked at: the host could not be read")
        for layer in LAYERS
        if layer not in _SHOWN_WITH_A_PROBLEM_ONLY
    }
    layers["connection"] = LayerState(BROKEN, str(first))
    return HostReport(layers, cleaned)


def empty_root_problem(host: Mapping[str, Any], root: str) -> dict[str, Any] | None:
    """Return the problem of a folder that holds no host, or null.

    Args:
        host: ``gpu_host``.
        root: The folder it was read from.
    """
    if root == "/" or (host.get("os") or {}).get("id") or host.get("packages") or host.get("pci_gpus"):
        return None
    return {
        "layer": "connection",
        "code": "connection.folder_without_host",
        "severity": "error",
        "message": f"gpu_host_probe_root is {root!r}, which holds no host: there is no etc/os-release below it",
        "next_action": "Name the folder that holds the host's etc, usr, var, proc and sys, by its absolute path.",
        "evidence": [],
    }


def make_report(host: Mapping[str, Any], reading: ServiceReading, root: str = "/") -> HostReport:
    """Return the report of a host that was read.

    Args:
        host: ``gpu_host``.
        reading: What was read of its service.
        root: ``/``, or the folder that the host was read from.
    """
    empty = empty_root_problem(host, root)
    if empty is not None:
        return unreadable_report([empty])
    has_service = (reading.service or {}).get("state") == "present"
    # What the service's reading and plan say counts only where there is a service, or where the engine refused.
    of_service = [
        problem
        for problem in reading.problems
        if problem["code"] not in _NOT_A_FAULT and (has_service or problem["layer"] == "engine")
    ]
    problems = _ordered(
        _clean(problem, "warning" if has_service and problem["code"] in _ROOM_FOR_THE_IMAGE else "")
        for problem in [*(host.get("problems") or []), *of_service]
    )
    findings = {layer: finding(host) for layer, finding in _FINDINGS.items()}
    findings["connection"] = (True, _connection(host, root))
    findings.update(_service_findings(host, reading, root))
    broken = {problem["layer"] for problem in problems if problem["severity"] == "error"}
    warned = {problem["layer"] for problem in problems} - broken
    layers = {}
    for layer in LAYERS:
        if layer in _SHOWN_WITH_A_PROBLEM_ONLY and layer not in broken | warned:
            continue
        own = next((str(problem["message"]) for problem in problems if problem["layer"] == layer), "")
        is_proven, found = findings.get(layer, (False, own))
        layers[layer] = _state(layer, is_proven=is_proven, found=found, broken=broken, warned=warned)
    return HostReport(layers, problems)


def _state(layer: str, *, is_proven: bool, found: str, broken: set[str], warned: set[str]) -> LayerState:
    found = without_secrets(" ".join(found.split()))
    if layer in broken:
        return LayerState(BROKEN, found)
    if layer in warned:
        return LayerState(WARNING, found)
    if is_proven:
        return LayerState(OK, found)
    below = next((other for other in _RESTS_ON.get(layer, ()) if other in broken), None)
    if below is None or found.startswith(_NOTHING_THERE):
        return LayerState(NOT_JUDGED, found)
    return LayerState(NOT_JUDGED, f"{found} (can't be judged: {below} is broken)")


# --- as text


def verdict(report: HostReport) -> str:
    """Return the report in one line: the first broken layer, else the warnings, else what nobody could judge."""
    if report.first_broken:
        return f"first broken layer: {report.first_broken}"
    warned = [layer for layer, entry in report.layers.items() if entry.state == WARNING]
    if warned:
        return f"no broken layer, warnings: {', '.join(warned)}"
    open_layers = [layer for layer, entry in report.layers.items() if entry.state == NOT_JUDGED]
    return f"no broken layer, not judged: {', '.join(open_layers)}" if open_layers else "ok"


def next_action(report: HostReport) -> str:
    """Return what to do first on a host, or a dash where nothing is wrong."""
    first = min(report.problems, key=lambda problem: problem["severity"] != "error", default=None)
    return str(first["next_action"]) if first else "-"


def render_host(name: str, report: HostReport) -> str:
    """Return one host as text: its verdict, the table of its layers, and every problem with evidence and next action.

    Args:
        name: Name in the inventory.
        report: Its report.
    """
    table = render_table(
        [(layer, entry.state.replace("_", " "), entry.found) for layer, entry in report.layers.items()],
        ("layer", "state", "found"),
    )
    words = {"error": "broken", "warning": "warning"}
    problems = [f"{words[problem['severity']]} {describe(dict(problem))}" for problem in report.problems]
    return "\n\n".join([f"{name}: {verdict(report)}\n\n{table}", *problems])


def render_reports(reports: Mapping[str, HostReport]) -> str:
    """Return all hosts as text; with several hosts, a line for each comes first.

    Args:
        reports: Reports by the hosts' names.
    """
    details = [render_host(name, report) for name, report in reports.items()]
    if len(reports) == 1:
        return details[0]
    broken = sum(report.first_broken is not None for report in reports.values())
    summary = render_table(
        [(name, verdict(report), next_action(report)) for name, report in reports.items()],
        ("host", "verdict", "next action"),
    )
    return "\n\n\n".join([f"{len(reports)} hosts, {broken} of them broken\n\n{summary}", *details])


def failure_text(reports: Mapping[str, HostReport]) -> str:
    """Return which hosts are broken and where, or an empty text.

    Args:
        reports: Reports by the hosts' names.
    """
    broken = [f"{name} ({report.first_broken})" for name, report in reports.items() if report.first_broken]
    return f"broken: {', '.join(broken)}" if broken else ""
