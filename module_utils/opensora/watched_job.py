# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Run a module as a job on a host and show what it reports while it runs: the control node's side.

Ansible shows a task's output when the task has ended. Here the module runs as an asynchronous job that appends one
JSON line a step to a private file, and what is new in that file is shown. A job goes on when the connection to the host
breaks.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping
from typing import Any

# A job ends by itself at its timeout; it may need this much longer to say so.
GRACE_SECONDS = 120
# Quick steps are seen as they pass; a long build is asked more rarely.
POLL_SECONDS = (1.0, 1.0, 2.0, 2.0, 3.0)
# Polls in a row that may fail before the host counts as lost.
LOST_POLLS = 20
# A job that ended this long ago and whose result is still there has lost its control node.
FORGOTTEN_MINUTES = 10
JOB_KEYS = ("ansible_job_id", "results_file", "started", "finished", "_ansible_no_log")


class WatchedJob:
    """Runs one module as a job.

    Args:
        action: The action plugin whose task this is; it brings the connection.
        host: Name of the host; it stands before every line.
        display: Ansible's display.
        variables: Variables of the task.
        is_shown: Whether lines are shown at all.
    """

    def __init__(
        self, action: Any, host: str, display: Any, variables: Mapping[str, Any], *, is_shown: bool = True
    ) -> None:
        self._action = action
        self._host = host
        self._display = display
        self._variables = dict(variables)
        self._is_shown = is_shown

    def say(self, line: str) -> None:
        """Show a line to the user."""
        if self._is_shown:
            self._display.display(f"{self._host} | {line}")

    def run(self, module: str, arguments: Mapping[str, Any], timeout: int) -> dict[str, Any]:
        """Run the module, follow it to its end and return its result.

        Args:
            module: Name of the module; it takes ``_progress_path``.
            arguments: Its arguments.
            timeout: Seconds after which the module ends by itself.
        """
        report = self._execute("ansible.legacy.tempfile", state="file", prefix="opensora-site.", suffix=".progress")
        if report.get("failed"):
            return report
        path = str(report["path"])
        self._action._low_level_execute_command(left_overs_command(self._folder))
        limit = timeout + GRACE_SECONDS
        task = self._action._task
        task.async_val = limit
        try:
            job = dict(
                self._action._execute_module(
                    module_name=module,
                    module_args={**arguments, "_progress_path": path},
                    task_vars=self._variables,
                    wrap_async=True,
                )
            )
        finally:
            task.async_val = 0
        identifier = job.get("ansible_job_id")
        if not identifier:
            self._execute("ansible.legacy.file", path=path, state="absent")
            return job
        result = self._follow(str(identifier), path, time.monotonic() + limit)
        # A host that was lost keeps its job and its file: the build goes on there.
        if not result.get("unreachable"):
            self._job(str(identifier), "cleanup")
            self._execute("ansible.legacy.file", path=path, state="absent")
        return {key: value for key, value in result.items() if key not in JOB_KEYS}

    def _follow(self, identifier: str, path: str, deadline: float) -> dict[str, Any]:
        seen = lost = polls = 0
        while True:
            time.sleep(POLL_SECONDS[min(polls, len(POLL_SECONDS) - 1)])
            polls += 1
            try:
                status = self._job(identifier, "status")
                seen += self._show(path, seen)
                lost = 0
            except Exception as error:
                # One poll in a build of an hour may meet a network that is just being restarted.
                lost += 1
                if lost >= LOST_POLLS:
                    raise
                self._display.vv(f"{self._host} | the connection broke, asking again: {error}")
                continue
            if status.get("finished") or status.get("failed"):
                self._show(path, seen)
                return status
            if time.monotonic() > deadline:
                return {"failed": True, "msg": f"The job {identifier} did not end in time; it may still run."}

    def _job(self, identifier: str, mode: str) -> dict[str, Any]:
        return self._execute(
            "ansible.legacy.async_status",
            jid=identifier,
            mode=mode,
            _async_dir=self._folder,
        )

    @property
    def _folder(self) -> str:
        """Ansible's folder of jobs on the host."""
        return str(self._action.get_shell_option("async_dir", default="~/.ansible_async"))

    def _execute(self, module: str, **arguments: Any) -> dict[str, Any]:
        return dict(self._action._execute_module(module_name=module, module_args=arguments, task_vars=self._variables))

    def _show(self, path: str, seen: int) -> int:
        """Show the lines that are new and return their length in bytes."""
        command = f"tail -c +{seen + 1} {shlex.quote(path)} 2>/dev/null || true"
        # A connection with a terminal ends each line with a carriage return, which is not in the file.
        text = str(self._action._low_level_execute_command(command).get("stdout", "")).replace("\r\n", "\n")
        whole = text[: text.rfind("\n") + 1]
        for line in whole.splitlines():
            self.say(_text_of(line))
        return len(whole.encode())


def left_overs_command(folder: str) -> str:
    """Return the shell command that removes what jobs left whose control node was killed: their results, their lines.

    A result names the file of the job's lines, because that is one of the module's arguments. One that is not over, or
    that is nobody's of this project, names none.

    Args:
        folder: Ansible's folder of jobs; ``~`` at its beginning is the user's home.
    """
    home, rest = ("~/", folder[2:]) if folder.startswith("~/") else ("", folder)
    return (
        f"find {home}{shlex.quote(rest)} -maxdepth 1 -type f -mmin +{FORGOTTEN_MINUTES} 2>/dev/null"
        " | while read -r job; do "
        'lines=$(grep -o \'/[^" ]*/opensora-site\\.[A-Za-z0-9_]*\\.progress\' "$job" | head -n 1); '
        'test -z "$lines" || rm -f "$job" "$lines"; done'
    )


def _text_of(line: str) -> str:
    """Return what a line of the progress file says to a person."""
    try:
        return str(json.loads(line)["line"])
    except (ValueError, KeyError, TypeError):
        return line
