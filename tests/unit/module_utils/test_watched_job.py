# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
import os
import subprocess
import time

import pytest
from ansible.module_utils.opensora.watched_job import FORGOTTEN_MINUTES, left_overs_command

OLD = time.time() - FORGOTTEN_MINUTES * 60 - 90


def run(command, **environment):
    shell = ["/bin/sh", "-c", command]
    subprocess.run(shell, check=True, env={**os.environ, **environment})  # noqa: S603 (what is tested)


@pytest.fixture
def job(tmp_path):
    """Return what writes the result of a job, and returns it and the file of its lines."""
    folder = tmp_path / "home/.ansible async"
    folder.mkdir(parents=True)

    def write(name, content, age):
        result, lines = folder / name, tmp_path / f"opensora-site.{name}_x.progress"
        lines.write_text("{}\n")
        result.write_text(content or json.dumps({"invocation": {"module_args": {"_progress_path": str(lines)}}}))
        os.utime(result, (age, age))
        return result, lines

    return write


def test_what_a_killed_control_node_left_is_removed(job, tmp_path):
    for folder, home in (("~/.ansible async", tmp_path / "home"), (str(tmp_path / "home/.ansible async"), tmp_path)):
        result, lines = job("j1", "", OLD)
        run(left_overs_command(folder), HOME=str(home))
        assert not result.exists()
        assert not lines.exists()


@pytest.mark.parametrize(
    ("content", "age"),
    [
        ("", time.time()),  # its control node may still come for it
        ('{"started": 1, "finished": 0}', OLD),  # not over
        ('{"msg": "/tmp/of-somebody-else"}', OLD),
    ],
    ids=["young", "running", "foreign"],  # not by the time: each process that runs tests has to name them alike
)
def test_what_is_not_left_over_stays(job, tmp_path, content, age):
    result, lines = job("j1", content, age)
    run(left_overs_command("~/.ansible async"), HOME=str(tmp_path / "home"))
    assert result.exists()
    assert lines.exists()


def test_a_host_without_jobs(tmp_path):
    run(left_overs_command("~/.ansible_async"), HOME=str(tmp_path))
