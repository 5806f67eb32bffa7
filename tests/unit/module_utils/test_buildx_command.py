# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible.module_utils.opensora.buildx_command import (
    BuildTimeoutError,
    buildx_arguments,
    run_build,
    write_context,
)
from ansible.module_utils.opensora.host_lock import Reporter

from tests.unit.module_utils.buildx_examples import build_command

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


def test_secrets_and_caches_on_the_command_line():
    command = build_command(
        secrets={"b": "/run/x/secret-b", "a": "/run/x/secret-a"},
        cache_from=["type=registry,ref=r/c"],
        cache_to=["type=inline"],
        use_cache=False,
    )
    assert [command[at + 1] for at, word in enumerate(command) if word == "--secret"] == [
        "id=a,src=/run/x/secret-a",
        "id=b,src=/run/x/secret-b",
    ]
    assert command[command.index("--cache-from") + 1] == "type=registry,ref=r/c"
    assert command[command.index("--cache-to") + 1] == "type=inline"
    assert "--no-cache" in command


def test_the_log_shows_no_secret(tmp_path):
    log = tmp_path / "log"
    run_build(
        ["sh", "-c", "echo 'git said hunter2hunter2' >&2"],
        os.environ,
        log,
        time.monotonic() + 60,
        Reporter(None, ["hunter2hunter2"]),
    )
    assert "git said ********" in log.read_text()


MODULE = """
import sys, time
from pathlib import Path
sys.path[:0] = {path!r}
import ansible.module_utils
ansible.module_utils.__path__.append({utils!r})
from ansible.module_utils.opensora.buildx_command import run_build
from ansible.module_utils.opensora.host_lock import Reporter, exclusive
import os
with exclusive(Path({lock!r}), time.monotonic() + 60, Reporter(None)) as turn:
    run_build(["sh", "-c", "sleep 60 & echo $! > {child}; wait"], os.environ, Path({log!r}), time.monotonic() + 60,
              Reporter(None), turn=turn)
"""


def test_a_killed_run_takes_its_build_along_and_leaves_no_lock(tmp_path, root):
    """The kernel ends the build; what it started holds the lock until it is gone as well."""
    lock, child = tmp_path / "build.lock", tmp_path / "child"
    text = MODULE.format(
        path=sys.path, utils=str(root / "module_utils"), lock=str(lock), child=child, log=str(tmp_path / "log")
    )
    process = subprocess.Popen([sys.executable, "-c", text])  # noqa: S603 (this interpreter)
    deadline = time.monotonic() + 30
    while not (child.exists() and child.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.05)
    grandchild = int(child.read_text())
    process.kill()
    process.wait()

    def is_held():
        with lock.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    try:
        # The shell was ended with its parent; the process it left in the background still counts as the build.
        assert is_held()
    finally:
        os.kill(grandchild, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_held() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_held()
