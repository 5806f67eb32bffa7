# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.watched_job import WatchedJob

from plugins.action import opensora_checkpoint
from plugins.action.opensora_checkpoint import ActionModule

CHUNK = {"path": "a.bin", "sha256": "a" * 64, "size": 4 * 1024**2, "offset": 1024**2, "length": 1024**2}


class Task:
    """What the plugin needs of a task."""

    def __init__(self, check_mode=False, delegate_to=None, **args):
        self.action = "opensora_checkpoint"
        self.check_mode = check_mode
        self.delegate_to = delegate_to
        self.args = args


class Plugin(ActionModule):
    def __init__(self, task):
        self._task = task

    def _execute_module(self, module_args=None, task_vars=None):
        return {"changed": False, "plain": module_args}


class Job(WatchedJob):
    """Stands for WatchedJob."""

    def run(self, module, arguments, timeout):
        self.say("1/3 a.bin 40 % of 22.0 GiB, 110 MiB/s")
        return {"changed": True, "watched": (module, arguments, timeout)}


class Carrier:
    """Stands for ChunkCarrier."""

    calls = []  # noqa: RUF012 (of one test)

    def __init__(self, action, host, directory):
        self.host, self.directory = host, directory

    def take(self, chunk, place):
        self.calls.append(("take", self.host, self.directory, chunk.offset, str(place)))

    def put(self, chunk, place):
        raise opensora_checkpoint.CarryError("two: the connection broke")


@pytest.fixture
def shown(monkeypatch):
    lines = []
    Carrier.calls.clear()
    monkeypatch.setattr(opensora_checkpoint.display, "display", lines.append)
    monkeypatch.setattr(opensora_checkpoint.ActionBase, "run", lambda *_: {})
    monkeypatch.setattr(opensora_checkpoint, "WatchedJob", Job)
    monkeypatch.setattr(opensora_checkpoint, "ChunkCarrier", Carrier)
    return lines


def run(task):
    return Plugin(task).run(task_vars={"inventory_hostname": "gpu01"})


def test_steps_are_shown_while_the_job_runs(shown):
    result = run(Task(directory="/w", timeout="60"))
    assert shown == ["gpu01 | 1/3 a.bin 40 % of 22.0 GiB, 110 MiB/s"]
    assert result["watched"] == ("opensora_checkpoint", {"directory": "/w", "timeout": "60"}, 60)
    assert run(Task())["watched"][2] == 86400


@pytest.mark.parametrize("task", [Task(check_mode=True, a=1), Task(progress=False), Task(progress="no")])
def test_a_task_that_nobody_watches_is_a_plain_one(shown, task):
    assert run(task)["plain"] == task.args
    assert shown == []


def test_a_piece_is_taken_from_the_host_that_has_it(shown):
    result = run(Task(delegate_to="gpu00", carry="take", chunk=CHUNK, place="/p", directory="/w"))
    assert Carrier.calls == [("take", "gpu00", "/w", 1024**2, "/p")]
    assert result == {"changed": False, "place": "/p"}
    assert shown == ["gpu00 | fetched from here: a.bin 50 % of 4 MiB"]


def test_a_piece_that_could_not_be_put(shown):
    result = run(Task(carry="put", chunk=CHUNK, place="/p", directory="/w"))
    assert result["failed"] is True
    assert "a.bin could not be handed over: two: the connection broke. Run again" in result["msg"]
