# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Deploys one compose service: read, decide, act, wait, prove, and go back when it is not well.

Not pure: it writes the compose file and acts through a :class:`DockerServiceClient`. What it decides by is.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.docker_service_client import (
    COMPOSE_FILE,
    PREVIOUS_FILE,
    DockerServiceClient,
    ServiceError,
)
from ansible.module_utils.opensora.problems import Problem
from ansible.module_utils.opensora.service_health import (
    check_proof,
    check_visible_gpus,
    classify_compose_failure,
    evidence,
    judge,
)
from ansible.module_utils.opensora.service_state import Decision, ServiceState, decide, describe_state, predict_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BUILD_LABEL = "org.opensora-site.build-key"
_POLL_SECONDS = 0.5


class DeploymentError(Exception):
    """The service is not what was asked for; carries the problems and whether the host was changed."""

    def __init__(self, problems: Sequence[Problem], *, changed: bool = False) -> None:
        super().__init__(problems[0].message)
        self.problems = list(problems)
        self.changed = changed


@dataclass(frozen=True)
class Wanted:
    """The wish, as the module got it.

    Attributes:
        definition: The compose project as YAML.
        image: Image of the service.
        gpus: UUIDs reserved.
        ports: Published ports.
        directories: Folders that have to be there: path, uid, gid, writable.
        health_wait: Seconds to wait for health.
        proof_command: Command run in the healthy container.
    """

    definition: str
    image: str
    gpus: tuple[str, ...]
    ports: tuple[str, ...]
    directories: tuple[Mapping[str, Any], ...]
    health_wait: int
    proof_command: tuple[str, ...]


