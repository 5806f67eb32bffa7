# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What container engine a host runs, from what the engine and its command-line plugins say about themselves."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.host_probe import NOT_RUN, CommandResult

if TYPE_CHECKING:
    from ansible.module_utils.opensora.host_probe import HostProbe
    from ansible.module_utils.opensora.packages import Packages

VERSION_QUERY = ("docker", "version", "--format", "{{json .}}")
INFO_QUERY = ("docker", "info", "--format", "{{json .}}")
COMPOSE_QUERY = ("docker", "compose", "version", "--short")
BUILDX_QUERY = ("docker", "buildx", "version")
DEFAULT_DATA_ROOT = "/var/lib/docker"
CONTAINERD_ROOT = "/var/lib/containerd"
_SNAP_COMMANDS = ("/snap/bin/docker", "/var/lib/snapd/snap/bin/docker")


@dataclass(frozen=True)
class EngineAnswers:
    """What was asked of the engine.

    Attributes:
        version: Answer of :data:`VERSION_QUERY`.
        info: Answer of :data:`INFO_QUERY`.
        compose: Answer of :data:`COMPOSE_QUERY`.
        buildx: Answer of :data:`BUILDX_QUERY`.
    """

    version: CommandResult = NOT_RUN
    info: CommandResult = NOT_RUN
    compose: CommandResult = NOT_RUN
    buildx: CommandResult = NOT_RUN


def _json_object(text: str) -> dict[str, Any]:
    """Return the first line that is a JSON object; warnings may stand around it."""
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                data = json.loads(line)
            except ValueError:
                continue
            if isinstance(data, dict):
                return data
    return {}


def plugin_version(result: CommandResult) -> str | None:
    """Return the version that a command-line plugin printed, or null where the plugin is missing.

    Exit status and output both count: a docker command without the plugin may exit 0 and print its own version or
    its help.
    """
    if result.rc != 0:
        return None
    first = result.stdout.strip().splitlines()[:1]
    match = re.match(r"^(?:\S*buildx\s+)?v?(\d+\.\d+\S*)(\s|$)", first[0]) if first else None
    return match.group(1) if match else None


def find_kind(probe: HostProbe, answers: EngineAnswers, packages: Packages) -> str:
    """Return which engine answers on the host: docker, podman, snap, rootless or none."""
    command = next((path for path in ("/usr/bin/docker", "/usr/local/bin/docker") if probe.exists(path)), None)
    real = probe.resolve(command) if command else ""
    info = _json_object(answers.info.stdout)
    from_snap = str(info.get("DockerRootDir") or "").startswith("/var/snap/")
    if from_snap or real == "/usr/bin/snap" or (command is None and any(map(probe.exists, _SNAP_COMMANDS))):
        return "snap"
    emulated = "podman" in real or "podman-docker" in packages or "podman" in answers.version.stderr.lower()
    if emulated or (command is None and not answers.version.ran and probe.exists("/usr/bin/podman")):
        return "podman"
    if any(str(option).startswith("name=rootless") for option in info.get("SecurityOptions") or []):
        return "rootless"
    return "docker" if command or answers.version.ran else "none"


def configured_data_root(daemon_json: str | None) -> str | None:
    """Return the data root that daemon.json asks for, or null where it asks for none or cannot be read."""
    try:
        data = json.loads(daemon_json or "{}")
    except ValueError:
        return None
    value = data.get("data-root") if isinstance(data, dict) else None
    return value if isinstance(value, str) and value.startswith("/") else None


def describe_sdk(probe: HostProbe, directory: str) -> dict[str, Any] | None:
    """Return the virtual environment of the Docker SDK and its packages, or null where it has no interpreter.

    Args:
        probe: The host.
        directory: Folder of the virtual environment.
    """
    # The interpreter is a link into the system; on a recorded host it may point to nothing.
    if "python" not in probe.names(f"{directory}/bin"):
        return None
    packages = {}
    for python in probe.names(f"{directory}/lib"):
        for name in probe.names(f"{directory}/lib/{python}/site-packages"):
            match = re.match(r"^(.+?)-(\d[^-]*)\.dist-info$", name)
            if match:
                packages[re.sub(r"[-_.]+", "-", match.group(1)).lower()] = match.group(2)
    return {"path": directory, "packages": packages}


def describe_engine(kind: str, answers: EngineAnswers, packages: Packages) -> dict[str, Any]:
    """Return the ``engine`` part of the host's description, without its ``sdk``.

    Args:
        kind: Result of :func:`find_kind`.
        answers: What the engine answered; whatever could not be asked is null or empty.
        packages: The host's packages.
    """
    server = _json_object(answers.version.stdout).get("Server") or {}
    info = _json_object(answers.info.stdout)
    docker = kind not in ("podman", "none")
    driver_status = {str(pair[0]): str(pair[1]) for pair in info.get("DriverStatus") or [] if len(pair) > 1}
    return {
        "kind": kind,
        "running": bool(docker and server.get("Version")),
        "package": next((name for name in ("docker-ce", "docker.io", "moby-engine") if name in packages), None),
        "version": server.get("Version") if docker else None,
        "api_version": server.get("ApiVersion") if docker else None,
        "min_api_version": server.get("MinAPIVersion") if docker else None,
        "compose": plugin_version(answers.compose) if docker else None,
        "buildx": plugin_version(answers.buildx) if docker else None,
        "cgroup_driver": info.get("CgroupDriver") or None,
        "cgroup_version": str(info["CgroupVersion"]) if info.get("CgroupVersion") else None,
        "runtimes": sorted(info.get("Runtimes") or {}),
        "default_runtime": info.get("DefaultRuntime") or None,
        "data_root": info.get("DockerRootDir") or None,
        # The engine lists the folders it reads specifications from only while the feature is on.
        "cdi_enabled": bool(info.get("CDISpecDirs")),
        "security_options": [str(option) for option in info.get("SecurityOptions") or []],
        "storage_driver": info.get("Driver") or None,
        "containerd_image_store": driver_status.get("driver-type", "").startswith("io.containerd."),
        "containers_running": info.get("ContainersRunning") if server else None,
        "error": _engine_error(answers) if docker and not server.get("Version") else None,
    }


def _engine_error(answers: EngineAnswers) -> str | None:
    if answers.version.timed_out or answers.info.timed_out:
        return "docker did not answer in time"
    reported = _json_object(answers.info.stdout).get("ServerErrors") or []
    lines = [str(line) for line in reported] or [line for line in answers.version.stderr.splitlines() if line.strip()]
    return lines[0].strip() if lines else None
