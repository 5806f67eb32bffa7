"""Page, JSON and history on the control node."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from ansible.errors import AnsibleActionFail

from plugins.action import opensora_show_status
from plugins.action.opensora_show_status import ActionModule, write_status
from plugins.filter.opensora_status import opensora_status_errors
from tests.unit.module_utils import status_examples as examples

if TYPE_CHECKING:
    from pathlib import Path

ONE = examples.one_host()


class Plugin(ActionModule):
    """The plugin with its arguments given."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments

    def validate_argument_spec(self, *_: Any, **__: Any) -> Any:
        return None, self.arguments


def test_it_shows_and_writes_all_hosts(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(opensora_show_status.display, "display", lines.append)
    monkeypatch.setattr(opensora_show_status.ActionBase, "run", lambda *_: {})
    hostvars = {
        "gpu01": {"__opensora_status_answer": {"status": examples.status(1, 2)}},
        "gpu05": {"__opensora_status_answer": examples.UNREACHABLE},
        "gpu06": {},
    }
    plugin = Plugin(
        hosts=list(hostvars),
        directory=str(tmp_path / "status"),
        template=str(root / "roles/opensora_status/templates/status.html.j2"),
        history_length=5,
    )
    result = plugin.run(task_vars={"hostvars": hostvars})
    assert result["changed"] is False
    assert result["msg"] == "3 hosts, 2 not readable"
    assert "gpu05  not readable" in lines[0]
    assert str(tmp_path / "status/index.html") in lines[0]
    assert "gpu06" in (tmp_path / "status/index.html").read_text()


def test_the_files(tmp_path: Path) -> None:
    for run in range(3):
        page = write_status(str(tmp_path), ONE, examples.TEMPLATE, 2, examples.NOW + run)
    assert page == tmp_path / "index.html"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.jsonl", "index.html", "status.json"]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}
    data = json.loads((tmp_path / "status.json").read_text())
    assert data["generated"] == "2025-11-25T17:00:02Z"
    assert data["hosts"]["gpu01"]["state"] == "ok"
    history = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [entry["time"] for entry in history] == [examples.NOW + 1, examples.NOW + 2]


def test_a_damaged_history_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_bytes(b"\xff\xfe{")
    write_status(str(tmp_path), ONE, examples.TEMPLATE, 2, examples.NOW)
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 1


def test_a_relative_folder_is_below_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert write_status("a/../b", ONE, examples.TEMPLATE, 2, 0) == tmp_path / "b/index.html"


def test_a_folder_that_can_not_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AnsibleActionFail, match=r"opensora_status_directory is '.*/file', allowed is a folder"):
        write_status(str(tmp_path / "file"), ONE, examples.TEMPLATE, 2, 0)


def test_nothing_half_is_left(tmp_path: Path) -> None:
    (tmp_path / "index.html").mkdir()
    with pytest.raises(AnsibleActionFail):
        write_status(str(tmp_path), ONE, examples.TEMPLATE, 2, 0)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_settings_errors() -> None:
    good = {"samples": 5, "interval": 1, "history_length": 200, "directory": "status"}
    assert opensora_status_errors(good) == ""
    assert "opensora_status_samples is 0, allowed is" in opensora_status_errors({**good, "samples": 0})