class Deployment:
    """Brings one service to the wanted state.

    Args:
        client: The engine, or None on a host that has none yet (check mode).
        directory: Folder for the compose file.
        wanted: The wish.
    """

    def __init__(self, client: DockerServiceClient | None, directory: str, wanted: Wanted) -> None:
        self._client = client
        self._file = Path(directory) / COMPOSE_FILE
        self._previous = Path(directory) / PREVIOUS_FILE
        self._wanted = wanted

    def run(self, *, check_mode: bool) -> dict[str, Any]:
        """Read, decide and act; return the result of the module.

        Raises:
            DeploymentError: The service is not what was asked for.
        """
        wanted = self._wanted
        old_definition = self._file.read_text(encoding="utf-8") if self._file.is_file() else None
        before = self._client.read_state() if self._client else ServiceState()
        missing = [entry for entry in wanted.directories if not Path(entry["path"]).is_dir()]
        decision = decide(
            before,
            config_hash=self._config_hash(check_mode=check_mode),
            image=wanted.image,
            image_id=self._client.image_id(wanted.image) if self._client else None,
            gpus=wanted.gpus,
            file_differs=old_definition != wanted.definition,
        )
        after = before
        if not check_mode:
            if self._client is None:
                raise DeploymentError(
                    [Problem("engine", "engine.unreachable", "error", "there is no engine", "Install it.")]
                )
            make_directories(missing)
            check_directories(wanted.directories)
            after = self._act(self._client, decision, before, old_definition)
        elif self._client and decision.action != "none":
            refuse_collisions(self._client, wanted.ports)
        return {
            "changed": bool(missing) or (decision.changes and (check_mode or _differs(before, after, decision))),
            "action": decision.action,
            "changed_keys": list(decision.changed_keys) + (["directories"] if missing else []),
            "reasons": list(decision.reasons) + [f"the folder {entry['path']} is missing" for entry in missing],
            "service": service_result(after),
            "problems": [],
            "diff": [
                {
                    "before_header": str(self._file),
                    "after_header": str(self._file),
                    "before": old_definition or "",
                    "after": wanted.definition,
                },
                {
                    "before_header": "container",
                    "after_header": "container",
                    "before": describe_state(before),
                    "after": predict_state(before, decision, wanted.image, wanted.gpus)
                    if check_mode
                    else describe_state(after),
                },
            ],
        }

    def _config_hash(self, *, check_mode: bool) -> str | None:
        """Return the hash of the wanted definition; None in check mode on a host that is still to get its compose."""
        if self._client is None:
            return None
        try:
            return self._client.config_hash(self._wanted.definition)
        except ServiceError:
            if check_mode:
                return None
            raise

    def _act(
        self, client: DockerServiceClient, decision: Decision, before: ServiceState, old_definition: str | None
    ) -> ServiceState:
        """Carry out a decision and return the state afterwards."""
        if decision.action == "none":
            if decision.write_file:
                write_file(self._file, self._wanted.definition)
            settled = before.status == "running" and before.health in (None, "healthy")
            if settled:
                return before
            # Started by someone else a moment ago, or going round in circles: only the time will tell.
            state, problems = self._wait(client, before.restart_count)
            if problems:
                raise DeploymentError(problems)
            return state
        refuse_collisions(client, self._wanted.ports)
        if old_definition is not None and old_definition != self._wanted.definition:
            write_file(self._previous, old_definition)
        write_file(self._file, self._wanted.definition)
        state, problems = self._bring_up(client, before.restart_count, force=decision.force)
        if problems:
            problems += self._go_back(client, before, old_definition, state)
            raise DeploymentError(problems, changed=True)
        return state

    def _bring_up(
        self, client: DockerServiceClient, restarts: int, *, force: bool
    ) -> tuple[ServiceState, list[Problem]]:
        """Start the definition on disk, wait for its health and prove it."""
        options = ["--force-recreate"] if force else []
        code, output, errors = client.compose(
            "up", "--detach", "--no-build", "--pull", "missing", "--quiet-pull", *options, client.service
        )
        state = client.read_state()
        if code != 0:
            return state, [classify_compose_failure(errors or output)]
        # A container that was replaced counts its restarts anew.
        state, problems = self._wait(client, min(restarts, state.restart_count))
        if not problems:
            problems = prove(client, state, self._wanted.gpus, self._wanted.proof_command)
        return state, problems

    def _wait(self, client: DockerServiceClient, restarts: int) -> tuple[ServiceState, list[Problem]]:
        """Wait until the container is well or will not be."""
        started = time.monotonic()
        while True:
            state = client.read_state()
            verdict = judge(state, time.monotonic() - started, self._wanted.health_wait, restarts)
            if verdict.outcome == "healthy":
                return state, []
            if verdict.outcome == "failed":
                lines = why_not_well(client, state)
                advice = "Read the health checks and the log above; the last lines usually name the cause."
                return state, [Problem("application", "service.not_healthy", "error", verdict.reason, advice, lines)]
            time.sleep(_POLL_SECONDS)

    def _go_back(
        self, client: DockerServiceClient, before: ServiceState, old_definition: str | None, failed: ServiceState
    ) -> list[Problem]:
        """Bring the previous definition back, and return what the host ended with."""
        if before.container_id is None or old_definition is None:
            if failed.container_id:
                # Left for a look at it, but not started over and over.
                client.compose("stop", client.service)
            message = "there was no service before: the new container was stopped and left for inspection"
            return [Problem("compose", "service.stopped", "error", message, "Correct the cause and run again.")]
        write_file(self._file, old_definition)
        wanted = self._wanted
        self._wanted = Wanted(
            old_definition, before.image or "", before.gpus, (), (), wanted.health_wait, wanted.proof_command
        )
        try:
            state, problems = self._bring_up(client, 0, force=failed.config_hash == before.config_hash)
        finally:
            self._wanted = wanted
        if problems:
            return [
                Problem(
                    "compose",
                    "service.rollback_failed",
                    "error",
                    "the previous version was brought back but is not well either",
                    "Look at the host: the service is down.",
                    tuple(problem.message for problem in problems) + problems[0].evidence,
                )
            ]
        message = f"the previous version is running again ({state.image}, {state.health}); the new one was refused"
        return [Problem("compose", "service.rolled_back", "error", message, "Correct the cause and run again.")]


