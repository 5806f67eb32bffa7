# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What has to be done so that a host has the wanted Docker Engine: a pure decision over what was found."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.apt_repository import normalize_uri, version_matches
from ansible.module_utils.opensora.daemon_config import lacks, merge
from ansible.module_utils.opensora.problems import Problem, invalid_value
from ansible.module_utils.opensora.value_syntax import PACKAGE_VERSION, address_problems, path_problems, proxy_problems
from ansible.module_utils.opensora.version_number import version_key

if TYPE_CHECKING:
    from collections.abc import Mapping

# Distribution -> code name -> what a person calls it. The releases for which the vendor serves packages and on which
# the container toolkit's packages run.
SUPPORTED = {
    "debian": {"bookworm": "Debian 12", "trixie": "Debian 13"},
    "ubuntu": {
        "jammy": "Ubuntu 22.04",
        "noble": "Ubuntu 24.04",
        "questing": "Ubuntu 25.10",
        "resolute": "Ubuntu 26.04",
    },
}
ARCHITECTURES = ("amd64", "arm64")

VENDOR_PACKAGES = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin")
VENDOR_VERSIONED = ("docker-ce", "docker-ce-cli")  # the others have version numbers of their own
DEBIAN_PACKAGES = ("docker.io", "docker-cli", "docker-compose", "docker-buildx")
UBUNTU_PACKAGES = ("docker.io", "docker-compose-v2", "docker-buildx")
COMPOSE_PACKAGES = ("docker-compose-plugin", "docker-compose-v2", "docker-compose")
BUILDX_PACKAGES = ("docker-buildx-plugin", "docker-buildx")

# Packages that own the same files or the same socket as those of the other source.
CONFLICTING = {
    "vendor": (
        "docker.io",
        "docker-cli",
        "docker-compose",
        "docker-compose-v2",
        "docker-buildx",
        "docker-doc",
        "podman-docker",
        "containerd",
        "runc",
    ),
    "distribution": (*VENDOR_PACKAGES, "docker-ce-rootless-extras", "podman-docker"),
}

_FOREIGN_ENGINES = {
    "snap": (
        "engine.snap",
        "The Docker Engine of this host is the snap, which ignores /etc/docker and cannot see the host's GPU driver",
        "Save its images and volumes (they live inside the snap), remove it with 'snap remove docker' and run again.",
    ),
    "rootless": (
        "engine.rootless",
        "The Docker Engine of this host runs rootless, where containers cannot be given GPUs by device rules",
        "Stop it with 'dockerd-rootless-setuptool.sh uninstall' as its user, or take another host.",
    ),
    "podman": (
        "engine.podman",
        "The command docker of this host is Podman, which has no engine for Compose projects and builds",
        "Remove the package podman-docker (Podman itself may stay) and run again.",
    ),
}


