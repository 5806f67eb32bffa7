# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Name what keeps containers of a described host from their GPUs above the driver: toolkit, engine, disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.problems import Problem
from ansible.module_utils.opensora.version_number import version_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CDI_KIND = "nvidia.com/gpu"
_CONTAINERD_ROOT = "/var/lib/containerd"
_GIBIBYTE = 1024**3
# Below these a host is in trouble whatever it is for; how much an image needs is the inventory's to say.
_SCARCE_BYTES = 10 * _GIBIBYTE
_SCARCE_INODES = 50_000
_FOREIGN = {
    "snap": (
        "Docker comes from a snap, which ignores /etc/docker and can't see the container toolkit",
        "Move what the snap holds (images, volumes), then run `snap remove docker` and run again.",
    ),
    "rootless": (
        "Docker Engine runs rootless, where device rules cannot give GPUs to containers",
        "Run the engine as root; or, for your own use, set no-cgroups in the toolkit's configuration.",
    ),
    "podman": (
        "The command docker is Podman, which has no engine for Compose projects and builds",
        "Remove the package podman-docker (Podman itself may stay) and install Docker Engine.",
    ),
}


def is_driver_working(host: Mapping[str, Any]) -> bool:
    """Return whether the driver answers, so that a fault above it is not its symptom."""
    return host["driver"]["loaded"] is not None and bool(host["gpus"])


def _gives_by_specification(host: Mapping[str, Any]) -> bool:
    """Return whether the engine can give GPUs to containers by a CDI specification, without runtime and hook."""
    specifications = [spec for spec in host["toolkit"]["cdi_specs"] if spec["kind"] == _CDI_KIND and spec["devices"]]
    return bool(host["engine"]["cdi_enabled"] and specifications)


def _working_engine(host: Mapping[str, Any]) -> Mapping[str, Any] | None:
    engine: Mapping[str, Any] = host["engine"]
    return engine if engine["kind"] == "docker" and engine["running"] else None


def _toolkit_absent(host: Mapping[str, Any]) -> Problem | None:
    engine = _working_engine(host)
    if not is_driver_working(host) or engine is None or host["toolkit"]["version"]:
        return None
    if "nvidia" in engine["runtimes"] or _gives_by_specification(host):
        return None  # installed past the package manager
    return Problem(
        layer="toolkit",
        code="toolkit.absent",
        severity="warning",
        message="Driver and engine work, and the NVIDIA container toolkit is not installed: no container gets a GPU",
        next_action="Run playbooks/engine.yml, which installs and registers it; the driver is not the cause.",
    )


def _stale_specification(host: Mapping[str, Any]) -> Problem | None:
    loaded = host["driver"]["loaded"]
    ours = [spec for spec in host["toolkit"]["cdi_specs"] if spec["kind"] in (_CDI_KIND, None)]
    stale = [spec for spec in ours if loaded and spec["driver_version"] and spec["driver_version"] != loaded]
    if not stale:
        return None
    # A specification among the volatile ones wins over one in /etc/cdi.
    used = [spec for spec in ours if not spec["path"].startswith("/etc/")] or ours
    fails = bool(host["engine"]["cdi_enabled"]) and any(spec in stale for spec in used)
    return Problem(
        layer="toolkit",
        code="toolkit.cdi_stale",
        severity="error" if fails else "warning",
        message=f"The CDI specification is not of the loaded driver {loaded}"
        + (", so that containers are given files that do not exist" if fails else ""),
        next_action="Generate it again: systemctl restart nvidia-cdi-refresh.service.",
        evidence=tuple(f"{spec['path']} is of driver {spec['driver_version']}" for spec in stale),
    )


def _two_specifications(host: Mapping[str, Any]) -> Problem | None:
    paths = [spec["path"] for spec in host["toolkit"]["cdi_specs"] if spec["kind"] == _CDI_KIND]
    if len(paths) < 2:  # noqa: PLR2004  one is as it should be
        return None
    folders = [path.rpartition("/")[0] for path in paths]
    # Of two folders the later one wins; within one folder neither does, and no device can be resolved.
    collides = len(set(folders)) < len(folders)
    return Problem(
        layer="toolkit",
        code="toolkit.cdi_two_files",
        severity="error" if collides and host["engine"]["cdi_enabled"] else "warning",
        message=f"Several CDI specifications describe {_CDI_KIND}: {', '.join(paths)}",
        next_action="Keep the one that the toolkit writes and remove the others, which nobody renews.",
    )