def refuse_collisions(client: DockerServiceClient, ports: Sequence[str]) -> None:
    """Stop when something that isn't ours is in the way.

    Args:
        client: The engine.
        ports: Ports that will be published.

    Raises:
        DeploymentError: Naming each object and its owner.
    """
    owners = client.foreign_owners(ports)
    if owners:
        advice = "Remove the other one, or change the port (opensora_service_ports); it was left alone."
        raise DeploymentError([Problem("compose", "service.collision", "error", line, advice) for line in owners])


def why_not_well(client: DockerServiceClient, state: ServiceState) -> tuple[str, ...]:
    """Return what the engine can tell about a container that is not well."""
    if state.container_id is None:
        return ()
    return evidence(state, client.log_lines(state.container_id), client.exit_codes(state.container_id))


def prove(
    client: DockerServiceClient, state: ServiceState, gpus: Sequence[str], proof_command: Sequence[str]
) -> list[Problem]:
    """Return what speaks against the running container: the GPUs reserved, those it sees, and the proof command.

    Args:
        client: The engine.
        state: The running container.
        gpus: UUIDs wanted.
        proof_command: Command to run in the container; none when empty.
    """
    problems = []
    if set(state.gpus) != set(gpus):
        message = f"the engine reserved {', '.join(state.gpus) or 'no GPU'}, wanted is {', '.join(gpus)}"
        problems.append(Problem("compose", "proof.reservation_differs", "error", message, "Replace the container."))
    container = state.container_id or ""
    code, output = client.execute(container, ["nvidia-smi", "-L"])
    # Against what was reserved: a wrong reservation is one problem, not two.
    found, _ = check_visible_gpus(code, output, state.gpus)
    problems += found
    if proof_command:
        code, output = client.execute(container, proof_command)
        problems += check_proof(proof_command, code, output)
    return problems


def remove(
    client: DockerServiceClient | None,
    directory: str,
    remove_image: bool,
    check_mode: bool,
) -> dict[str, Any]:
    """Remove the service, its networks and its compose file, and return the result of the module.

    Args:
        client: The engine, or None where there is none.
        directory: Folder of the compose file.
        remove_image: Whether images built by this project go as well.
        check_mode: Whether to predict only.
    """
    objects = client.project_objects() if client else {"containers": [], "networks": []}
    folder = Path(directory)
    files = [str(folder / name) for name in (COMPOSE_FILE, PREVIOUS_FILE) if (folder / name).exists()]
    images = (
        [(i.get("RepoTags") or [i["Id"]])[0] for i in client.images(BUILD_LABEL)] if client and remove_image else []
    )
    before = {**objects, "files": files, "images": images}
    changed = any(before.values())
    if client:
        refuse_collisions(client, ())
    if client and not check_mode:
        if any(objects.values()):
            code, output, errors = client.take_down()
            if code != 0 or any(client.project_objects().values()):
                raise DeploymentError([classify_compose_failure(errors or output)])
        for path in files:
            Path(path).unlink()
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        if remove_image:
            client.remove_images(BUILD_LABEL)
    listing = "".join(f"{kind}: {', '.join(names) or 'none'}\n" for kind, names in before.items())
    nothing = "".join(f"{kind}: none\n" for kind in before)
    return {
        "changed": changed,
        "action": "remove" if changed else "none",
        "changed_keys": [kind for kind, names in before.items() if names],
        "reasons": [],
        "service": service_result(ServiceState()),
        "problems": [],
        "diff": {"before_header": "service", "after_header": "service", "before": listing, "after": nothing},
    }


def service_result(state: ServiceState) -> dict[str, Any]:
    """Return the state as the modules report it."""
    return {
        "state": "present" if state.container_id else "absent",
        "container_id": state.container_id,
        "name": state.name,
        "status": state.status,
        "health": state.health,
        "image": state.image,
        "image_id": state.image_id,
        "gpus": list(state.gpus),
        "device_driver": state.device_driver,
        "config_hash": state.config_hash,
        "user": state.user,
        "restart_count": state.restart_count,
        "started_at": state.started_at,
    }


