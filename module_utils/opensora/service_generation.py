# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Renders a video in the container of the service. Not pure: it runs the application there."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.generation import Request, build_command, failure
from ansible.module_utils.opensora.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible.module_utils.opensora.docker_service_client import DockerServiceClient
    from ansible.module_utils.opensora.service_state import ServiceState

_GRACE_SECONDS = 30
# An MP4 begins with the size of its first box and this word.
_FILE_TYPE_BOX = b"ftyp"


class GenerationError(Exception):
    """No video came out; carries the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def generate(
    client: DockerServiceClient, state: ServiceState, request: Request, processes: int, time_limit: int
) -> tuple[list[str], dict[str, Any]]:
    """Run the application and return the videos on the host and the record of how they were made.

    Args:
        client: The engine.
        state: The running container.
        request: The checked request.
        processes: Number of processes.
        time_limit: Seconds after which the application is ended.

    Raises:
        GenerationError: The application failed, or ended well without a video.
    """
    container = str(state.container_id)
    inspected = client.api.inspect_container(container)
    identifier = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{request.seed}"
    root = PurePosixPath(inspected["Config"].get("WorkingDir") or "/")
    folder = host_path(inspected["Mounts"], root / "samples" / identifier)
    command = build_command(request, processes, f"samples/{identifier}")
    # Ended from inside: a process started by exec outlives the one who asked for it.
    limited = ["timeout", f"--kill-after={_GRACE_SECONDS}", str(time_limit), *command]
    client.api.timeout = time_limit + 2 * _GRACE_SECONDS
    started = time.monotonic()
    code, output = client.execute(container, limited)
    seconds = time.monotonic() - started
    if code != 0:
        raise GenerationError(failure(output, code))
    videos = sorted(str(path) for path in folder.rglob("*.mp4") if is_video(path))
    if not videos:
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
        "image": client.image_digest(str(state.image_id)),
        "gpus": list(state.gpus),
        "seconds": round(seconds, 1),
        "videos": [str(Path(video).relative_to(folder)) for video in videos],
        "command": command,
    }
    return videos, record


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
