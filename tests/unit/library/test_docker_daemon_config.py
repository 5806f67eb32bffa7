"""The module against a stand-in service manager and a stand-in engine socket."""

from __future__ import annotations

import json
import os
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import docker_daemon_config
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NVIDIA = {"runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}}}

SYSTEMCTL = """#!/bin/sh
echo "$@" >> "{folder}/calls"
case "$1" in
  show)
    echo "ActiveState=$(cat {folder}/state)"
    echo "MainPID=0"
    echo "ExecStart={{ path=/x ; argv[]=/usr/bin/dockerd -H fd:// --data-root=/x ; ignore_errors=no ; }}" ;;
  restart) ! grep -q breaks "{folder}/daemon.json" ;;
esac
"""
DOCKERD = """#!/bin/sh
echo "dockerd $1" >> "{folder}/calls"
if grep -q refused "$3"; then echo "the following directives don't match: refused in $3" >&2; exit 1; fi
"""
JOURNALCTL = """#!/bin/sh
echo "failed to start daemon: it breaks"
"""


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def address_string(self) -> str:
        return "socket"

    def log_message(self, *arguments: Any) -> None:
        pass


class Host:
    """A folder with the stand-ins and the configuration file."""

    def __init__(self, folder: Path, run: Callable[..., dict[str, Any]]) -> None:
        self.folder = folder
        self.path = folder / "daemon.json"
        self.run_module = run
        (folder / "state").write_text("active")

    def calls(self) -> list[str]:
        calls = self.folder / "calls"
        return calls.read_text().splitlines() if calls.exists() else []

    def restarts(self) -> int:
        return sum(call.startswith("restart") for call in self.calls())

    def run(self, config: dict[str, Any], **options: Any) -> dict[str, Any]:
        return self.run_module(
            docker_daemon_config,
            config=config,
            path=str(self.path),
            socket=str(self.folder / "s"),
            restart_timeout=2,
            _ansible_diff=True,
            **options,
        )


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_module: Callable[..., dict[str, Any]]) -> Iterator[Host]:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("systemctl", SYSTEMCTL), ("dockerd", DOCKERD), ("journalctl", JOURNALCTL)):
        (programs / name).write_text(text.format(folder=tmp_path))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)  # a socket's path is limited to 107 bytes
    with socketserver.UnixStreamServer("s", Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield Host(tmp_path, run_module)
        server.shutdown()
        thread.join()


def test_a_new_file_is_written_checked_and_taken_over(host: Host) -> None:
    result = host.run(NVIDIA)
    assert result["changed"]
    assert result["action"] == "restart"
    assert json.loads(host.path.read_text()) == NVIDIA
    assert host.path.stat().st_mode & 0o777 == 0o644
    assert "dockerd --validate" in host.calls()
    assert host.restarts() == 1
    assert result["diff"]["before"] == ""
    assert not list(host.folder.glob(".daemon*"))


def test_a_second_run_changes_and_asks_nothing(host: Host) -> None:
    host.run(NVIDIA)
    calls = host.calls()
    result = host.run(NVIDIA)
    assert not result["changed"]
    assert result["diff"]["before"] == result["diff"]["after"]
    assert host.calls() == calls


def test_order_and_format_are_no_difference(host: Host) -> None:
    text = '{"runtimes":{"nvidia":{"args":[],"path":"nvidia-container-runtime"}},\n\n"debug":false}'
    host.path.write_text(text)
    assert not host.run({"debug": False, **NVIDIA})["changed"]
    assert host.path.read_text() == text


def test_other_keys_mode_and_indentation_stay(host: Host) -> None:
    host.path.write_text('{\n  "data-rooty": "/data",\n  "runtimes": {"sysbox": {"path": "/s"}}\n}\n')
    host.path.chmod(0o600)
    result = host.run(NVIDIA, backup=True)
    found = json.loads(host.path.read_text())
    assert found["data-rooty"] == "/data"
    assert set(found["runtimes"]) == {"sysbox", "nvidia"}
    assert host.path.read_text().startswith('{\n  "data-rooty"')
    assert host.path.stat().st_mode & 0o777 == 0o600
    assert result["backup_file"]


def test_check_mode_predicts_and_touches_nothing(host: Host) -> None:
    host.path.write_text("")
    result = host.run(NVIDIA, _ansible_check_mode=True)
    assert result["changed"]
    assert result["action"] == "restart"
    assert host.path.read_text() == ""
    assert host.restarts() == 0


def test_an_engine_that_does_not_run_is_left_alone(host: Host) -> None:
    (host.folder / "state").write_text("inactive")
    result = host.run(NVIDIA, restart_required=True)
    assert result["action"] == "none"
    assert host.restarts() == 0
    assert not host.run(NVIDIA, restart_required=True)["changed"]


def test_a_restart_can_be_asked_for(host: Host) -> None:
    host.path.write_text(json.dumps(NVIDIA))
    result = host.run(NVIDIA, restart_required=True)
    assert result["changed"]
    assert result["changed_keys"] == []
    assert host.restarts() == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"debug": true,}', "line 1, column"),
        ('{"debug": true, "debug": false}', '"debug" stands twice'),
        ("[]", "a list"),
    ],
)
def test_an_unreadable_file_is_left_untouched(host: Host, text: str, said: str) -> None:
    host.path.write_text(text)
    result = host.run(NVIDIA)
    assert result["failed"]
    assert said in result["msg"]
    assert result["problems"][0]["code"] == "daemon_config.unreadable"
    assert host.path.read_text() == text


def test_a_byte_order_mark_is_read_over_and_dropped_with_the_next_change(host: Host) -> None:
    host.path.write_text('\ufeff{"debug": false}', encoding="utf-8")
    assert not host.run({"debug": False})["changed"]
    assert host.run(NVIDIA)["changed"]
    assert host.path.read_bytes().startswith(b"{")


def test_what_the_engine_refuses_is_not_written(host: Host) -> None:
    result = host.run({"refused": 1})
    assert result["failed"]
    assert not result["changed"]
    assert result["problems"][0]["code"] == "daemon_config.refused"
    assert str(host.path) in result["problems"][0]["evidence"][0]
    assert not host.path.exists()


def test_a_setting_of_the_command_line_is_refused_before_writing(host: Host) -> None:
    result = host.run({"data-root": "/y"})
    assert result["problems"][0]["code"] == "daemon_config.flag_conflict"
    assert "data-root" in result["msg"]
    assert not host.path.exists()


def test_contradicting_options_are_reported(host: Host) -> None:
    host.path.write_text('{"exec-opts": ["native.cgroupdriver=systemd"]}')
    result = host.run({"exec-opts": ["native.cgroupdriver=cgroupfs"]})
    assert result["problems"][0]["code"] == "daemon_config.contradiction"
    assert host.restarts() == 0


@pytest.mark.parametrize("before", [None, '{"debug": false}\n'])
def test_the_old_file_comes_back_with_the_journal(host: Host, before: str | None) -> None:
    if before:
        host.path.write_text(before)
    result = host.run({"breaks": True}, backup=True)
    problem = result["problems"][0]
    assert problem["code"] == "engine.not_returned"
    assert problem["evidence"] == ["failed to start daemon: it breaks"]
    assert "runs with it again" in problem["message"]
    assert (host.path.read_text() if host.path.exists() else None) == before
    assert host.restarts() == 2
    assert not list(host.folder.glob("daemon.json.*"))
