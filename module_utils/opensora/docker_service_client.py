# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Talks to a Docker Engine about one compose service: reads through the SDK, acts through ``docker compose``.

Not pure, unlike the other files here: it needs the Docker SDK and runs the ``docker`` command.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import time
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.compose_model import PROFILE_LABEL
from ansible.module_utils.opensora.engine_api import EngineApi, EngineLostError
from ansible.module_utils.opensora.host_occupancy import ComputeProcess, listener_in, parse_compute_processes
from ansible.module_utils.opensora.service_state import (
    PROJECT_LABEL,
    SERVICE_LABEL,
    WORKING_DIRECTORY_LABEL,
    ServiceState,
    from_inspect,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

try:
    import docker
    from docker.errors import DockerException, ImageNotFound

    IMPORT_ERROR: Exception | None = None
except ImportError as error:  # a bare host, on which check mode still has to predict
    IMPORT_ERROR = error

COMPOSE_FILE = "compose.yaml"
# Written by earlier versions, in place of the releases.
PREVIOUS_FILE = "compose.previous.yaml"
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_COMPOSE = ("docker", "compose", "--ansi", "never", "--progress", "plain")
_LOG_LINES = 50
# How far back the ends of a container are asked for: the engine keeps the last 256 events anyway.
_EVENT_SECONDS = 3600


class ServiceError(Exception):
    """The engine or compose refused; the message is for people."""


class DockerServiceClient:
    """One compose service on one engine.

    Args:
        docker_host: Address of the engine. Always given: the SDK would else follow the context of whoever runs it.
        project: Name of the compose project.
        service: Name of the service.
        directory: Folder of the compose file.

    Raises:
        ServiceError: The SDK is not there or the engine doesn't answer.
    """

    def __init__(self, docker_host: str, project: str, service: str, directory: str) -> None:
        if IMPORT_ERROR is not None:
            raise ServiceError(f"the Docker SDK can't be imported ({IMPORT_ERROR}): run playbooks/engine.yml first")
        self.docker_host = docker_host
        self.project = project
        self.service = service
        self.directory = directory
        try:
            # No version: the SDK asks the engine, whose range differs from release to release.
            self.api: Any = EngineApi(docker.DockerClient(base_url=docker_host, timeout=60).api)
            self.api.ping()
        except (DockerException, EngineLostError) as error:
            raise ServiceError(
                f"the engine at {docker_host} doesn't answer ({error}): run playbooks/engine.yml"
            ) from error

    def of_project(self, project: str, directory: str) -> DockerServiceClient:
        """Return a client for another compose project of the same engine.

        Args:
            project: Name of the compose project.
            directory: Folder of its compose file.
        """
        other = copy(self)
        other.project, other.directory = project, directory
        return other

    def read_state(self) -> ServiceState:
        """Return the state of the service's container; the running one when there are several."""
        labels = [
            f"{PROJECT_LABEL}={self.project}",
            f"{SERVICE_LABEL}={self.service}",
            "com.docker.compose.oneoff=False",
        ]
        found = self.api.containers(all=True, filters={"label": labels})
        if not found:
            return ServiceState()
        found.sort(key=lambda container: (container.get("State") != "running", container["Id"]))
        try:
            inspected = self.api.inspect_container(found[0]["Id"])
        except DockerException:  # removed between the two calls
            return ServiceState()
        return from_inspect(inspected, [container["Id"][:12] for container in found[1:]])

    def own_projects(self, root: str) -> dict[str, str]:
        """Return the folder of each compose project of this role whose folder is a given one or right below it.

        Args:
            root: ``opensora_service_directory``.
        """
        found: dict[str, str] = {}
        for container in self.api.containers(all=True, filters={"label": [PROFILE_LABEL]}):
            labels = container.get("Labels") or {}
            folder = os.path.realpath(labels.get(WORKING_DIRECTORY_LABEL, ""))
            if os.path.realpath(root) in (folder, str(Path(folder).parent)):
                found[labels[PROJECT_LABEL]] = folder
        return found

    def own_ports(self) -> set[int]:
        """Return the ports of the host that the service's container publishes already."""
        label = {"label": [f"{PROJECT_LABEL}={self.project}"]}
        ports = [port for container in self.api.containers(filters=label) for port in container.get("Ports") or []]
        return {int(port["PublicPort"]) for port in ports if port.get("PublicPort")}

    def own_processes(self) -> set[int]:
        """Return the numbers on the host of the processes in containers of this role."""
        found: set[int] = set()
        for container in self.api.containers(filters={"label": [PROFILE_LABEL]}):
            try:
                top = self.api.top(container["Id"], ps_args="-eo pid")
            except DockerException:  # ended between the two calls
                continue
            found |= {int(row[0]) for row in top.get("Processes") or []}
        return found

    def compute_processes(self) -> list[ComputeProcess]:
        """Return the processes that compute on GPUs of the host; none where nvidia-smi does not tell."""
        fields = "gpu_uuid,pid,used_memory,process_name"
        try:
            code, output, _ = self._run(
                ["nvidia-smi", f"--query-compute-apps={fields}", "--format=csv,noheader,nounits"], None
            )
        except ServiceError:
            return []
        return parse_compute_processes(output) if code == 0 else []

    def listener(self, address: str, port: int) -> str:
        """Return who else listens where a port is to be published; empty for nobody.

        Args:
            address: Address of the host.
            port: Port of the host.
        """
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    return ""
            else:
                return ""
        try:
            _, output, _ = self._run(["ss", "-H", "-ltnp"], None)
        except ServiceError:
            output = ""
        return listener_in(output, port) or "another process"

    def image_id(self, image: str) -> str | None:
        """Return the ID of an image on this host, or None."""
        try:
            return str(self.api.inspect_image(image)["Id"])
        except ImageNotFound:
            return None

    def image_labels(self, image: str) -> dict[str, str]:
        """Return the labels of an image on this host; empty when it is not there."""
        try:
            return dict(self.api.inspect_image(image)["Config"].get("Labels") or {})
        except ImageNotFound:
            return {}

    def image_digest(self, image: str) -> str:
        """Return the digest by which a registry knows an image, else its ID."""
        inspected = self.api.inspect_image(image)
        digests = inspected.get("RepoDigests") or []
        return str(digests[0]) if digests else str(inspected["Id"])

    def foreign_owners(self, ports: Sequence[str]) -> list[str]:
        """Return a line for each container that isn't ours but holds our project, our name or one of our ports.

        Args:
            ports: ``ADDRESS:HOST_PORT:CONTAINER_PORT``.
        """
        wanted = {int(port.split(":")[-2]) for port in ports}
        lines = []
        for container in self.api.containers(all=True):
            labels = container.get("Labels") or {}
            name = (container.get("Names") or ["/" + container["Id"][:12]])[0].lstrip("/")
            project = labels.get(PROJECT_LABEL)
            folder = labels.get(WORKING_DIRECTORY_LABEL, "")
            owner = f"compose project {project} in {folder}" if project else "no compose project"
            if project == self.project:
                if os.path.realpath(folder) != os.path.realpath(self.directory):
                    lines.append(f"the project name {self.project} is used by container {name} ({owner})")
                continue
            if name == f"{self.project}-{self.service}-1":
                lines.append(f"the container name {name} is taken ({owner})")
            taken = sorted({p["PublicPort"] for p in container.get("Ports") or [] if p.get("PublicPort")} & wanted)
            lines += [f"port {port} is published by container {name} ({owner})" for port in taken]
        return lines

    def execute(self, container_id: str, command: Sequence[str]) -> tuple[int, str]:
        """Run a command in a container and return its exit code and output; 127 when there is no such command."""
        try:
            created = self.api.exec_create(container_id, list(command), environment={"LC_ALL": "C.UTF-8"})
            output = self.api.exec_start(created["Id"])
            code = self.api.exec_inspect(created["Id"])["ExitCode"]
        except DockerException as error:
            text = str(error)
            if "executable file not found" in text or "no such file or directory" in text:
                return 127, text
            raise ServiceError(f"{' '.join(command)} can't be run in container {container_id[:12]}: {text}") from error
        return (1 if code is None else int(code)), output.decode("utf-8", "replace")

    def log_lines(self, container_id: str) -> list[str]:
        """Return the last lines of a container's log."""
        try:
            log = self.api.logs(container_id, tail=_LOG_LINES)
        except DockerException as error:
            return [f"(no log: {error})"]
        return [line.rstrip() for line in log.decode("utf-8", "replace").splitlines()]

    def exit_codes(self, container_id: str) -> list[int]:
        """Return the exit codes of a container's ends; a container that is running again doesn't tell its last one."""
        now = int(time.time())
        events = self.api.events(
            since=now - _EVENT_SECONDS, until=now + 1, filters={"container": container_id, "event": "die"}, decode=True
        )
        return [int(event["Actor"]["Attributes"].get("exitCode", -1)) for event in events]

    def config_hash(self, definition: str) -> str:
        """Return the hash that compose would give to the service of a definition; this also validates it.

        Raises:
            ServiceError: Compose refuses the definition.
        """
        code, output, errors = self.compose("config", "--hash", self.service, definition=definition)
        words = output.split()
        if code != 0 or len(words) != 2:  # noqa: PLR2004 -- "SERVICE HASH"
            raise ServiceError(f"docker compose refuses the definition: {(errors or output).strip()}")
        return words[1]

    def file_hash(self) -> str | None:
        """Return the hash that compose would give to the service of the file on the host, or None without a file."""
        file = Path(self.directory) / COMPOSE_FILE
        return self.config_hash(file.read_text(encoding="utf-8")) if file.is_file() else None

    def compose(self, *arguments: str, definition: str | None = None) -> tuple[int, str, str]:
        """Run ``docker compose`` for this project and return exit code, output and errors.

        Args:
            arguments: What follows the global options.
            definition: Definition to use instead of the file on the host.
        """
        path = "-" if definition is not None else f"{self.directory}/{COMPOSE_FILE}"
        place = ["--project-directory", self.directory, "--file", path]
        return self._run(
            # Without a file of settings: a stray .env in the folder must not change what was checked.
            [*_COMPOSE, "--env-file", os.devnull, "--project-name", self.project, *place, *arguments],
            definition,
        )

    def take_down(self) -> tuple[int, str, str]:
        """Remove containers and networks of the project by their labels, whatever a file says by now."""
        return self._run([*_COMPOSE, "--project-name", self.project, "down", "--timeout", "30"], None)

    def _run(self, command: list[str], stdin: str | None) -> tuple[int, str, str]:
        """Run a command and return exit code, output and errors."""
        environment = {
            "PATH": os.environ.get("PATH", _SEARCH_PATH),
            "HOME": os.environ.get("HOME", "/root"),
            "LC_ALL": "C.UTF-8",
            "DOCKER_HOST": self.docker_host,
        }
        try:
            done = subprocess.run(  # noqa: S603 -- a list of words, no shell
                command,
                input=stdin or "",
                capture_output=True,
                text=True,
                check=False,
                env=environment,
                cwd="/",
            )
        except FileNotFoundError as error:
            raise ServiceError(
                f"there is no {command[0]} command on this host: run playbooks/engine.yml first"
            ) from error
        return done.returncode, done.stdout, done.stderr

    def project_objects(self) -> dict[str, list[str]]:
        """Return the names of the containers and networks of the project."""
        label = {"label": [f"{PROJECT_LABEL}={self.project}"]}
        return {
            "containers": sorted(c["Names"][0].lstrip("/") for c in self.api.containers(all=True, filters=label)),
            "networks": sorted(network["Name"] for network in self.api.networks(filters=label)),
        }

    def remove_images(self, label: str) -> list[str]:
        """Remove the images that carry a label and that no container uses, and return what was removed."""
        removed = []
        used = {container["ImageID"] for container in self.api.containers(all=True)}
        for image in self.images(label):
            if image["Id"] not in used:
                self.api.remove_image(image["Id"], force=True)
                removed.append((image.get("RepoTags") or [image["Id"]])[0])
        return removed

    def images(self, label: str) -> list[dict[str, Any]]:
        """Return the images that carry a label."""
        return list(self.api.images(filters={"label": [label]}))
