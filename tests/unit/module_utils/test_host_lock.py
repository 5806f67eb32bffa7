# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
import os
import threading
import time

import pytest
from ansible.module_utils.opensora import host_lock
from ansible.module_utils.opensora.host_lock import LockedError, Reporter, exclusive


def said(path):
    return [json.loads(line)["line"] for line in path.read_text().splitlines()]


def test_a_second_build_waits_for_the_first(tmp_path):
    lock, report = tmp_path / "folder" / "lock", tmp_path / "report"
    order = []
    entered = threading.Event()

    def first():
        with exclusive(lock, time.monotonic() + 60, Reporter(None)):
            entered.set()
            time.sleep(0.5)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait()
    with exclusive(lock, time.monotonic() + 60, Reporter(str(report))):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert said(report) == [f"waiting for another build on this host (process {os.getpid()})"]


def test_the_wait_ends(tmp_path):
    lock = tmp_path / "lock"
    with (
        exclusive(lock, time.monotonic() + 60, Reporter(None)),
        pytest.raises(LockedError, match="another build"),
        exclusive(lock, time.monotonic() - 1, Reporter(None)),
    ):
        pass


def test_who_waits_sees_the_steps_of_the_other_one(tmp_path, quick_polls):
    lock, report = tmp_path / "folder" / "build.lock", tmp_path / "report"
    entered, done = threading.Event(), threading.Event()

    def first():
        own = Reporter(None)
        with exclusive(lock, time.monotonic() + 60, own) as turn:
            assert not turn.waited
            own.say("1/9 long ago")
            own.say("2/9 torch")
            entered.set()
            done.wait(20)
            own.say("3/9 the application")
            time.sleep(host_lock._POLL_SECONDS * 1.5)

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait()
    reporter = Reporter(str(report))
    threading.Timer(host_lock._POLL_SECONDS * 0.5, done.set).start()
    with exclusive(lock, time.monotonic() + 60, reporter) as turn:
        assert turn.waited
        reporter.say("my own")
    thread.join()
    # Where it is now, then every step; and the journal belongs to who has the turn.
    assert said(report)[1:] == ["the other build: 2/9 torch", "the other build: 3/9 the application", "my own"]
    assert said(lock.with_suffix(".progress")) == ["my own"]


@pytest.fixture
def quick_polls(monkeypatch):
    monkeypatch.setattr(host_lock, "_POLL_SECONDS", 0.2)


def test_words_that_no_line_may_show(tmp_path):
    report = tmp_path / "report"
    reporter = Reporter(str(report), ['pa"ss', "hunter2hunter2"])
    reporter.say('login pa"ss', title="hunter2hunter2", step=1)
    assert json.loads(report.read_text()) == {"line": "login ********", "title": "********", "step": 1}


def test_a_journal_of_which_a_part_is_lost(tmp_path, quick_polls):
    lock, report = tmp_path / "lock", tmp_path / "report"
    with exclusive(lock, time.monotonic() + 60, Reporter(None)):
        (tmp_path / "lock.progress").write_text('{"li\n[]\n{"line": "1/2 system"}\n')
        with (
            pytest.raises(LockedError),
            exclusive(lock, time.monotonic() + 0.1, Reporter(str(report))),
        ):
            raise AssertionError
    assert said(report)[1:] == ["the other build: 1/2 system"]
