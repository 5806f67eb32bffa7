# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Deploys one compose service: read, decide, act, wait, prove, and go back when it is not well.

Not pure: it writes the compose file and acts through a :class:`DockerServiceClient`. What it decides by is.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.compose_model import PROJECT
from ansible.module_utils.opensora.docker_service_client import (
    COMPOSE_FILE,
    PREVIOUS_FILE,
    DockerServiceClient,
    ServiceError,
)
from ansible.module_utils.opensora.folder_access import Denied, denial_problem, denied, give_to_user
from ansible.module_utils.opensora.host_occupancy import busy_gpus, container_in
from ansible.module_utils.opensora.problems import Problem
from ansible.module_utils.opensora.service_health import (
    check_proof,
    check_visible_gpus,
    classify_compose_failure,
    evidence,
    judge,
    not_well,
)
from ansible.module_utils.opensora.service_releases import FOLDER as RELEASES
from ansible.module_utils.opensora.service_releases import Release, earlier, new_release, read_releases, record
from ansible.module_utils.opensora.service_state import Decision, ServiceState, decide, describe_state, predict_state
from ansible.module_utils.opensora.start_unit import StartUnit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BUILD_LABEL = "org.opensora-site.build-key"
# Folder of the secrets' files beside the compose file.
SECRETS = "secrets"
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
        secrets: Text of each secret by its name, and the numeric user that reads them.
        secrets_owner: (uid, gid) of that user.
        keep_releases: How many releases to keep, the current one among them.
        take_ownership: Whether folders that the user can't use are given to it.
        share_gpus: Whether GPUs may be in use by others.
        start_after_engine: Whether systemd has to start the container after the engine.
        is_rollback: Whether it goes back to an earlier release, which is recorded already.
    """

    definition: str
    image: str
    gpus: tuple[str, ...]
    ports: tuple[str, ...]
    directories: tuple[Mapping[str, Any], ...]
    health_wait: int
    proof_command: tuple[str, ...]
    secrets: Mapping[str, str] = field(default_factory=dict)
    secrets_owner: tuple[int, int] = (0, 0)
    keep_releases: int = 3
    take_ownership: bool = False
    share_gpus: bool = False
    start_after_engine: bool = False
    is_rollback: bool = False


class Deployment:
    """Brings one service to the wanted state.

    Args:
        client: The engine, or None on a host that has none yet (check mode).
        directory: Folder for the compose file.
        wanted: The wish.
    """

    def __init__(self, client: DockerServiceClient | None, directory: str, wanted: Wanted) -> None:
        self._client = client
        self._directory = Path(directory)
        self._file = self._directory / COMPOSE_FILE
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
        usable = check_directories(wanted.directories, take_ownership=wanted.take_ownership)
        unit = start_unit(self._client) if self._client else None
        unit_differs = unit.differs(wanted=wanted.start_after_engine) if unit else wanted.start_after_engine
        stale_secrets = differing_secrets(self._directory, wanted.secrets)
        decision = decide(
            before,
            config_hash=self._config_hash(check_mode=check_mode),
            image=wanted.image,
            image_id=self._client.image_id(wanted.image) if self._client else None,
            gpus=wanted.gpus,
            file_differs=old_definition != wanted.definition,
        )
        unrecorded = decision.action == "none" and self._is_unrecorded()
        after = before
        if not check_mode:
            if self._client is None:
                raise DeploymentError(
                    [Problem("engine", "engine.unreachable", "error", "there is no engine", "Install it.")]
                )
            make_directories(missing)
            for entry, found in usable:
                give_to_user(entry, found)
            start_unit(self._client).bring(wanted=wanted.start_after_engine)
            after = self._act(self._client, decision, before, old_definition)
        elif self._client and decision.action != "none":
            self._refuse_what_is_taken(self._client)
        on_disk = [
            *(("directories", f"the folder {entry['path']} is missing") for entry in missing),
            *((("ownership", f"{found[0]} is not usable for the service's user") for _, found in usable)),
            *([("start unit", "the unit that starts the container after the engine differs")] if unit_differs else []),
            *(("secrets", f"the secret {name} differs") for name in stale_secrets),
            *([("release", "an interrupted deployment was not proven and recorded")] if unrecorded else []),
        ]
        return {
            "changed": bool(on_disk) or (decision.changes and (check_mode or _differs(before, after, decision))),
            "action": decision.action,
            "changed_keys": list(dict.fromkeys([*decision.changed_keys, *(key for key, _ in on_disk)])),
            "reasons": [*decision.reasons, *(reason for _, reason in on_disk)],
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
            write_secrets(self._directory, self._wanted.secrets, self._wanted.secrets_owner)
            state, problems = before, list[Problem]()
            if before.status != "running" or before.health not in (None, "healthy"):
                # Started by someone else a moment ago, or going round in circles: only the time will tell.
                state, problems = self._wait(client, before.restart_count)
            if self._is_unrecorded():
                problems = problems or prove(client, state, self._wanted.gpus, self._wanted.proof_command)
                if not problems:
                    self._record()
            if problems:
                raise DeploymentError(problems)
            return state
        wanted = self._wanted
        self._refuse_what_is_taken(client)
        write_secrets(self._directory, wanted.secrets, wanted.secrets_owner)
        write_file(self._file, wanted.definition)
        state, problems = self._bring_up(client, before.restart_count, force=decision.force)
        if problems:
            problems += self._go_back(client, before, old_definition, state)
            raise DeploymentError(problems, changed=True)
        if not wanted.is_rollback:
            self._record()
        return state

    def _is_unrecorded(self) -> bool:
        """Return whether a deployment of this definition was cut off before it was proven and recorded."""
        known = read_releases(self._directory)
        return not self._wanted.is_rollback and all(one.definition != self._wanted.definition for one in known)

    def _record(self) -> None:
        """Keep the deployment that was just proven, to go back to."""
        wanted = self._wanted
        release = new_release(
            wanted.definition,
            wanted.image,
            wanted.gpus,
            wanted.ports,
            now=time.time(),
            proof_command=wanted.proof_command,
        )
        record(self._directory, release, wanted.keep_releases)

    def _refuse_what_is_taken(self, client: DockerServiceClient) -> None:
        """Stop when something that isn't ours has a name, a port or a GPU of the service.

        Raises:
            DeploymentError: Naming each object and its owner.
        """
        refuse_collisions(client, self._wanted.ports)
        if self._wanted.share_gpus:
            return
        processes = [process for process in client.compute_processes() if process.gpu in self._wanted.gpus]
        if processes:
            problems = busy_gpus(processes, self._wanted.gpus, client.own_processes(), container_of_process)
            if problems:
                raise DeploymentError(problems)

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
                return state, [not_well(verdict.reason, why_not_well(client, state))]
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
        # It is judged by what it was proven with: the new command may be the very thing that is wrong.
        known = [one for one in read_releases(self._directory) if one.definition == old_definition]
        self._wanted = replace(
            wanted,
            definition=old_definition,
            image=before.image or "",
            gpus=before.gpus,
            proof_command=known[-1].proof_command if known else wanted.proof_command,
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


def earlier_release(client: DockerServiceClient | None, directory: str, name: str) -> Release:
    """Return the release to go back to, once it is known that its image can be had.

    Raises:
        ReleaseError: There is none.
        DeploymentError: Its image is gone.
    """
    file = Path(directory) / COMPOSE_FILE
    current = file.read_text(encoding="utf-8") if file.is_file() else None
    release = earlier(read_releases(Path(directory)), current, name)
    # With a name before the digest, compose can still pull it.
    if client and client.image_id(release.image) is None and "@" not in release.image:
        message = f"the image {release.image} of release {release.name} is not on the host any more"
        advice = "Keep more of them (opensora_image_keep), or deploy that version by its inventory again."
        raise DeploymentError([Problem("image", "image.missing", "error", message, advice)])
    return release


def of_release(wanted: Wanted, release: Release) -> Wanted:
    """Return the wish to have an earlier release, in the surroundings of the current one."""
    return replace(
        wanted,
        definition=release.definition,
        image=release.image,
        gpus=release.gpus,
        ports=release.ports,
        proof_command=release.proof_command or wanted.proof_command,
        is_rollback=True,
    )


def refuse_collisions(client: DockerServiceClient, ports: Sequence[str]) -> None:
    """Stop when something that isn't ours is in the way.

    Args:
        client: The engine.
        ports: Ports that will be published.

    Raises:
        DeploymentError: Naming each object and its owner.
    """
    owners = client.foreign_owners(ports)
    if not owners:
        own = client.own_ports()
        for port in ports:
            address, number = port.rsplit(":", 2)[0].strip("[]"), int(port.split(":")[-2])
            if number not in own and (who := client.listener(address, number)):
                owners.append(f"port {number} is in use by {who}")
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


def projects_below(client: DockerServiceClient | None, root: str) -> dict[str, str]:
    """Return the folder of each compose project of this role on the host, by its containers and by its files.

    Args:
        client: The engine, or None where there is none.
        root: ``opensora_service_directory``.
    """
    found = client.own_projects(root) if client else {}
    top = Path(root)
    for file in [top / COMPOSE_FILE, *sorted(top.glob(f"*/{COMPOSE_FILE}"))]:
        if file.is_file():
            name = PROJECT if file.parent == top else f"{PROJECT}-{file.parent.name}"
            found.setdefault(name, str(file.parent))
    return found


def remove(
    client: DockerServiceClient | None,
    projects: Mapping[str, str],
    remove_image: bool,
    check_mode: bool,
) -> dict[str, Any]:
    """Remove services, their networks and their compose files, and return the result of the module.

    Args:
        client: The engine, or None where there is none.
        projects: Folder of each compose project.
        remove_image: Whether images built by this project go as well.
        check_mode: Whether to predict only.
    """
    clients = [client.of_project(name, folder) for name, folder in projects.items()] if client else []
    found = [one.project_objects() for one in clients]
    before = {
        "containers": [name for objects in found for name in objects["containers"]],
        "networks": [name for objects in found for name in objects["networks"]],
        "files": [str(path) for folder in projects.values() for path in _own_files(Path(folder))],
        "images": [_image_name(image) for image in client.images(BUILD_LABEL)] if client and remove_image else [],
    }
    changed = any(before.values())
    for one in clients:
        refuse_collisions(one, ())
    if client and not check_mode:
        for one in clients:
            start_unit(one).bring(wanted=False)
            take_down(one)
        _remove_files([Path(folder) for folder in projects.values()])
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


def start_unit(client: DockerServiceClient) -> StartUnit:
    """Return the unit that starts a service's container after the engine."""
    docker = shutil.which("docker") or "/usr/bin/docker"
    return StartUnit(client.project, f"{client.project}-{client.service}-1", docker)


