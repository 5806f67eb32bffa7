"""A Docker Engine that lives in memory, with the one client that the service modules use."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.opensora.docker_service_client import ServiceError
from ansible.module_utils.opensora.host_occupancy import ComputeProcess
from ansible.module_utils.opensora.service_state import ServiceState

IMAGES = {"sha256:one": "sha256:one", "sha256:two": "sha256:two", "sha256:bad": "sha256:bad"}


class FakeEngine:
    """State of the engine; the tests read and change it."""

    def __init__(self) -> None:
        self.is_there = True
        self.state = ServiceState()
        self.calls: list[tuple[str, ...]] = []
        self.owners: list[str] = []
        self.sees: tuple[str, ...] | None = None
        self.proof = (0, "")
        self.proofs: dict[str, tuple[int, str]] = {}
        self.up_fails = ""
        self.projects: dict[str, str] = {}
        self.processes: list[ComputeProcess] = []
        self.own: set[int] = set()
        self.listener = ""
        self.created = 0


def definition_hash(definition: str) -> str:
    return hashlib.sha256(definition.encode()).hexdigest()


class FakeClient:
    """Stands for DockerServiceClient; ``up`` does what the compose file on disk says, in lines ``key: value``."""

    engine: FakeEngine

    def __init__(self, docker_host: str, project: str, service: str, directory: str) -> None:
        if not self.engine.is_there:
            raise ServiceError(f"the engine at {docker_host} doesn't answer")
        self.project, self.service, self.directory = project, service, directory

    def read_state(self) -> ServiceState:
        return self.engine.state

    def image_id(self, image: str) -> str | None:
        return IMAGES.get(image)

    def image_labels(self, image: str) -> dict[str, str]:
        return {"org.opensora-site.build-key": f"key of {image}"}

    def image_digest(self, image: str) -> str:
        return image

    def foreign_owners(self, ports: list[str]) -> list[str]:
        return self.engine.owners

    def of_project(self, project: str, directory: str) -> FakeClient:
        return type(self)("", project, self.service, directory)

    def own_projects(self, root: str) -> dict[str, str]:
        return dict(self.engine.projects)

    def own_ports(self) -> set[int]:
        return set()

    def own_processes(self) -> set[int]:
        return self.engine.own

    def compute_processes(self) -> list[ComputeProcess]:
        return self.engine.processes

    def listener(self, address: str, port: int) -> str:
        return self.engine.listener

    def execute(self, container_id: str, command: list[str]) -> tuple[int, str]:
        if command[0] == "nvidia-smi":
            seen = self.engine.state.gpus if self.engine.sees is None else self.engine.sees
            return 0, "".join(f"GPU 0: x (UUID: {uuid})\n" for uuid in seen)
        return self.engine.proofs.get(command[0], self.engine.proof)

    def log_lines(self, container_id: str) -> list[str]:
        return ["Traceback: boom"]

    def exit_codes(self, container_id: str) -> list[int]:
        return [3]

    def config_hash(self, definition: str) -> str:
        return definition_hash(definition)

    def file_hash(self) -> str:
        return definition_hash(self._file())

    def project_objects(self) -> dict[str, list[str]]:
        is_there = self.engine.state.container_id is not None
        return {"containers": ["opensora-opensora-1"] if is_there else [], "networks": ["net"] if is_there else []}

    def images(self, label: str) -> list[dict[str, Any]]:
        return [{"Id": "sha256:one", "RepoTags": ["opensora:lab"]}]

    def remove_images(self, label: str) -> list[str]:
        self.engine.calls.append(("remove_images",))
        return ["opensora:lab"]

    def take_down(self) -> tuple[int, str, str]:
        self.engine.calls.append(("down",))
        self.engine.state = ServiceState()
        return 0, "", ""

    def compose(self, *arguments: str) -> tuple[int, str, str]:
        self.engine.calls.append(arguments)
        if arguments[0] == "stop":
            self.engine.state = replace(self.engine.state, status="exited")
            return 0, "", ""
        values = dict(line.split(": ", 1) for line in self._file().splitlines())
        if self.engine.up_fails and self.engine.up_fails in self._file():
            return 1, "", "Error response from daemon: port is already allocated"
        self.engine.created += 1
        is_bad = values["image"] == "sha256:bad"
        self.engine.state = ServiceState(
            container_id=f"container{self.engine.created}",
            status="running",
            health="unhealthy" if is_bad else "healthy",
            image=values["image"],
            image_id=IMAGES[values["image"]],
            config_hash=definition_hash(self._file()),
            gpus=tuple(values["gpus"].split()),
            device_driver="cdi",
            user="10001:10001",
            started_at=f"start {self.engine.created}",
            health_log=((1, "no GPU"),) if is_bad else (),
        )
        return 0, "", ""

    def _file(self) -> str:
        return Path(self.directory, "compose.yaml").read_text(encoding="utf-8")


@pytest.fixture
def engine() -> FakeEngine:
    """Return the state behind FakeClient."""
    FakeClient.engine = FakeEngine()
    return FakeClient.engine


@pytest.fixture
def fake_client() -> type[FakeClient]:
    """Return the class that stands for DockerServiceClient."""
    return FakeClient
