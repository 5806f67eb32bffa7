# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Run ``docker buildx build`` and follow it line by line, with a log for people and events for a terminal."""

from __future__ import annotations

import ctypes
import queue
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from ansible.module_utils.opensora.build_cache import export_argument
from ansible.module_utils.opensora.buildx_progress import BuildProgress, Event
from ansible.module_utils.opensora.host_lock import Reporter, Turn

# A running step is shown again after this many seconds, so that a long one is seen to live.
HEARTBEAT_SECONDS = 20.0
_POLL_SECONDS = 2.0
_GRACE_SECONDS = 20.0
_PR_SET_PDEATHSIG = 1
# Loaded before a process is split: its child may not load anything.
_LIBC = ctypes.CDLL(None)


class BuildTimeoutError(Exception):
    """A build took longer than allowed."""


def buildx_arguments(
    *,
    docker: str,
    context: str,
    tag: str,
    target: str,
    platform: str,
    labels: Mapping[str, str],
    build_arguments: Mapping[str, str],
    inherited_arguments: Sequence[str],
    metadata_file: str,
    secrets: Mapping[str, str] | None = None,
    cache_from: Sequence[str] = (),
    cache_to: Sequence[str] = (),
    use_cache: bool = True,
) -> list[str]:
    """Return the command line of a build.

    Args:
        docker: Path of the engine's client.
        context: Folder of the build context with the Dockerfile in it.
        tag: Name that the result gets.
        target: Stage to build; empty for the last.
        platform: Such as ``linux/amd64``.
        labels: Labels of the result.
        build_arguments: Build arguments with values.
        inherited_arguments: Names of build arguments whose values come from the environment, where no process list
            shows them.
        metadata_file: Where the builder writes what it made.
        secrets: Path of the file of each secret by its id.
        cache_from: Where cached steps are taken from.
        cache_to: Where steps are put.
        use_cache: Whether a step that the builder still has may stand for the step itself.
    """
    command = [docker, "buildx", "build", "--builder", "default", "--progress", "rawjson", "--load"]
    # Attestations would give the same content another digest at every build.
    command += ["--provenance=false", "--sbom=false", "--platform", platform, "--tag", tag]
    command += ["--metadata-file", metadata_file, "--file", f"{context}/Dockerfile"]
    if target:
        command += ["--target", target]
    if not use_cache:
        command.append("--no-cache")
    for entry in cache_from:
        command += ["--cache-from", entry]
    for entry in cache_to:
        command += ["--cache-to", export_argument(entry)]
    for name, path in sorted((secrets or {}).items()):
        command += ["--secret", f"id={name},src={path}"]
    for name, value in sorted(labels.items()):
        command += ["--label", f"{name}={value}"]
    for name, value in sorted(build_arguments.items()):
        command += ["--build-arg", f"{name}={value}"]
    for name in sorted(inherited_arguments):
        command += ["--build-arg", name]
    return [*command, context]


def write_context(folder: Path, dockerfile: str, files: Mapping[str, str]) -> None:
    """Write a build context anew, with nothing else in it.

    Args:
        folder: Folder of the context; it is emptied first.
        dockerfile: Text of the Dockerfile.
        files: Text of every other file by relative path.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in {**files, "Dockerfile": dockerfile}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)


def run_build(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    deadline: float,
    reporter: Reporter,
    *,
    turn: Turn | None = None,
) -> tuple[int, BuildProgress]:
    """Run a build and return its exit status and all that is known of its steps.

    A build ends with the run that started it: on an error, a signal, and by the kernel where the run itself is killed.
    Until its processes are gone they keep the turn, so the next run does not start beside them.

    Args:
        command: See buildx_arguments().
        environment: Whole environment of the process.
        log: File that gets everything that steps print.
        deadline: Monotonic time at which the build is ended.
        reporter: Is told about steps.
        turn: The lock that the build holds on to.

    Raises:
        BuildTimeoutError: The build took too long; it was ended.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as log_file:
        log.chmod(0o644)
        log_file.write(f"=== {shlex.join(command)}\n")
        watcher = _Watcher(log_file, reporter)
        process = subprocess.Popen(  # noqa: S603 (a list, no shell)
            list(command),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            pass_fds=[turn.file] if turn else [],
            preexec_fn=_end_with_parent,  # noqa: PLW1509 (no thread has been started yet)
        )
        try:
            lines: queue.Queue[str | None] = queue.Queue()
            threading.Thread(target=_read, args=(process.stderr, lines), daemon=True).start()
            while True:
                try:
                    line = lines.get(timeout=_POLL_SECONDS)
                except queue.Empty:
                    line = ""
                if line is None:
                    break
                watcher.take(line)
                if time.monotonic() > deadline:
                    raise BuildTimeoutError("the build took longer than allowed; finished steps stay in the cache")
            return process.wait(), watcher.progress
        finally:
            _end(process)


class _Watcher:
    """Sorts what a build prints into the log and into events for a person."""

    def __init__(self, log: IO[str], reporter: Reporter) -> None:
        self.progress = BuildProgress()
        self._log = log
        self._reporter = reporter
        self._cached = 0
        self._shown = time.monotonic()

    def take(self, line: str) -> None:
        """Take one line, or an empty one when there was none for a while."""
        for item in self.progress.feed(line):
            if isinstance(item, Event):
                self._event(item)
            else:
                self._log.write(self._reporter.hide(item) + "\n")
        self._log.flush()
        if time.monotonic() - self._shown >= HEARTBEAT_SECONDS:
            for event in self.progress.running(time.time())[:1]:
                self._event(event)

    def _event(self, event: Event) -> None:
        self._shown = time.monotonic()
        if event.state == "cached":
            self._cached += 1
            return
        if self._cached:
            self._reporter.say(f"{self._cached} step{'s' if self._cached > 1 else ''} from the cache")
            self._cached = 0
        self._reporter.say(**event.as_dict())


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _end_with_parent() -> None:
    """Have the kernel end this process when its parent is gone."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(process: subprocess.Popen[str]) -> None:
    """End a process that still runs, and wait for it."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