def make_directories(entries: Sequence[Mapping[str, Any]]) -> None:
    """Make folders for their numeric owner; parents stay root's."""
    for entry in entries:
        path = Path(entry["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o755)
        os.chown(path, entry["uid"], entry["gid"])


def check_directories(entries: Sequence[Mapping[str, Any]]) -> None:
    """Refuse folders that the service's user can't write to; they may hold someone's data and are not changed.

    Raises:
        DeploymentError: With the command that would correct it.
    """
    problems = []
    for entry in entries:
        status = Path(entry["path"]).stat()
        owner_writes = status.st_uid == entry["uid"] and status.st_mode & 0o300 == 0o300  # noqa: PLR2004 -- write and search
        group_writes = status.st_gid == entry["gid"] and status.st_mode & 0o030 == 0o030  # noqa: PLR2004
        others_write = status.st_mode & 0o003 == 0o003  # noqa: PLR2004
        if entry["writable"] and not (owner_writes or group_writes or others_write):
            mode = oct(status.st_mode & 0o7777)[2:]
            message = (
                f"{entry['path']} belongs to {status.st_uid}:{status.st_gid} with mode {mode}, "
                f"the service's user {entry['uid']}:{entry['gid']} can't write there"
            )
            advice = (
                f"chown {entry['uid']}:{entry['gid']} {entry['path']} on the host, or choose another folder or user."
            )
            problems.append(Problem("disk", "directory.not_writable", "error", message, advice))
    if problems:
        raise DeploymentError(problems)


def write_file(path: Path, content: str) -> None:
    """Write a file that only root and its group may read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w", encoding="utf-8") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    draft.chmod(0o640)
    draft.replace(path)


def _differs(before: ServiceState, after: ServiceState, decision: Decision) -> bool:
    """Return whether two reads differ in what a run changes."""
    return decision.write_file or (before.container_id, before.started_at) != (after.container_id, after.started_at)


def verify(  # noqa: D417 -- the arguments are those of opensora_service_info
    client: DockerServiceClient,
    *,
    gpus: Sequence[str] | None,
    image: str,
    build_key: str,
    user: str,
    proof_command: Sequence[str],
) -> tuple[dict[str, Any], list[Problem]]:
    """Return the live state of the service and everything that is not as wanted.

    Args:
        client: The engine. The other arguments are the options of opensora_service_info; empty ones are not judged.
    """
    state = client.read_state()
    service = service_result(state)
    if state.container_id is None:
        message = f"there is no container of the project {client.project}"
        return service, [Problem("compose", "service.absent", "error", message, "Run playbooks/service.yml.")]
    labels = client.image_labels(str(state.image_id))
    service |= {"build_key": labels.get(BUILD_LABEL), "image_digest": client.image_digest(str(state.image_id))}
    problems = []
    if state.status != "running" or state.health not in (None, "healthy"):
        message = f"the container is {state.health if state.status == 'running' else state.status}"
        lines = why_not_well(client, state)
        advice = "Read the health checks and the log above; playbooks/service.yml replaces an unhealthy container."
        problems.append(Problem("application", "service.not_healthy", "error", message, advice, lines))
    if state.status == "running":
        wanted = state.gpus if gpus is None else gpus
        problems += prove(client, state, wanted, proof_command)
    comparisons = (
        ("image", state.image_id, client.image_id(image) if image else state.image_id),
        ("build key of the image", labels.get(BUILD_LABEL) or "missing", build_key or labels.get(BUILD_LABEL)),
        ("user", state.user, user or state.user),
        ("definition", state.config_hash, client.file_hash()),
    )
    problems += [
        Problem(
            "compose", "service.differs", "error", f"{what} is {found}, wanted is {wish}", "Run playbooks/service.yml."
        )
        for what, found, wish in comparisons
        if found != wish
    ]
    return service, problems
