# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Renders videos in the container of the service. Not pure: it runs the application there."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora import generation_scripts as scripts
from ansible.module_utils.opensora.generation import (
    LAUNCHER_FILE,
    TABLE_FILE,
    Execution,
    build_command,
    failure,
    is_parallel,
    places,
    resolve_processes,
)
from ansible.module_utils.opensora.generation_progress import (
    Event,
    Pace,
    duration,
    is_bar,
    parse_line,
    shown_prompt,
    split_output,
    steps_text,
)
from ansible.module_utils.opensora.generation_runs import Item, judge, make_runs, table_text
from ansible.module_utils.opensora.problems import Problem

if TYPE_CHECKING:
    from ansible.module_utils.opensora.docker_service_client import DockerServiceClient
    from ansible.module_utils.opensora.service_state import ServiceState

# Only root reads here: the journals hold prompts.
RUN_FOLDER = Path("/run/opensora-site-generation")
BUILD_KEY_LABEL = "org.opensora-site.build-key"
RECORD_FILE = scripts.RECORD_FILE
_GRACE_SECONDS = 30
_LINES_KEPT = 200
_PICTURES_FOLDER = "pictures"
# An MP4 begins with the size of its first box and this word.
_FILE_TYPE_BOX = b"ftyp"


class GenerationError(Exception):
    """No video came out; carries the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True)
class Place:
    """The container of a service, as far as videos are concerned.

    Attributes:
        container: Its ID.
        root: Its working directory, which holds the application.
        samples: Folder of the host that is mounted for the samples.
        owner: User and group of what is put there.
        image: The image by its digest.
        identity: What tells the image from others on every host: its build key, else the digest. The same image can
            have another digest on a host to which it was handed over without a registry.
        gpus: UUIDs of its GPUs.
    """

    container: str
    root: PurePosixPath
    samples: Path
    owner: tuple[int, int]
    image: str
    identity: str
    gpus: tuple[str, ...]


def read_place(client: DockerServiceClient, state: ServiceState) -> Place:
    """Return where the videos of a running service are made.

    Args:
        client: The engine.
        state: The running container.

    Raises:
        GenerationError: No folder of the host is mounted for the samples.
    """
    container = str(state.container_id)
    inspected = client.api.inspect_container(container)
    root = PurePosixPath(inspected["Config"].get("WorkingDir") or "/")
    samples = host_path(inspected["Mounts"], root / "samples" / RECORD_FILE).parent
    image = client.image_digest(str(state.image_id))
    key = client.image_labels(str(state.image_id)).get(BUILD_KEY_LABEL)
    user, group = (client.execute(container, ["id", option])[1].strip() for option in ("-u", "-g"))
    owner = (int(user), int(group)) if user.isdigit() and group.isdigit() else (0, 0)
    return Place(container, root, samples, owner, image, key or image, tuple(state.gpus))


def read_records(client: DockerServiceClient, place: Place, identifiers: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the records of those videos that lie whole on the host.

    Args:
        client: The engine.
        place: Where.
        identifiers: The videos to look for.
    """
    command = ["python", "-c", scripts.RECORDS, str(place.root / "samples"), *identifiers]
    code, output = client.execute(place.container, command)
    try:
        found = json.loads(output.strip().splitlines()[-1]) if code == 0 else {}
    except (ValueError, IndexError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        identifier: found[identifier]
        for identifier in identifiers
        if identifier in found and is_whole(place, identifier)
    }


def lock_file(project: str) -> Path:
    """Return the file whose lock the one run has that makes videos for a compose project."""
    return RUN_FOLDER / f"{project}.lock"


def begun_file(project: str) -> Path:
    """Return the file in which that run writes what it makes."""
    return RUN_FOLDER / f"{project}.begun"