@dataclass
class EnginePlan:
    """What has to be done, and what stands against it.

    Attributes:
        action: ``none``, ``install``, ``upgrade`` or ``blocked``.
        reason: Why, in one sentence.
        packages: Packages to install, in the package manager's form ``name`` or ``name=pattern``.
        latest: True when installed packages have to move to the newest version offered.
        remove: Conflicting packages to remove first.
        repository: True when the vendor's repository has to be set up.
        hold: Packages to hold at their version.
        start: True when the engine is installed, or will be, and does not run.
        sdk: True when the virtual environment of the Docker SDK has to be made.
        config: True when the engine's configuration file lacks keys that the role's variables ask for.
        problems: What stops the run before anything is changed, and warnings.
        findings: What is not yet as wanted; errors when they are still there after the work.
        urls: Addresses that the work needs, ``{variable, url}`` each.
    """

    action: str = "none"
    reason: str = "the engine is as wanted"
    packages: list[str] = field(default_factory=list)
    latest: bool = False
    remove: list[str] = field(default_factory=list)
    repository: bool = False
    hold: list[str] = field(default_factory=list)
    start: bool = False
    sdk: bool = False
    config: bool = False
    problems: list[dict[str, Any]] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    urls: list[dict[str, Any]] = field(default_factory=list)

    @property
    def needed(self) -> bool:
        """Say whether the role has anything to do, or to refuse."""
        return self.action != "none" or self.start or self.sdk or self.config

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain data, with ``needed``."""
        return {**asdict(self), "needed": self.needed}


def installed_version(packages: Mapping[str, Any], name: str) -> str | None:
    """Return the version of a package that is wholly installed, else null.

    Args:
        packages: ``gpu_host.packages``; the second letter of a status tells the state, the first what is wanted.
        name: Name of the package.
    """
    entry = packages.get(name)
    if not entry or str(entry.get("status", ""))[1:2] != "i":
        return None
    return str(entry["version"])


def held(packages: Mapping[str, Any], name: str) -> bool:
    """Say whether the package manager holds a package at its version."""
    return str((packages.get(name) or {}).get("status", "")).startswith("h")


def locked_versions(requirements: str) -> dict[str, str]:
    """Return name and version of each package that a locked requirements file installs on Linux.

    Args:
        requirements: Text of the file.
    """
    result = {}
    for found in re.finditer(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)([^\n]*)", requirements, re.MULTILINE):
        name, version, rest = found.groups()
        if "win32" not in rest:
            result[re.sub(r"[-_.]+", "-", name).lower()] = version
    return result


def supported_systems() -> str:
    """Return the supported systems as text for a message."""
    return ", ".join(name for releases in SUPPORTED.values() for name in releases.values())


def system_problem(host_os: Mapping[str, Any], variable: str, source: str) -> Problem | None:
    """Return the problem of a system for which packages cannot be installed, or null.

    Args:
        host_os: ``gpu_host.os``.
        variable: Name of the source variable, for the message.
        source: Its value.
    """
    releases = SUPPORTED.get(str(host_os.get("repository_id") or host_os.get("id")), {})
    name = host_os.get("name") or host_os.get("id") or "an unknown system"
    if host_os.get("codename") not in releases:
        return Problem(
            layer="packages",
            code="system.unsupported",
            severity="error",
            message=f"The host runs {name}, for which {variable}: {source} knows no packages",
            next_action=f"Use one of {supported_systems()}; or install the packages yourself and set "
            f"{variable}: preinstalled.",
        )
    if host_os.get("deb_arch") not in ARCHITECTURES:
        return Problem(
            layer="packages",
            code="system.unsupported",
            severity="error",
            message=f"The host's architecture is {host_os.get('arch')}, for which there are no packages",
            next_action="Use a host with one of the architectures x86_64 (amd64) or aarch64 (arm64).",
        )
    return None


def repository_entries(sources: list[dict[str, Any]], url: str, suite: str, architecture: str) -> list[dict[str, Any]]:
    """Return the enabled entries that offer a repository.

    Args:
        sources: ``gpu_host.apt_sources``.
        url: Address of the repository.
        suite: Its suite, or its path that ends in a slash.
        architecture: The host's Debian architecture.
    """
    wanted = normalize_uri(url, architecture)
    return [
        source
        for source in sources
        if source["enabled"]
        and suite in source["suites"]
        and wanted in {normalize_uri(uri, architecture) for uri in source["uris"]}
    ]


def repository_problems(entries: list[dict[str, Any]], url: str, path: str, *, repair: bool) -> list[Problem]:
    """Return a problem when a repository stands in another file than the role's.

    Args:
        entries: The entries that offer it, see ``repository_entries``.
        url: Address of the repository.
        path: The sources file that the role writes.
        repair: Whether the role disables the other entry, so that there is only something to tell.
    """
    others = [entry for entry in entries if entry["path"] != path]
    if not others:
        return []
    names = ", ".join(dict.fromkeys(str(entry["path"]) for entry in others))
    return [
        Problem(
            layer="packages",
            code="apt.duplicate_repository",
            severity="warning" if repair else "error",
            message=f"The repository {url} is already configured in {names}",
            next_action=f"Nothing: that entry will be disabled in favour of {path} with the pinned key, and the former "
            f"text stays beside it as *.orig (of {names})."
            if repair
            else f"Remove that entry, so that the role can write its own with the pinned key to {path}; or let "
            "it do so with package_manager_repair_sources: true.",
            evidence=tuple(f"{entry['path']}: Signed-By {entry['signed_by'] or 'not set'}" for entry in others),
        )
    ]


def _tool_problem(tool: str, found: str | None, minimum: str, variable: str) -> Problem | None:
    if not found:
        return Problem(
            layer="engine",
            code=f"engine.{tool}_missing",
            severity="error",
            message=f"The command 'docker {tool}' does not exist on this host: the {tool} plugin is missing",
            next_action=f"Install the {tool} plugin for Docker, or let the role do it with "
            "docker_engine_source: vendor.",
        )
    if version_key(found) < version_key(minimum):
        return Problem(
            layer="engine",
            code=f"engine.{tool}_too_old",
            severity="error",
            message=f"docker {tool} has version {found}, {variable} asks for {minimum} or newer",
            next_action="Upgrade it, or take the vendor's with docker_engine_source: vendor.",
        )
    return None


def _setting_problems(settings: Mapping[str, Any]) -> list[Problem]:
    problems = [
        invalid_value(f"docker_engine_{name}", settings[name], "a version such as 2.24.0")
        for name in ("minimum_compose_version", "minimum_buildx_version")
        if not re.fullmatch(r"v?[0-9]+(\.[0-9]+)*", str(settings[name]))
    ]
    config = settings.get("daemon_config", {})
    if not isinstance(config, dict):
        problems.append(invalid_value("docker_engine_daemon_config", config, "a mapping of keys of daemon.json"))
    elif config:
        conflicts = merge({}, config).conflicts
        problems += [invalid_value("docker_engine_daemon_config", text, "one value for each key") for text in conflicts]
    root = str(settings.get("data_root", ""))
    if root:
        problems += path_problems("docker_engine_data_root", root, allowed=", or empty")
    # Ansible hands the path of the interpreter in it to a shell.
    problems += path_problems("docker_engine_sdk_directory", settings["sdk_directory"], plain=True)
    problems += _address_problems(settings)
    if isinstance(config, dict) and root and config.get("data-root", root) != root:
        problems.append(
            invalid_value(
                "docker_engine_daemon_config", config, f"a data-root equal to docker_engine_data_root, {root}"
            )
        )
    socket = str(settings["socket"])
    if not socket.startswith("unix:///") or path_problems("", socket[len("unix://") :], plain=True):
        problems.append(
            invalid_value("docker_engine_socket", socket, "a local socket such as unix:///var/run/docker.sock")
        )
    version = str(settings.get("version", ""))
    if version and not PACKAGE_VERSION.fullmatch(version):
        problems.append(invalid_value("docker_engine_version", version, "a package version or its beginning, or empty"))
    if version and settings["source"] != "vendor":
        problems.append(
            invalid_value(
                "docker_engine_version",
                version,
                f"an empty string with docker_engine_source: {settings['source']}, which offers one version only",
            )
        )
    return problems


def _address_problems(settings: Mapping[str, Any]) -> list[Problem]:
    problems = proxy_problems(settings)
    if settings["source"] == "vendor":
        for name in ("repository_url", "repository_key_url"):
            problems += address_problems(f"docker_engine_{name}", settings[name])
    index = settings.get("sdk_python_index_url")
    if index:
        variable = str(settings.get("sdk_python_index_variable") or "docker_engine_sdk_python_index_url")
        problems += address_problems(variable, index, "an http or https address, or empty")
    return problems


def own_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of the engine's configuration file that the role's own variables ask for.

    Args:
        settings: The role's settings, see ``decide_engine``.
    """
    config: dict[str, Any] = {}
    if settings.get("data_root"):
        config["data-root"] = settings["data_root"]
    proxies = {
        key: settings[name]
        for key, name in (("http-proxy", "http_proxy"), ("https-proxy", "https_proxy"), ("no-proxy", "no_proxy"))
        if settings.get(name)
    }
    if proxies:
        config["proxies"] = proxies
    wanted = settings.get("daemon_config") or {}
    return merge(config, wanted).config