def take_down(client: DockerServiceClient) -> None:
    """Remove containers and networks of a project.

    Raises:
        DeploymentError: Something is still there.
    """
    if any(client.project_objects().values()):
        code, output, errors = client.take_down()
        if code != 0 or any(client.project_objects().values()):
            raise DeploymentError([classify_compose_failure(errors or output)])


def _own_files(folder: Path) -> list[Path]:
    """Return what this role wrote into the folder of a compose project."""
    return [path for name in (COMPOSE_FILE, PREVIOUS_FILE, RELEASES, SECRETS) if (path := folder / name).exists()]


def _remove_files(folders: Sequence[Path]) -> None:
    """Remove what this role wrote into folders, and those that are empty then."""
    for path in (path for folder in folders for path in _own_files(folder)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    # The deepest first: those of several services lie in one.
    for folder in sorted(set(folders), key=lambda path: -len(path.parts)):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _image_name(image: Mapping[str, Any]) -> str:
    return str((image.get("RepoTags") or [image["Id"]])[0])


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


def check_directories(
    entries: Sequence[Mapping[str, Any]], *, take_ownership: bool
) -> list[tuple[Mapping[str, Any], list[Denied]]]:
    """Return the folders that the service's user can't use; they may hold someone's data.

    Args:
        entries: Path, uid, gid and whether the user has to be able to write.
        take_ownership: Whether they are going to be given to the user.

    Raises:
        DeploymentError: They are not, with the command that would correct it.
    """
    found = [(entry, what) for entry in entries if (what := denied(entry))]
    if found and not take_ownership:
        raise DeploymentError([denial_problem(entry, what) for entry, what in found])
    return found


def container_of_process(pid: int) -> str:
    """Return the short ID of the container in which a process of the host runs; empty for none."""
    try:
        return container_in(Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii"))
    except OSError:
        return ""


def differing_secrets(directory: Path, secrets: Mapping[str, str]) -> list[str]:
    """Return the names of the secrets whose files are missing, differ, or are not wanted any more."""
    folder = directory / SECRETS
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    wrong = {name for name, text in secrets.items() if name not in there or (folder / name).read_text() != text}
    return sorted(wrong | (there - set(secrets)))


def write_secrets(directory: Path, secrets: Mapping[str, str], owner: tuple[int, int]) -> None:
    """Write each secret into a file that only the service's user can read.

    A file that is there is written to and not replaced: a running container has it mounted and sees the new text.
    """
    folder = directory / SECRETS
    for name in differing_secrets(directory, secrets):
        path = folder / name
        if name not in secrets:
            path.unlink()
            continue
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(0o400)
        path.chmod(0o400)
        os.chown(path, *owner)
        path.write_text(secrets[name], encoding="utf-8")


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