def _foreign_engine(host: Mapping[str, Any]) -> Problem | None:
    kind = host["engine"]["kind"]
    if kind not in _FOREIGN:
        return None
    if kind == "podman" and not host["engine"].get("command_paths") and "podman-docker" not in host["packages"]:
        return None  # Podman under its own name stands in nobody's way
    message, next_action = _FOREIGN[kind]
    root = host["engine"]["data_root"]
    return Problem("engine", f"engine.{kind}", "error", message, next_action, (f"data root {root}",) if root else ())


def _two_engines(host: Mapping[str, Any]) -> Problem | None:
    paths = host["engine"].get("command_paths") or []
    snaps = [path for path in paths if "/snap" in path]
    if not snaps or len(snaps) == len(paths):
        return None
    return Problem(
        layer="engine",
        code="engine.two_engines",
        severity="warning",
        message=f"Two Docker installations share this host and one socket: {', '.join(paths)}",
        next_action="Save what the snap holds and run `snap remove docker`.",
    )


def _engine_stopped(host: Mapping[str, Any]) -> Problem | None:
    engine = host["engine"]
    if engine["kind"] != "docker":
        return None
    config, session = engine.get("daemon_config") or {}, host.get("session")
    if config.get("error"):
        return Problem(
            layer="engine",
            code="engine.daemon_config_invalid",
            severity="error",
            message=f"{config['path']} cannot be read: {config['error']}",
            next_action="Correct that place by hand; nothing here replaces a file that it does not understand.",
            evidence=tuple((engine["error"] or "").splitlines()),
        )
    if engine["running"] or (engine["package"] is None and not engine.get("command_paths")):
        return None
    if session:
        old = session["user"] in session["docker_group"] and "docker" not in session["groups"]
        return Problem(
            layer="engine",
            code="engine.session_without_group" if old else "engine.permission_denied",
            severity="error",
            message=f"User {session['user'] or 'of this session'} may not use the engine's socket"
            + (": the membership of the group docker exists, but this session is older" if old else ""),
            next_action="Log in again (close the shared SSH connection); no reboot is needed."
            if old
            else "Use become: true; the group docker would make the user as mighty as root.",
            evidence=(f"groups of the session: {' '.join(session['groups'])}",),
        )
    return Problem(
        layer="engine",
        code="engine.not_running",
        severity="error",
        message="Docker Engine is installed and does not answer",
        next_action="Look at `systemctl status docker` and `journalctl -u docker`, then run playbooks/engine.yml.",
        evidence=tuple((engine["error"] or "").splitlines()),
    )


def _default_runtime(host: Mapping[str, Any]) -> Problem | None:
    missing = host["engine"].get("runtime_binary_missing")
    if not missing:
        return None
    return Problem(
        layer="engine",
        code="engine.default_runtime_missing",
        severity="error",
        message=f"The engine's default runtime needs {missing}, which does not exist: no container starts",
        next_action="Run playbooks/engine.yml, which installs the toolkit, or take default-runtime out of daemon.json.",
        evidence=(f"default-runtime {host['engine']['daemon_config']['default_runtime']}",),
    )


def _unregistered(host: Mapping[str, Any]) -> Problem | None:
    engine, toolkit = _working_engine(host), host["toolkit"]
    if engine is None or not toolkit["version"] or not is_driver_working(host):
        return None
    if "nvidia" in engine["runtimes"] or _gives_by_specification(host):
        return None
    started, installed = engine.get("started_at"), toolkit.get("installed_at")
    if started is not None and installed is not None and installed > started:
        return Problem(
            layer="engine",
            code="engine.restart_needed",
            severity="error",
            message="The container toolkit is younger than the running engine, which does not know it",
            next_action="Restart the engine: `systemctl restart docker`. The driver is not the cause.",
            evidence=(
                f"engine up since {started}, toolkit installed at {installed} (seconds since 1970)",
                f"runtimes {', '.join(engine['runtimes'])}",
            ),
        )
    return Problem(
        layer="engine",
        code="engine.runtime_not_registered",
        severity="error",
        message="The running engine knows neither the runtime nvidia nor CDI devices, so no container gets a GPU",
        next_action="Run playbooks/engine.yml, which registers the runtime and restarts the engine; not the driver.",
        evidence=(f"runtimes {', '.join(engine['runtimes'])}",),
    )


