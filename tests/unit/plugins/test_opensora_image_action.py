# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
from dataclasses import replace
from typing import ClassVar

import pytest
from ansible.module_utils.opensora import watched_job
from ansible.module_utils.opensora.archive_carrier import NoRoomError
from ansible.module_utils.opensora.image_archive import ImageArchive
from ansible.module_utils.opensora.image_transfer import TransferError
from ansible.module_utils.opensora.problems import Problem

from plugins.action import opensora_image, opensora_image_archive
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
            self.given = arguments
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


def test_a_terminal_on_the_host_hides_nothing(shown):
    class OnTerminal(Plugin):
        def _low_level_execute_command(self, command, **options):
            answer = super()._low_level_execute_command(command, **options)
            return {"stdout": answer["stdout"].replace("\n", "\r\n")}

    plugin = OnTerminal(Task(), [{"finished": 0}, {"finished": 1}], [line("a") + line("b"), line("c")])
    plugin.run(task_vars={"inventory_hostname": "gpu01"})
    assert shown == ["gpu01 | a", "gpu01 | b", "gpu01 | c"]


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


def test_lines_of_a_connection_with_a_terminal(shown):
    class Terminal(Plugin):
        def _low_level_execute_command(self, command, **_):
            answer = super()._low_level_execute_command(command)
            return {"stdout": answer["stdout"].replace("\n", "\r\n")}

    lines = [line("one") + line("two"), line("three"), line("four")]
    statuses = [{"finished": 0}, {"finished": 0}, {"finished": 1}]
    Terminal(Task(), statuses, lines).run(task_vars={"inventory_hostname": "gpu01"})
    assert shown == ["gpu01 | one", "gpu01 | two", "gpu01 | three", "gpu01 | four"]


class Carrier:
    """Stands for ArchiveCarrier."""

    calls: ClassVar[list] = []
    fails: Exception | None = None

    def __init__(self, action, host, say):
        self.host = host
        self.say = say

    def open_folder(self, directory):
        self.calls.append(("open", self.host, directory))
        return "/host/folder", 5

    def close_folder(self, folder):
        self.calls.append(("close", self.host, folder))

    def put(self, archive, folder, free):
        if self.fails:
            raise self.fails
        self.say("receive 100 %")
        self.calls.append(("put", archive.folder, folder, free))
        return replace(archive, folder=folder)

    def fetch(self, archive, directory):
        if self.fails:
            raise self.fails
        self.calls.append(("fetch", archive.folder, directory))
        return replace(archive, folder=f"{directory}/control")


ARCHIVE = ImageArchive("/control", (), "gzip", 1, "sha256:1", 1, "key", (), "classic")


@pytest.fixture
def carrier(monkeypatch):
    monkeypatch.setattr(Carrier, "calls", [])
    monkeypatch.setattr(Carrier, "fails", None)
    for plugin in (opensora_image, opensora_image_archive):
        monkeypatch.setattr(plugin, "ArchiveCarrier", Carrier)
    return Carrier


def test_an_archive_is_brought_to_the_host_first(shown, carrier):
    plugin = Plugin(Task(archive=ARCHIVE.as_dict(), directory="/d"), [{"finished": 1, "changed": True}], [line("load")])
    assert plugin.run(task_vars={"inventory_hostname": "gpu02"})["changed"] is True
    assert carrier.calls == [
        ("open", "gpu02", "/d"),
        ("put", "/control", "/host/folder", 5),
        ("close", "gpu02", "/host/folder"),
    ]
    assert shown == ["gpu02 | receive 100 %", "gpu02 | load"]
    assert plugin.given["archive"]["folder"] == "/host/folder"


@pytest.mark.parametrize("task", [Task(progress=False, archive=ARCHIVE.as_dict())])
def test_an_archive_without_lines(shown, carrier, task):
    assert Plugin(task, [], []).run(task_vars={"inventory_hostname": "gpu02"})["plain"] is True
    assert shown == []
    assert carrier.calls[0] == ("open", "gpu02", "/opt/opensora-site/image")


PROBLEM = Problem("disk", "image.no_room_to_share", "error", "no room", "free some")


@pytest.mark.parametrize(
    ("fault", "says"), [(NoRoomError(PROBLEM), "no room. free some"), (TransferError("it broke"), "it broke")]
)
def test_a_transfer_that_fails(shown, carrier, monkeypatch, fault, says):
    monkeypatch.setattr(Carrier, "fails", fault)
    result = Plugin(Task(archive=ARCHIVE.as_dict()), [], []).run(task_vars={"inventory_hostname": "gpu02"})
    assert result["failed"]
    assert says in result["msg"]
    assert carrier.calls[-1][0] == "close"


class Saving(Plugin, opensora_image_archive.ActionModule):
    """The plugin that fetches, on the same host of answers."""

    run = opensora_image_archive.ActionModule.run


def saving(statuses):
    task = Task(build_key="key", directory="/d", control_directory="/c")
    task.action, task.delegate_to = "opensora_image_archive", "gpu01"
    return Saving(task, statuses, [line("save 100 %")])


def test_an_archive_is_fetched_from_the_host_that_has_it(shown, carrier):
    plugin = saving([{"finished": 1, "changed": False, "archive": {**ARCHIVE.as_dict(), "folder": "/host/folder"}}])
    result = plugin.run(task_vars={"inventory_hostname": "gpu02"})
    assert result["archive"]["folder"] == "/c/control"
    assert plugin.given["folder"] == "/host/folder"
    assert carrier.calls == [
        ("open", "gpu01", "/d"),
        ("fetch", "/host/folder", "/c"),
        ("close", "gpu01", "/host/folder"),
    ]
    assert shown == ["gpu01 | save 100 %"]


def test_an_image_that_is_not_there_is_not_fetched(shown, carrier):
    result = saving([{"finished": 1, "failed": True, "msg": "none"}]).run(task_vars={"inventory_hostname": "gpu02"})
    assert result == {"failed": True, "msg": "none"}
    assert [call[0] for call in carrier.calls] == ["open", "close"]


@pytest.mark.parametrize(
    ("fault", "says"), [(NoRoomError(PROBLEM), "no room. free some"), (TransferError("x"), "gpu01")]
)
def test_a_fetch_that_fails(shown, carrier, monkeypatch, fault, says):
    monkeypatch.setattr(Carrier, "fails", fault)
    plugin = saving([{"finished": 1, "archive": ARCHIVE.as_dict()}])
    result = plugin.run(task_vars={"inventory_hostname": "gpu02"})
    assert result["failed"]
    assert says in result["msg"]
    assert carrier.calls[-1][0] == "close"
