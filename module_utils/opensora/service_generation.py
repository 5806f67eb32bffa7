# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Renders a video in the container of the service. Not pure: it runs the application there."""

from __future__ import annotations

import json
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.generation import Request, build_command, failure, request_identifier
from ansible.module_utils.opensora.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible.module_utils.opensora.docker_service_client import DockerServiceClient
    from ansible.module_utils.opensora.service_state import ServiceState

_GRACE_SECONDS = 30
# An MP4 begins with the size of its first box and this word.
_FILE_TYPE_BOX = b"ftyp"
RECORD_FILE = "record.json"
# Runs in the container, as its user: decodes every video to the end and writes the record beside them.
EXAMINE = f"""
import json, pathlib, sys
import av
folder, record = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
record["videos"] = []
for path in sorted(folder.rglob("*.mp4")):
    with av.open(str(path)) as video:
        stream = video.streams.video[0]
        frames = sum(1 for _ in video.decode(stream))
        record["videos"].append({{
            "file": str(path.relative_to(folder)),
            "frames": frames,
            "seconds": round(frames / float(stream.average_rate), 3),
            "width": stream.width,
            "height": stream.height,
        }})
    if not frames:
        sys.exit(f"{{path}} has no frames")
(folder / "{RECORD_FILE}").write_text(json.dumps(record))
print(json.dumps(record))
"""


class GenerationError(Exception):
    """No video came out; carries the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def generate(
    client: DockerServiceClient,
    state: ServiceState,
    request: Request,
    processes: int,
    time_limit: int,
    *,
    again: bool,
) -> tuple[bool, list[str], dict[str, Any]]:
    """Return whether a video was rendered, the videos on the host and the record of how they were made.

    The same request with the same image has the same folder; a video that lies there whole is not rendered twice.

    Args:
        client: The engine.
        state: The running container.
        request: The checked request.
        processes: Number of processes.
        time_limit: Seconds after which the application is ended.
        again: Render although the video is there.

    Raises:
        GenerationError: The application failed, or ended well without a video that can be decoded.
    """
    container = str(state.container_id)
    inspected = client.api.inspect_container(container)
    image = client.image_digest(str(state.image_id))
    identifier = request_identifier(request, processes, image)
    root = PurePosixPath(inspected["Config"].get("WorkingDir") or "/")
    folder = host_path(inspected["Mounts"], root / "samples" / identifier)
    record = None if again else existing_record(client, container, folder, identifier)
    if record is not None:
        return False, [str(folder / video["file"]) for video in record["videos"]], record

    command = build_command(request, processes, f"samples/{identifier}")
    # Ended from inside: a process started by exec outlives the one who asked for it.
    limited = ["timeout", f"--kill-after={_GRACE_SECONDS}", str(time_limit), *command]
    client.api.timeout = time_limit + 2 * _GRACE_SECONDS
    started = time.monotonic()
    code, output = client.execute(container, limited)
    seconds = time.monotonic() - started
    if code != 0:
        raise GenerationError(failure(output, code))
    if not find_videos(folder):
        message = f"the application ended well but left no video in {folder}"
        lines = tuple(output.strip().splitlines()[-40:])
        advice = "Read its last lines; it ignores options it doesn't know."
        raise GenerationError(Problem("application", "generation.no_video", "error", message, advice, lines))
    record = {
        "id": identifier,
        "prompt": request.prompt,
        "config": request.config,
        "seed": request.seed,
        "num_frames": request.num_frames,
        "aspect_ratio": request.aspect_ratio,
        "offload_model": request.offload_model,
        "processes": processes,
        "image": image,
        "gpus": list(state.gpus),
        "seconds": round(seconds, 1),
        "command": command,
    }
    record = examine(client, container, f"samples/{identifier}", record)
    return True, [str(folder / video["file"]) for video in record["videos"]], record


def existing_record(
    client: DockerServiceClient, container: str, folder: Path, identifier: str
) -> dict[str, Any] | None:
    """Return the record that an earlier run left beside its videos, or None when one of them is not there."""
    code, output = client.execute(container, ["cat", f"samples/{identifier}/{RECORD_FILE}"])
    if code != 0:
        return None
    try:
        record = json.loads(output)
        files = {video["file"] for video in record["videos"]}
    except (ValueError, KeyError, TypeError):
        return None
    found = {str(path.relative_to(folder)) for path in find_videos(folder)}
    return record if record.get("id") == identifier and files and files <= found else None


def examine(client: DockerServiceClient, container: str, folder: str, record: dict[str, Any]) -> dict[str, Any]:
    """Decode the videos in the container, write the record beside them, and return it with what was seen.

    Args:
        client: The engine.
        container: The container of the service, which has PyAV, as the application writes its videos with it.
        folder: Folder of the videos in the container.
        record: How they were made.

    Raises:
        GenerationError: A video can't be decoded.
    """
    code, output = client.execute(container, ["python", "-c", EXAMINE, folder, json.dumps(record)])
    lines = output.strip().splitlines()
    if code != 0 or not lines:
        message = "the application left a video that can't be decoded"
        advice = "Render it again with -e again=true; the last lines say what the decoder met."
        raise GenerationError(
            Problem("application", "generation.undecodable", "error", message, advice, tuple(lines[-10:]))
        )
    examined: dict[str, Any] = json.loads(lines[-1])
    return examined


def find_videos(folder: Path) -> list[Path]:
    """Return the MP4s of a folder on the host. Links are left out: the container could aim them at any file."""
    return sorted(
        path
        for path in folder.rglob("*.mp4")
        if path.is_file() and path.resolve() == folder.resolve() / path.relative_to(folder) and is_video(path)
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