def _devices_lost(host: Mapping[str, Any]) -> Problem | None:
    engine = _working_engine(host)
    if engine is None or "nvidia" not in engine["runtimes"] or engine["cdi_enabled"]:
        return None
    if engine["cgroup_driver"] != "systemd" or not is_driver_working(host):
        return None
    return Problem(
        layer="engine",
        code="engine.devices_lost_on_reload",
        severity="warning",
        message="Running containers lose their GPUs at the next `systemctl daemon-reload` (NVML: Unknown Error)",
        next_action="Turn CDI on (features.cdi in daemon.json), as playbooks/engine.yml does.",
        evidence=(f"cgroup driver systemd, cgroup version {engine['cgroup_version'] or 'unknown'}, CDI off",),
    )


def _plugin(host: Mapping[str, Any], plugin: str, minimum: str) -> Problem | None:
    engine = _working_engine(host)
    if engine is None:
        return None
    found = engine[plugin]
    if found and (not minimum or version_key(found) >= version_key(minimum)):
        return None
    return Problem(
        layer="engine",
        code=f"engine.{plugin}_{'too_old' if found else 'missing'}",
        severity="error",
        message=f"docker {plugin} has version {found}, needed is {minimum} or newer"
        if found
        else f"The command 'docker {plugin}' does not exist: the {plugin} plugin is missing",
        next_action=f"Install the {plugin} plugin (docker-{plugin}-plugin of Docker's repository); an old "
        "docker-compose does not count."
        if plugin == "compose"
        else f"Install the {plugin} plugin (docker-{plugin}-plugin of Docker's repository).",
    )


def _gibibytes(number: int) -> str:
    return f"{number / _GIBIBYTE:.1f} GiB"


def _inodes(number: int) -> str:
    return f"{number} inodes"


def _disk(host: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[Problem]:
    # First the engine's data root; with the containerd image store the images lie in containerd's own.
    entries = [entry for number, entry in enumerate(host["disk"]) if number == 0 or entry["path"] == _CONTAINERD_ROOT]
    by_mount: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        by_mount.setdefault(entry["mount"] or entry["path"], entry)
    return [problem for entry in by_mount.values() for problem in _scarce(entry, host["disk"], wanted)]


def _scarce(entry: Mapping[str, Any], disks: Sequence[Mapping[str, Any]], wanted: Mapping[str, Any]) -> list[Problem]:
    problems = []
    for name, scarce, words in (("bytes", _SCARCE_BYTES, _gibibytes), ("inodes", _SCARCE_INODES, _inodes)):
        key = f"free_{name}"
        free, minimum = entry[key], wanted.get(f"minimum_{key}")
        limit = minimum or scarce
        if free is None or free >= limit:
            continue
        problems.append(
            Problem(
                layer="disk",
                code=f"disk.low_{name}",
                severity="error" if minimum else "warning",
                message=f"{entry['path']} has {words(free)} left on {entry['mount'] or entry['measured_path']}"
                + (f", needed are {words(minimum)}" if minimum else ""),
                next_action="Free space there (not `docker system prune --all` on a host that others use), or set "
                "docker_engine_data_root to a larger file system.",
                evidence=tuple(f"{disk['path']}: {words(disk[key])}" for disk in disks if disk[key] is not None),
            )
        )
    return problems


_CHECKS = (
    _toolkit_absent,
    _stale_specification,
    _two_specifications,
    _foreign_engine,
    _two_engines,
    _engine_stopped,
    _default_runtime,
    _unregistered,
    _devices_lost,
)


def engine_problems(host: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with toolkit, engine and disk.

    Args:
        host: Description of the host.
        wanted: What the inventory wants: ``minimum_compose_version``, ``minimum_buildx_version``,
            ``minimum_free_bytes``, ``minimum_free_inodes``; unset ones are not compared.
    """
    problems = [problem for problem in (check(host) for check in _CHECKS) if problem is not None]
    for plugin in ("compose", "buildx"):
        found = _plugin(host, plugin, str(wanted.get(f"minimum_{plugin}_version") or ""))
        problems += [found] if found else []
    return problems + _disk(host, wanted)
