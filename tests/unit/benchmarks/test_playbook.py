"""A run is measured, with a stand-in for ansible-playbook on the path that does what each test says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.measure.playbook import RunError, run_playbook

if TYPE_CHECKING:
    from collections.abc import Callable

RECAP = "PLAY RECAP ***\ngpu01 : ok=3 changed=0 unreachable=0 failed=0 skipped=1 rescued=0 ignored=0\n"

RECORDED_RUN = r"""
note() { printf '{"begin": %s, "name": "%s", "place": ""}\n' "$1" "$2" >>"$RECORD_TASKS_FILE"; }
note "$(date +%s)" Read
"$ANSIBLE_SSH_EXECUTABLE" host
echo $? >"$TEST_FOLDER/status"
note 99999999999 "(end)"
echo "$ANSIBLE_CALLBACKS_ENABLED" >"$TEST_FOLDER/callbacks"
cat "$TEST_FOLDER/recap"
"""


@pytest.fixture
def ansible_playbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def make(script: str) -> None:
        for name, text in (("ansible-playbook", script), ("ssh", 'exit "${SSH_STATUS:-0}"')):
            program = tmp_path / name
            program.write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
            program.chmod(0o755)
        (tmp_path / "recap").write_text(RECAP, encoding="utf-8")
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        monkeypatch.setenv("TEST_FOLDER", str(tmp_path))

    return make


def test_time_processor_memory_and_tasks(ansible_playbook) -> None:
    ansible_playbook('for ((i = 0; i < 60000; i++)); do :; done; sleep 0.3; cat "$TEST_FOLDER/recap"')
    run = run_playbook(["site.yml"])
    assert run.hosts["gpu01"].ok == 3
    assert run.seconds >= 0.3
    assert 0 < run.processor_seconds < run.seconds
    assert run.peak_bytes > 0
    assert run.calls == []


def test_a_failed_run_says_what_it_printed(ansible_playbook) -> None:
    ansible_playbook('echo "the host is away: $*"; exit 4')
    with pytest.raises(RunError, match=r"(?s)ansible-playbook site.yml ended with 4.*the host is away: site.yml"):
        run_playbook(["site.yml"])


@pytest.mark.parametrize("status", [0, 5])
def test_calls_are_recorded_and_end_as_they_would(ansible_playbook, tmp_path: Path, monkeypatch, status: int) -> None:
    monkeypatch.setenv("SSH_STATUS", str(status))
    ansible_playbook(RECORDED_RUN)
    run = run_playbook(["site.yml"], record=True)
    assert [call.program for call in run.calls] == ["ssh"]
    assert [(task.name, task.calls) for task in run.profile] == [("(start)", 0), ("Read", 1)]
    assert json.loads((tmp_path / "status").read_text(encoding="utf-8")) == status
    assert (tmp_path / "callbacks").read_text(encoding="utf-8").strip() == "task_times"


def test_nothing_is_left_behind(ansible_playbook) -> None:
    ansible_playbook(
        'mkdir -p "$ANSIBLE_SSH_CONTROL_PATH_DIR"; echo "$ANSIBLE_SSH_CONTROL_PATH_DIR"; cat "$TEST_FOLDER/recap"'
    )
    run = run_playbook(["site.yml"])
    folder = Path(run.output.splitlines()[0]).parent
    assert folder.name.startswith("opensora-benchmark-")
    assert not folder.exists()
