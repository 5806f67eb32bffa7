"""The doctor's report on the control node: what the tasks left behind becomes a text and a file."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from ansible.errors import AnsibleActionFail

from plugins.action import opensora_doctor_report
from plugins.action.opensora_doctor_report import ActionModule, host_report, read_flag, write_report
from tests.unit.module_utils.test_doctor_report import HOST, SERVICE, problem

if TYPE_CHECKING:
    from pathlib import Path

READ = {"gpu_host": HOST, "__gpu_host": {"gpu_host": HOST}}


class Plugin(ActionModule):
    """The plugin with its arguments given."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments

    def validate_argument_spec(self, *_: Any, **__: Any) -> Any:
        return None, {"fail": False, **self.arguments}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(opensora_doctor_report.display, "display", lines.append)
    monkeypatch.setattr(opensora_doctor_report.ActionBase, "run", lambda *_: {})
    return lines


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        (
            {"__gpu_host": {"unreachable": True, "msg": "ssh: connect to host gpu01 port 22: Connection refused"}},
            "connection.unreachable",
        ),
        (
            {
                "__gpu_host": {
                    "failed": True,
                    "msg": "x",
                    "module_stderr": "SyntaxError: future feature annotations is not defined",
                }
            },
            "connection.python_too_old",
        ),
        # The facts are those of an earlier play: this time the host could not be read.
        ({**READ, "__gpu_host": {"unreachable": True, "msg": "No route to host"}}, "connection.unreachable"),
        (
            {**READ, "__doctor_unreadable": {"problems": [problem("connection", "connection.unreadable")]}},
            "connection.unreadable",
        ),
        ({}, "connection.unreachable"),
    ],
)
def test_a_host_that_was_not_read(variables: dict[str, Any], code: str) -> None:
    report = host_report(variables)
    assert report.first_broken == "connection"
    assert [entry["code"] for entry in report.problems] == [code]


def test_of_several_services_the_one_that_is_not_well_is_shown() -> None:
    unwell = {"service": {**SERVICE, "name": "opensora-large-opensora-1"}, "problems": [problem("application")]}
    read = {"results": [{"service": SERVICE, "problems": []}, unwell]}
    report = host_report({**READ, "__opensora_service_verify": read})
    assert [entry["layer"] for entry in report.problems] == ["application"]
    assert "opensora-large-opensora-1" in report.layers["compose"].found


def test_service_as_it_was_read() -> None:
    answer = {"service": SERVICE, "problems": [problem("application")]}
    plan = {"problems": [problem("engine", "engine.forgets_cdi_containers", "warning")]}
    read = {"results": [answer]}
    report = host_report({**READ, "__opensora_service_verify": read, "__opensora_service_plan": plan})
    assert [entry["layer"] for entry in report.problems] == ["engine", "application"]


@pytest.mark.parametrize(
    "variables",
    [
        {"__doctor_service_failure": {"msg": "it broke\nbadly"}},
        {"__opensora_service_verify": {"failed": True, "msg": "it broke"}},
        {"__opensora_service_verify": {"unreachable": True, "msg": "it broke"}},
        {"__opensora_service_verify": {"failed": True, "msg": "x", "results": [{"failed": True, "msg": "it broke"}]}},
    ],
)
def test_service_that_could_not_be_read(variables: dict[str, Any]) -> None:
    report = host_report({**READ, **variables})
    assert report.layers["compose"].found == "not looked at: it broke"


def test_a_recorded_host_has_no_service_whatever_was_read_before() -> None:
    report = host_report(
        {**READ, "gpu_host_probe_root": "/srv/b", "__opensora_service_verify": {"results": [{"service": SERVICE}]}}
    )
    assert report.layers["compose"].found == "not looked at: a recorded host runs nothing"


def test_shows_and_writes(shown: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    broken = {**HOST, "problems": [problem("pci")]}
    hostvars = {"gpu01": READ, "gpu02": {"gpu_host": broken}}
    result = Plugin(hosts=["gpu01", "gpu02"], path="doctor/report.json").run(task_vars={"hostvars": hostvars})
    path = tmp_path / "doctor/report.json"
    assert result == {"changed": False, "failed": False, "msg": "broken: gpu02 (pci)", "path": str(path)}
    (text,) = shown
    assert "gpu02: first broken layer: pci" in text
    assert str(path) in text
    data = json.loads(path.read_text())
    assert {name: host["first_broken"] for name, host in data["hosts"].items()} == {"gpu01": None, "gpu02": "pci"}
    assert data["generated"].endswith("Z")
    assert os.listdir(path.parent) == ["report.json"]  # noqa: PTH208  no draft is left
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("variables", "failed"), [({"gpu_host": {**HOST, "problems": [problem("pci")]}}, True), (READ, False)]
)
def test_fails_only_where_asked_to_and_something_is_broken(
    shown: list[str], tmp_path: Path, variables: dict[str, Any], failed: bool
) -> None:
    plugin = Plugin(hosts=["gpu01"], path=str(tmp_path / "report.json"), fail=True)
    result = plugin.run(task_vars={"hostvars": {"gpu01": variables}})
    assert result["failed"] is failed
    assert (tmp_path / "report.json").is_file()
    assert shown


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), ("true", True), ("yes", True), ("0", False), (False, False)]
)
def test_flag(value: object, expected: bool) -> None:
    assert read_flag(value) is expected


@pytest.mark.parametrize("value", ["maybe", "", 2])
def test_bad_flag(value: object) -> None:
    with pytest.raises(AnsibleActionFail, match=r"opensora_doctor_fail is .*, allowed is true or false"):
        read_flag(value)


def test_bad_paths(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for target in ("", " ", str(tmp_path), f"{tmp_path}/new/", f"{tmp_path}/file/report.json"):
        with pytest.raises(AnsibleActionFail, match=r"opensora_doctor_report is .*allowed is the path of a file"):
            write_report(target, {})
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208


def test_a_report_that_can_not_be_replaced_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")
    monkeypatch.setattr(
        opensora_doctor_report.json, "dump", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(AnsibleActionFail, match="disk full"):
        write_report(str(path), {})
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.json"]  # noqa: PTH208