def read_begun(project: str) -> list[str]:
    """Return the identifiers of the videos that a run is making for a compose project.

    Args:
        project: Name of the project.
    """
    try:
        with lock_file(project).open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:  # that run has it
        pass
    except OSError:
        return []
    else:
        return []
    try:
        return [str(identifier) for identifier in json.loads(begun_file(project).read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        return []


def is_whole(place: Place, identifier: str) -> bool:
    """Return whether a video lies in its folder on the host. A link is none: the container could aim it at any file."""
    path = place.samples / identifier / scripts.VIDEO_FILE
    return (
        path.is_file()
        and path.resolve() == place.samples.resolve() / identifier / scripts.VIDEO_FILE
        and is_video(path)
    )


def host_path(mounts: Sequence[Mapping[str, Any]], path: PurePosixPath) -> Path:
    """Return where a path of the container lies on the host.

    Args:
        mounts: Mounts of the container as the engine reports them.
        path: Absolute path in the container.

    Raises:
        GenerationError: No mount holds the path, so that nothing written there would reach the host.
    """
    holders = [m for m in mounts if PurePosixPath(m["Destination"]) in path.parents]
    if not holders:
        message = f"no folder of the host is mounted for {path} of the container"
        raise GenerationError(Problem("compose", "generation.no_mount", "error", message, "Run playbooks/service.yml."))
    deepest = max(holders, key=lambda mount: len(mount["Destination"]))
    return Path(deepest["Source"]) / path.relative_to(deepest["Destination"])


def is_video(path: Path) -> bool:
    """Return whether a file begins like an MP4."""
    with path.open("rb") as stream:
        return _FILE_TYPE_BOX in stream.read(12)


@dataclass
class Output:
    """What one run of the application has said so far.

    Attributes:
        lines: Its last lines, without bars.
        current: Position of the video that it makes; -1 before the first.
        started: When that video began.
        loaded: When the first one began.
        saved: Identifiers of the videos that it has written, each with the seconds that it took.
        exit_code: How it ended.
    """

    lines: list[str] = field(default_factory=list)
    current: int = -1
    started: float = 0.0
    loaded: float = 0.0
    saved: dict[str, float] = field(default_factory=dict)
    exit_code: int = 0


class Generation:
    """Makes the videos of one service.

    Args:
        connect: Gives a client of its own to each place that works at the same time.
        place: Where.
        execution: How.
        time_limit: Seconds for each video.
        pictures: Folder of the host with the pictures, each named by its digest.
        host: Name of the host for the records.
        say: Shows a line to the user.
    """

    def __init__(
        self,
        connect: Callable[[], DockerServiceClient],
        place: Place,
        execution: Execution,
        *,
        time_limit: int,
        pictures: Path | None,
        host: str,
        say: Callable[[str], None],
    ) -> None:
        self._connect = connect
        self._place = place
        self._execution = execution
        self._time_limit = time_limit
        self._pictures = pictures
        self._host = host
        self._say = say
        self._numbers: dict[str, str] = {}
        self.records: dict[str, dict[str, Any]] = {}
        self.problems: dict[str, Problem] = {}

    def make(self, items: Sequence[Item]) -> None:
        """Make videos; afterwards each is in ``records`` or in ``problems``.

        Args:
            items: The videos.
        """
        self._numbers = {item.identifier: f"{number}/{len(items)}" for number, item in enumerate(items, start=1)}
        groups: dict[tuple[tuple[str, ...], ...], list[Item]] = {}
        for item in items:
            config = item.request.config
            processes, problems = resolve_processes(config, self._execution.processes, len(self._place.gpus))
            if problems:
                self.problems[item.identifier] = problems[0]
                continue
            groups.setdefault(tuple(places(self._place.gpus, processes, self._execution)), []).append(item)
        for where, group in groups.items():
            self._make_group(group, where)

    def _make_group(self, items: Sequence[Item], where: Sequence[tuple[str, ...]]) -> None:
        """Make videos on several places, each of which takes the next run when it has finished one."""
        waiting = list(where)
        with ThreadPoolExecutor(max_workers=len(where)) as pool:

            def work(run: list[Item]) -> None:
                gpus = waiting.pop(0)
                try:
                    self._make_run(run, gpus)
                except Exception as error:  # noqa: BLE001 -- whatever the engine throws, the other videos go on
                    problem = Problem("engine", "engine.refused", "error", str(error), "Run playbooks/verify.yml.")
                    self.problems.update({i.identifier: problem for i in run if i.identifier not in self.records})
                finally:
                    waiting.append(gpus)

            list(pool.map(work, make_runs(items, len(where))))

    def _make_run(self, items: Sequence[Item], gpus: tuple[str, ...]) -> None:
        client = self._connect()
        waiting = tuple(items)
        while waiting:
            key = hashlib.sha256("\n".join(item.identifier for item in waiting).encode()).hexdigest()[:12]
            folder = f"samples/run-{key}"
            try:
                problem, has_begun = self._start(client, waiting, gpus, folder)
            finally:
                client.execute(self._place.container, ["python", "-c", scripts.REMOVE, folder])
            if problem is None:
                return
            verdict = judge(waiting, self.records.keys() | self.problems.keys(), problem, has_begun=has_begun)
            self.problems.update(verdict.failed)
            for identifier, reason in verdict.failed.items():
                self._say(f"{self._label(waiting, identifier)} failed: {reason.message}")
            waiting = verdict.retry

    def _start(
        self, client: DockerServiceClient, items: Sequence[Item], gpus: tuple[str, ...], folder: str
    ) -> tuple[Problem | None, bool]:
        """Run the application once and return why it failed, if it did, and whether it came to the first video."""
        self._put(client, items, folder)
        processes = len(gpus) if is_parallel(items[0].request.config) else 1
        command = build_command(items[0].request, self._execution, processes, folder)
        limit = self._time_limit * len(items)
        # Ended from inside: a process started by exec outlives the one who asked for it.
        limited = ["timeout", f"--kill-after={_GRACE_SECONDS}", str(limit), *command]
        client.api.timeout = limit + 2 * _GRACE_SECONDS
        environment = {"LC_ALL": "C.UTF-8"}
        if len(gpus) < len(self._place.gpus):
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        began, moment = time.monotonic(), datetime.now(timezone.utc)
        created = client.api.exec_create(self._place.container, limited, environment=environment)
        output = Output()
        pace, rest = Pace(), ""
        details = {"started": moment.isoformat(timespec="seconds"), "gpus": list(gpus), "command": command}
        for chunk in client.api.exec_start(created["Id"], stream=True):
            lines, rest = split_output(rest + chunk.decode("utf-8", "replace"))
            for line in lines:
                self._read_line(line, items, output, pace)
                while output.saved:
                    identifier, seconds = output.saved.popitem()
                    timing = {"seconds": round(seconds, 1), "loading_seconds": round(output.loaded - began, 1)}
                    self._finish(client, self._item(items, identifier), folder, {**details, **timing})
        output.lines += split_output(rest + "\n")[0]
        output.exit_code = int(client.api.exec_inspect(created["Id"])["ExitCode"] or 0)
        self._collect(client, items, folder, {**details, "seconds": round(time.monotonic() - began, 1)}, output)
        done = self.records.keys() | self.problems.keys()
        if all(item.identifier in done for item in items):
            return None, True
        return failure("\n".join(output.lines), output.exit_code), output.current >= 0

    def _read_line(self, line: str, items: Sequence[Item], output: Output, pace: Pace) -> None:
        event = parse_line(line)
        now = time.monotonic()
        if not is_bar(line):
            output.lines = [*output.lines[-_LINES_KEPT:], line]
        if event is None:
            return
        if event.kind == "phase" and output.current < 0:
            self._say(f"{self._label(items, items[0].identifier)} {event.text}")
        elif event.kind == "generating":
            output.current = min(output.current + 1, len(items) - 1)
            output.started = now
            output.loaded = output.loaded or now
        elif event.kind == "steps" and output.current >= 0 and pace.is_due(event, now):
            self._say(f"{self._label(items, items[output.current].identifier)} {steps_text(event)}")
        elif event.kind == "saved":
            self._read_saved(event, items, output, now)

    @staticmethod
    def _read_saved(event: Event, items: Sequence[Item], output: Output, now: float) -> None:
        identifier = PurePosixPath(event.text).stem
        if any(item.identifier == identifier for item in items):
            output.saved[identifier] = now - output.started

    def _finish(self, client: DockerServiceClient, item: Item, folder: str, details: Mapping[str, Any]) -> int:
        """Move a video into its folder with its record, and return the exit code of that."""
        request, identifier = item.request, item.identifier
        record = {
            "id": identifier,
            "name": request.name,
            "prompt": request.prompt,
            "config": request.config,
            "seed": request.seed,
            "num_frames": request.num_frames,
            "aspect_ratio": request.aspect_ratio,
            "picture": request.picture or None,
            "offload_model": self._execution.offload_model,
            "processes": len(details["gpus"]) if is_parallel(request.config) else 1,
            "image": self._place.image,
            "image_identity": self._place.identity,
            "host": self._host,
            **details,
        }
        source = self._video_path(folder, item)
        command = ["python", "-c", scripts.FINISH, source, f"samples/{identifier}", json.dumps(record)]
        code, output = client.execute(self._place.container, command)
        lines = output.strip().splitlines()
        if code == 0 and lines and is_whole(self._place, identifier):
            self.records[identifier] = json.loads(lines[-1])
            self._say(
                f"{self._numbers[identifier]} {shown_prompt(request.prompt)} ready in {duration(details['seconds'])}"
            )
            return 0
        if code not in (0, scripts.NO_VIDEO):
            message = "the application left a video that can't be decoded"
            advice = "Render it again with -e again=true; the last lines say what the decoder met."
            self.problems[identifier] = Problem(
                "application", "generation.undecodable", "error", message, advice, tuple(lines[-10:])
            )
        return code or scripts.NO_VIDEO

    def _collect(
        self,
        client: DockerServiceClient,
        items: Sequence[Item],
        folder: str,
        details: Mapping[str, Any],
        output: Output,
    ) -> None:
        """Look for videos that the application did not tell of, and for those that are missing without a word."""
        for item in items:
            if item.identifier in self.records or item.identifier in self.problems:
                continue
            ended = self._finish(client, item, folder, details)
            if output.exit_code != 0:
                # Half a video of a run that failed is that run's failure.
                self.problems.pop(item.identifier, None)
            elif ended == scripts.NO_VIDEO:
                message = f"the application ended well but left no video {self._video_path(folder, item)}"
                advice = "Read its last lines; it ignores options it doesn't know."
                self.problems[item.identifier] = Problem(
                    "application", "generation.no_video", "error", message, advice, tuple(output.lines[-40:])
                )

    @staticmethod
    def _video_path(folder: str, item: Item) -> str:
        resolution = "768px" if "768px" in item.request.config or item.request.config == "high_compression" else "256px"
        return f"{folder}/video_{resolution}/{item.identifier}.mp4"

    @staticmethod
    def _item(items: Sequence[Item], identifier: str) -> Item:
        return next(item for item in items if item.identifier == identifier)

    def _label(self, items: Sequence[Item], identifier: str) -> str:
        return f"{self._numbers[identifier]} {shown_prompt(self._item(items, identifier).request.prompt)}"

    def _put(self, client: DockerServiceClient, items: Sequence[Item], folder: str) -> None:
        """Put table, launcher and pictures into the container, through the engine: no link leads it astray."""
        name = PurePosixPath(folder).name
        files = {LAUNCHER_FILE: scripts.LAUNCHER.encode()}
        paths = {}
        for digest in sorted({item.request.picture for item in items if item.request.picture}):
            file = self._picture(digest)
            paths[digest] = f"{folder}/{_PICTURES_FOLDER}/{file.name}"
            files[f"{_PICTURES_FOLDER}/{file.name}"] = file.read_bytes()
        files[TABLE_FILE] = table_text(items, paths).encode()
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for directory in (name, f"{name}/{_PICTURES_FOLDER}"):
                self._add(archive, directory, None)
            for file_name, content in files.items():
                self._add(archive, f"{name}/{file_name}", content)
        client.api.put_archive(self._place.container, str(self._place.root / "samples"), stream.getvalue())

    def _add(self, archive: tarfile.TarFile, name: str, content: bytes | None) -> None:
        entry = tarfile.TarInfo(name)
        entry.uid, entry.gid = self._place.owner
        entry.mtime = int(time.time())
        if content is None:
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        else:
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))

    def _picture(self, digest: str) -> Path:
        found = sorted(self._pictures.glob(f"{digest}.*")) if self._pictures else []
        if not found or hashlib.sha256(found[0].read_bytes()).hexdigest() != digest:
            raise GenerationError(
                Problem(
                    "configuration",
                    "generation.no_picture",
                    "error",
                    f"the picture {digest} did not come",
                    "Run again.",
                )
            )
        return found[0]
