# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest
from ansible.module_utils.opensora.buildx_command import (
    BuildTimeoutError,
    Reporter,
    buildx_arguments,
    exclusive,
    run_build,
    write_context,
)

RECORDED = Path(__file__).parent / "recorded" / "buildx" / "compact-failure.txt"


def said(path):
    return [json.loads(line)["line"] for line in path.read_text().splitlines()]


def test_arguments():
    command = buildx_arguments(
        docker="/usr/bin/docker",
        context="/c",
        tag="opensora:key",
        target="runtime",
        platform="linux/amd64",
        labels={"b": "x,y=z", "a": "1"},
        build_arguments={"B": "two words", "A": ""},
        inherited_arguments=["http_proxy"],
        metadata_file="/m.json",
    )
    text = " ".join(command)
    assert command[-1] == "/c"
    assert "--provenance=false --sbom=false" in text
    assert command[command.index("--target") + 1] == "runtime"
    assert [command[at + 1] for at, word in enumerate(command) if word == "--label"] == ["a=1", "b=x,y=z"]
    assert [command[at + 1] for at, word in enumerate(command) if word == "--build-arg"] == [
        "A=",
        "B=two words",
        "http_proxy",
    ]


def test_context_holds_nothing_else(tmp_path):
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "left-over").write_text("x")
    write_context(tmp_path / "context", "FROM x\n", {"a/b.txt": "1"})
    found = sorted(str(path.relative_to(tmp_path / "context")) for path in (tmp_path / "context").rglob("*"))
    assert found == ["Dockerfile", "a", "a/b.txt"]
    assert (tmp_path / "context/a/b.txt").stat().st_mode & 0o777 == 0o644


def test_a_build_is_logged_and_reported(tmp_path):
    report, log = tmp_path / "report", tmp_path / "logs" / "build.log"
    command = ["sh", "-c", f"cat {RECORDED} >&2; exit 1"]
    status, progress = run_build(command, os.environ, log, time.monotonic() + 60, Reporter(str(report)))
    assert status == 1
    assert progress.failed.title.startswith("torch: printf")
    assert "error: No module named torch" in log.read_text()
    lines = said(report)
    assert "3/4 torch: torch 2.4.0 | 2 s" in lines
    assert any("from the cache" in line for line in lines)


def test_a_build_that_takes_too_long_is_ended(tmp_path):
    with pytest.raises(BuildTimeoutError, match="longer than allowed"):
        run_build(["sleep", "60"], os.environ, tmp_path / "log", time.monotonic() - 1, Reporter(None))


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
        pytest.raises(BuildTimeoutError, match="another build"),
        exclusive(lock, time.monotonic() - 1, Reporter(None)),
    ):
        pass