def _data_root_problem(engine: Mapping[str, Any], settings: Mapping[str, Any]) -> Problem | None:
    wanted = own_config(settings).get("data-root")
    found = engine.get("data_root")
    if not wanted or not found or str(wanted).rstrip("/") == str(found).rstrip("/"):
        return None
    return Problem(
        layer="engine",
        code="engine.data_root_differs",
        severity="error",
        message=f"docker_engine_data_root is {wanted}, but the engine on this host keeps its data in {found}; after a "
        "change its images, containers and volumes would seem to be gone",
        next_action=f"Stop the engine, move {found} to {wanted}, set data-root in /etc/docker/daemon.json, start the "
        f"engine and run again; or leave docker_engine_data_root empty.",
    )


def _wanted_packages(host_os: Mapping[str, Any], source: str) -> tuple[str, ...]:
    if source == "vendor":
        return VENDOR_PACKAGES
    return UBUNTU_PACKAGES if (host_os.get("repository_id") or host_os.get("id")) == "ubuntu" else DEBIAN_PACKAGES


def _decide_packages(plan: EnginePlan, host: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Problem]:
    """Fill in the plan for a source that installs; return what stops the run."""
    source = settings["source"]
    host_os = host["os"]
    problem = system_problem(host_os, "docker_engine_source", source)
    if problem:
        return [problem]
    if source == "distribution" and host_os["codename"] == "bookworm":
        return [
            Problem(
                layer="packages",
                code="engine.distribution_without_compose",
                severity="error",
                message="docker_engine_source is 'distribution', but Debian 12 has no Compose version 2",
                next_action="Set docker_engine_source: vendor for this host, or upgrade it to Debian 13.",
            )
        ]
    packages = host.get("packages", {})
    engine = host["engine"]
    problems = []
    conflicting = [name for name in CONFLICTING[source] if installed_version(packages, name)]
    if conflicting and not settings["remove_conflicting_packages"]:
        problems.append(
            Problem(
                layer="packages",
                code="engine.conflicting_packages",
                severity="error",
                message=f"docker_engine_source is {source!r}, but packages that conflict with it are installed: "
                + ", ".join(conflicting),
                next_action="Keep them with docker_engine_source: preinstalled, or let the role replace them with "
                "docker_engine_remove_conflicting_packages: true (images and volumes stay in the data root).",
                evidence=tuple(f"{name} {installed_version(packages, name)}" for name in conflicting),
            )
        )
    running = engine.get("containers_running") or 0
    if conflicting and settings["remove_conflicting_packages"] and running:
        problems.append(
            Problem(
                layer="engine",
                code="engine.containers_running",
                severity="error",
                message=f"{running} containers run on the engine that docker_engine_remove_conflicting_packages would "
                "remove",
                next_action="Stop them with 'docker stop' and run again; their volumes stay in the data root.",
                evidence=tuple(conflicting),
            )
        )
    plan.remove = conflicting
    wanted = _wanted_packages(host_os, source)
    version = str(settings.get("version", ""))
    missing = [name for name in wanted if not installed_version(packages, name)]
    differing = [
        name
        for name in VENDOR_VERSIONED
        if version and name not in missing and not version_matches(str(installed_version(packages, name)), version)
    ]
    outdated = [
        name
        for tool, names in (("compose", COMPOSE_PACKAGES), ("buildx", BUILDX_PACKAGES))
        for name in names
        if name in wanted
        and name not in missing
        and _tool_problem(tool, engine.get(tool), str(settings[f"minimum_{tool}_version"]), "")
    ]
    # A package that is installed at another version loses its hold by that.
    moving = {*missing, *differing}
    plan.hold = [name for name in VENDOR_VERSIONED if version and (name in moving or not held(packages, name))]
    plan.latest = bool(outdated) and not missing and not differing
    plan.packages = [
        f"{name}=*{version}*" if version and name in VENDOR_VERSIONED else name
        for name in wanted
        if name in {*missing, *differing, *outdated}
    ]
    if missing:
        plan.action, plan.reason = "install", f"not installed: {', '.join(missing)}"
    elif differing or outdated:
        plan.action, plan.reason = "upgrade", f"another version is wanted of {', '.join([*differing, *outdated])}"
    elif plan.hold:
        plan.action, plan.reason = "upgrade", f"not held at version {version}: {', '.join(plan.hold)}"
    if source == "vendor":
        problems += _decide_repository(plan, host, settings)
    for name in plan.packages:
        plan.findings.append(_package_finding(name, packages).as_dict())
    return problems


