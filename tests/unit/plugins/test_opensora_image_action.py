# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import json

import pytest
from ansible.module_utils.opensora import watched_job

from plugins.action import opensora_image
from plugins.action.opensora_image import ActionModule

JOB = "j123.4"


class Task:
    """What the plugin needs of a task."""

    def __init__(self, check_mode=False, **args):
        self.action = "opensora_image"
        self.check_mode = check_mode
        self.args = args
        self.async_val = 0


class Plugin(ActionModule):
    """The plugin on a host that is a list of answers."""

    def __init__(self, task, statuses, lines):
        self._task = task
        self.statuses = list(statuses)
        self.lines = list(lines)
        self.calls = []
        self.written = ""

    def _execute_module(self, module_name=None, module_args=None, task_vars=None, wrap_async=False, **_):
        arguments = module_args or {}
        self.calls.append((module_name, arguments.get("mode"), wrap_async, self._task.async_val))
        if module_name == "ansible.legacy.tempfile":
            return {"path": "/tmp/p.progress"}
        if module_name == "ansible.legacy.async_status" and arguments["mode"] == "status":
            answer = self.statuses.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        if wrap_async:
            assert arguments["_progress_path"] == "/tmp/p.progress"
            return {"ansible_job_id": JOB}
        return {"changed": False, "plain": True}

    def _low_level_execute_command(self, command, **_):
        if self.lines:
            self.written += self.lines.pop(0)
        start = int(command.split("+")[1].split()[0]) - 1
        return {"stdout": self.written.encode()[start:].decode()}

    def get_shell_option(self, option, default=None):
        return default


@pytest.fixture
def shown(monkeypatch):
    lines = []
    monkeypatch.setattr(opensora_image.display, "display", lines.append)
    monkeypatch.setattr(watched_job.time, "sleep", lambda _: None)
    monkeypatch.setattr(opensora_image.ActionBase, "run", lambda *_: {})
    return lines


def line(text):
    return json.dumps({"line": text}) + "\n"


def test_steps_are_shown_while_the_job_runs(shown):
    statuses = [
        {"finished": 0},
        {"finished": 0},
        {"finished": 1, "changed": True, "ansible_job_id": JOB, "msg": "done"},
    ]
    # The second answer ends in the middle of a line with a character of two bytes.
    second = line("2/2 ü")
    plugin = Plugin(Task(), statuses, [line("1/2 torch 2.4.0 | 312 s"), second[:14], second[14:]])
    result = plugin.run(task_vars={"inventory_hostname": "gpu01"})
    assert shown == ["gpu01 | 1/2 torch 2.4.0 | 312 s", "gpu01 | 2/2 ü"]
    assert result == {"changed": True, "msg": "done"}
    names = [(name, mode) for name, mode, _, _ in plugin.calls]
    assert ("ansible.legacy.async_status", "cleanup") in names
    assert names[-1] == ("ansible.legacy.file", None)
    assert [limit for _, _, wrapped, limit in plugin.calls if wrapped] == [14400 + 120]


@pytest.mark.parametrize("task", [Task(check_mode=True), Task(progress=False), Task(progress="no")])
def test_a_task_that_nobody_watches_is_a_plain_one(shown, task):
    plugin = Plugin(task, [], [])
    assert plugin.run(task_vars={})["plain"] is True
    assert len(plugin.calls) == 1
    assert shown == []


def test_a_poll_that_fails_is_made_again(shown):
    statuses = [OSError("connection lost"), {"finished": 1, "changed": True}]
    plugin = Plugin(Task(), statuses, [line("a")])
    assert plugin.run(task_vars={"inventory_hostname": "gpu01"})["changed"] is True
    assert shown == ["gpu01 | a"]


def test_a_host_that_stays_away_keeps_its_job(shown):
    plugin = Plugin(Task(), [OSError("connection lost")] * 30, [])
    with pytest.raises(OSError, match="connection lost"):
        plugin.run(task_vars={"inventory_hostname": "gpu01"})
    assert ("ansible.legacy.async_status", "cleanup") not in [(name, mode) for name, mode, _, _ in plugin.calls]


def test_failure_is_passed_on(shown):
    plugin = Plugin(Task(), [{"finished": 1, "failed": True, "msg": "the disk is full"}], [])
    assert plugin.run(task_vars={"inventory_hostname": "gpu01"}) == {"failed": True, "msg": "the disk is full"}
