# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Run the module opensora_image as a job on the host and show each step of a build or a pull while it runs.

Ansible shows a task's output when the task has ended. This plugin starts the module as an asynchronous job, lets it
append one JSON line a step to a private file, and prints what is new in that file. A job goes on when the connection
to the host breaks.
"""

from __future__ import annotations

import json
import shlex
import time
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

DEFAULT_TIMEOUT_SECONDS = 14400
# The module ends a build by itself at its timeout; the job may need this much longer to say so.
GRACE_SECONDS = 120
# Quick steps are seen as they pass; a long build is asked more rarely.
POLL_SECONDS = (1.0, 1.0, 2.0, 2.0, 3.0)
# Polls in a row that may fail before the host counts as lost.
LOST_POLLS = 20
JOB_KEYS = ("ansible_job_id", "results_file", "started", "finished", "_ansible_no_log")


class ActionModule(ActionBase):
    """Wraps the module of the same name."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module, watched when somebody may want to watch."""
        super().run(tmp, task_vars)
        del tmp
        variables = task_vars or {}
        arguments = dict(self._task.args)
        if self._task.check_mode or not boolean(arguments.get("progress", True), strict=False):
            return dict(self._execute_module(module_args=arguments, task_vars=variables))

        report = self._execute_module(
            module_name="ansible.legacy.tempfile",
            module_args={"state": "file", "prefix": "opensora-image.", "suffix": ".progress"},
            task_vars=variables,
        )
        if report.get("failed"):
            return dict(report)
        path = str(report["path"])
        limit = int(arguments.get("timeout") or DEFAULT_TIMEOUT_SECONDS) + GRACE_SECONDS
        self._task.async_val = limit
        try:
            job = self._execute_module(
                module_args={**arguments, "_progress_path": path}, task_vars=variables, wrap_async=True
            )
        finally:
            self._task.async_val = 0
        identifier = job.get("ansible_job_id")
        if not identifier:
            self._remove(path, variables)
            return dict(job)
        result = self._follow(str(identifier), path, time.monotonic() + limit, variables)
        # A host that was lost keeps its job and its file: the build goes on there.
        if not result.get("unreachable"):
            self._job(str(identifier), "cleanup", variables)
            self._remove(path, variables)
        return {key: value for key, value in result.items() if key not in JOB_KEYS}

    def _follow(self, identifier: str, path: str, deadline: float, variables: dict[str, Any]) -> dict[str, Any]:
        host = str(variables.get("inventory_hostname", ""))
        seen = lost = polls = 0
        while True:
            time.sleep(POLL_SECONDS[min(polls, len(POLL_SECONDS) - 1)])
            polls += 1
            try:
                status = self._job(identifier, "status", variables)
                seen += self._show(host, path, seen)
                lost = 0
            except Exception as error:
                # One poll in a build of an hour may meet a network that is just being restarted.
                lost += 1
                if lost >= LOST_POLLS:
                    raise
                display.vv(f"{host} | the connection broke, asking again: {error}")
                continue
            if status.get("finished") or status.get("failed"):
                self._show(host, path, seen)
                return status
            if time.monotonic() > deadline:
                return {"failed": True, "msg": f"The job {identifier} on {host} did not end in time; it may still run."}

    def _job(self, identifier: str, mode: str, variables: dict[str, Any]) -> dict[str, Any]:
        return dict(
            self._execute_module(
                module_name="ansible.legacy.async_status",
                module_args={
                    "jid": identifier,
                    "mode": mode,
                    "_async_dir": self.get_shell_option("async_dir", default="~/.ansible_async"),
                },
                task_vars=variables,
            )
        )

    def _show(self, host: str, path: str, seen: int) -> int:
        """Print the lines that are new and return their length in bytes."""
        tail = self._low_level_execute_command(f"tail -c +{seen + 1} {shlex.quote(path)} 2>/dev/null || true")
        # A terminal on the host, which sudo may need, ends lines with a carriage return that the file does not have.
        text = str(tail.get("stdout", "")).replace("\r\n", "\n")
        whole = text[: text.rfind("\n") + 1]
        for line in whole.splitlines():
            display.display(f"{host} | {_text_of(line)}")
        return len(whole.encode())

    def _remove(self, path: str, variables: dict[str, Any]) -> None:
        self._execute_module(
            module_name="ansible.legacy.file", module_args={"path": path, "state": "absent"}, task_vars=variables
        )


def _text_of(line: str) -> str:
    """Return what a line of the progress file says to a person."""
    try:
        return str(json.loads(line)["line"])
    except (ValueError, KeyError, TypeError):
        return line