def _package_finding(name: str, packages: Mapping[str, Any]) -> Problem:
    bare = name.partition("=")[0]
    found = packages.get(bare)
    return Problem(
        layer="packages",
        code="engine.package_not_as_wanted",
        severity="error",
        message=f"The package {bare} is "
        + (f"in state {found['status']} at version {found['version']}" if found else "not installed"),
        next_action=f"See what 'apt-get install {bare}' and 'apt-cache policy {bare}' say on the host.",
    )


def _decide_repository(plan: EnginePlan, host: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Problem]:
    url = str(settings["repository_url"])
    architecture = str(host["os"]["deb_arch"])
    sources = list(host.get("apt_sources", []))
    suite = str(host["os"]["codename"])
    # A host that has every package is left alone, even where a person set up the repository by another way.
    plan.repository = plan.action != "none"
    if not plan.repository:
        return []
    entries = repository_entries(sources, url, suite, architecture)
    plan.urls.append({"variable": "docker_engine_repository_url", "url": f"{url.rstrip('/')}/dists/{suite}/InRelease"})
    if not entries:
        plan.urls.append({"variable": "docker_engine_repository_key_url", "url": str(settings["repository_key_url"])})
    return repository_problems(
        entries, url, str(settings["repository_file"]), repair=bool(settings.get("repair_sources"))
    )


