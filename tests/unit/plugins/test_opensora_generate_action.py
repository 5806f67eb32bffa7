"""The videos of a host are a job that is watched, and goes on when nobody watches."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.watched_job import WatchedJob

from plugins.action import opensora_generate


class Task:
    """What the plugin needs of a task."""

    def __init__(self, check_mode=False, **args):
        self.action = "opensora_generate"
        self.check_mode = check_mode
        self.args = args


class Job(WatchedJob):
    """Stands for WatchedJob: says one line and remembers what it was given."""

    calls: list = []  # noqa: RUF012 -- emptied by each test

    def run(self, module, arguments, timeout):
        self.calls.append((module, arguments, timeout))
        self.say("1/2 half")
        return {"changed": True}


@pytest.fixture
def act(monkeypatch):
    lines = []
    Job.calls = []
    monkeypatch.setattr(opensora_generate, "WatchedJob", Job)
    monkeypatch.setattr(opensora_generate.display, "display", lines.append)
    monkeypatch.setattr(opensora_generate.ActionBase, "run", lambda *_: {})

    def run(task):
        plugin = opensora_generate.ActionModule.__new__(opensora_generate.ActionModule)
        plugin._task = task
        plugin._execute_module = lambda **_: {"plain": True}
        return plugin.run(task_vars={"inventory_hostname": "gpu01"}), lines

    return run


def test_shows_progress(act):
    result, lines = act(Task(requests=[{}, {}], time_limit=100))
    assert result == {"changed": True}
    assert lines == ["gpu01 | 1/2 half"]
    assert Job.calls[0][0] == "opensora_generate"
    # As long as the module itself waits for another run and then works.
    assert Job.calls[0][2] == 2 * 100 * 3


@pytest.mark.parametrize("progress", [False, "no"])
def test_quiet_is_a_job_as_well(act, progress):
    _, lines = act(Task(requests=[{}], progress=progress))
    assert lines == []
    assert len(Job.calls) == 1


def test_check_mode(act):
    result, _ = act(Task(check_mode=True, requests=[{}]))
    assert result == {"plain": True}
    assert Job.calls == []
