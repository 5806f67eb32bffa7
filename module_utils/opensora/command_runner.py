# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Run commands with a time limit that holds even when a command can't be killed (a driver call stuck in the kernel)."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from pathlib import Path
from subprocess import DEVNULL, Popen, TimeoutExpired
from typing import TYPE_CHECKING

from ansible.module_utils.opensora.host_probe import CommandResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible.module_utils.opensora.host_probe import Runner

_FOLDERS = ("usr/sbin", "usr/bin", "sbin", "bin")
_LOCAL_FOLDERS = ("usr/local/sbin", "usr/local/bin")
_KILL_GRACE_SECONDS = 1.0


def find_command(root: str, name: str) -> str | None:
    """Return the full path of a command, or null where it does not exist.

    Args:
        root: ``/`` for this machine; otherwise a folder that stands for a host, from which alone commands are taken.
        name: Bare name of the command.
    """
    folders = (_LOCAL_FOLDERS if root == "/" else ()) + _FOLDERS
    for folder in folders:
        place = Path(root) / folder / name
        if place.is_file() and os.access(place, os.X_OK):
            return str(place)
    return None


def command_runner(root: str, environment: Mapping[str, str], limits: Mapping[str, float], limit: float) -> Runner:
    """Return a function that runs a command of the host below a root.

    Args:
        root: ``/``, or the folder that stands for a host.
        environment: Variables to add to this process's own.
        limits: Seconds that a command of this name may take.
        limit: Seconds that any other command may take.
    """
    variables = {**os.environ, "LC_ALL": "C", **environment}

    def run(argv: Sequence[str]) -> CommandResult:
        command = find_command(root, argv[0])
        if command is None:
            return CommandResult()
        # Files, not pipes: a grandchild that keeps a pipe open would hold us longer than the limit.
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            try:
                process = Popen(  # noqa: S603  the path is one of the fixed folders, the arguments are ours
                    [command, *argv[1:]],
                    stdin=DEVNULL,
                    stdout=output,
                    stderr=errors,
                    env=variables,
                    start_new_session=True,
                )
            except OSError as error:
                return CommandResult(rc=126, stderr=str(error))
            rc: int | None = None
            try:
                rc = process.wait(limits.get(argv[0], limit))
            except TimeoutExpired:
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                with contextlib.suppress(TimeoutExpired):
                    process.wait(_KILL_GRACE_SECONDS)
            output.seek(0)
            errors.seek(0)
            return CommandResult(
                rc=rc,
                stdout=output.read().decode("utf-8", "replace"),
                stderr=errors.read().decode("utf-8", "replace"),
                timed_out=rc is None,
            )

    return run