def _decide_sdk(plan: EnginePlan, engine: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    found = (engine.get("sdk") or {}).get("packages") or {}
    found = {re.sub(r"[-_.]+", "-", str(name)).lower(): str(version) for name, version in found.items()}
    locked: Mapping[str, str] = settings["locked"]
    differing = [
        f"{name} {found.get(name, 'is missing')}" for name, version in locked.items() if found.get(name) != version
    ]
    plan.sdk = bool(differing)
    if not differing:
        return
    plan.findings.append(
        Problem(
            layer="engine",
            code="engine.sdk_not_as_locked",
            severity="error",
            message=f"The Docker SDK in {settings['sdk_directory']} differs from the locked versions",
            next_action="Remove that folder and run again.",
            evidence=tuple(differing),
        ).as_dict()
    )
    index = str(settings.get("sdk_python_index_url") or "")
    if index:
        plan.urls.append({"variable": settings["sdk_python_index_variable"], "url": f"{index.rstrip('/')}/docker/"})


def _decide_source(plan: EnginePlan, host: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Problem]:
    """Fill in what the source of the engine asks for; return what stops the run."""
    kind = host["engine"].get("kind") or "none"
    if kind == "podman" and "podman-docker" not in host.get("packages", {}):
        kind = "none"  # Podman under its own name stands in nobody's way
    if kind in _FOREIGN_ENGINES:
        code, message, next_action = _FOREIGN_ENGINES[kind]
        return [Problem(layer="engine", code=code, severity="error", message=message, next_action=next_action)]
    if settings["source"] != "preinstalled":
        return _decide_packages(plan, host, settings)
    if kind != "none":
        return []
    return [
        Problem(
            layer="engine",
            code="engine.missing",
            severity="error",
            message="docker_engine_source is 'preinstalled', but no Docker Engine was found on this host",
            next_action="Install one, or let the role do it with docker_engine_source: vendor.",
        )
    ]


def _tool_problems(engine: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Problem]:
    found = (
        _tool_problem(
            tool,
            engine.get(tool),
            str(settings[f"minimum_{tool}_version"]),
            f"docker_engine_minimum_{tool}_version",
        )
        for tool in ("compose", "buildx")
    )
    return [problem for problem in found if problem]


def decide_engine(host: Mapping[str, Any], settings: Mapping[str, Any]) -> EnginePlan:
    """Decide what has to be done for the wanted engine.

    Args:
        host: The fact ``gpu_host``.
        settings: The role's variables without their prefix (source, version, repository_url, repository_key_url,
            daemon_config, data_root, socket, minimum_compose_version, minimum_buildx_version,
            remove_conflicting_packages, sdk_directory, sdk_python_index_url), the site's http_proxy, https_proxy and
            no_proxy, and: repository_file, the sources file of the role; repair_sources, whether entries of the same
            repository in other files are disabled; locked, the versions of the Docker SDK;
            sdk_python_index_variable, the name of the variable that set the index.
    """
    plan = EnginePlan()
    problems = _setting_problems(settings)
    if problems:
        return EnginePlan(
            action="blocked",
            reason="a variable has a value that is not allowed",
            problems=[problem.as_dict() for problem in problems],
        )
    problems = _decide_source(plan, host, settings)
    engine = host["engine"]
    data_root = _data_root_problem(engine, settings)
    if data_root:
        problems.append(data_root)
    if engine.get("kind") == "docker":
        tools = _tool_problems(engine, settings)
        if plan.action == "none":
            problems += tools  # nothing will be installed that could cure them
        else:
            plan.findings += [problem.as_dict() for problem in tools]
    plan.start = not engine.get("running")
    if plan.start:
        plan.findings.append(
            Problem(
                layer="engine",
                code="engine.not_running",
                severity="error",
                message="The Docker Engine does not run",
                next_action="See 'systemctl status docker' and 'journalctl -u docker' on the host.",
            ).as_dict()
        )
    _decide_sdk(plan, engine, settings)
    plan.config = lacks(engine.get("daemon_config") or {}, own_config(settings))
    plan.problems = [problem.as_dict() for problem in problems]
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        plan.action = "blocked"
        plan.reason = errors[0].message
    return plan
