# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The role really run with Dockerfiles of the user's own: its preflight, and the role on its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
WRONG = ROOT / "tests/fixtures/dockerfiles/wrong"
OWN = """ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY own.txt verify_stage.py flash-attention.txt /opt/
COPY none.txt /
USER 1
"""
# Nobody listens there: what is looked up fails at once.
NOWHERE = {
    "opensora_image_base": "127.0.0.1:9/base:1",
    "opensora_image_runtime_base": "127.0.0.1:9/base:1",
    "opensora_image_repository": "http://127.0.0.1:9/application",
    "opensora_image_tensornvme_repository": "http://127.0.0.1:9/tensornvme",
}
HOSTS: dict[str, dict[str, Any]] = {
    "refused": {"tasks_from": "preflight", "opensora_image_dockerfile": str(WRONG / "unquoted_bound.Dockerfile")},
    "refused-alone": {"tasks_from": "main", "opensora_image_dockerfile": str(WRONG / "allocator.Dockerfile")},
    "warned-alone": {
        "tasks_from": "sources",
        "opensora_image_dockerfile": str(WRONG / "root_user.Dockerfile"),
        "opensora_image_build_arguments": {"WANTED": "1"},
    },
    "not-warned": {
        "tasks_from": "sources",
        "opensora_image_dockerfile": str(WRONG / "root_user.Dockerfile"),
        "opensora_image_dockerfile_ignored_findings": ["root_user"],
    },
    "own-files": {"tasks_from": "preflight", "opensora_image_flash_attention": "source"},
    "wrong-setting": {
        "tasks_from": "preflight",
        "opensora_image_dockerfile": str(WRONG / "allocator.Dockerfile"),
        "opensora_image_user": "root",
    },
}


@dataclass(frozen=True)
class Run:
    """What the run left behind: its output, and what it reported of each host."""

    output: str
    problems: dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the role for all hosts at once; every one of them is this machine."""
    folder = tmp_path_factory.mktemp("dockerfile")
    (folder / "Dockerfile").write_text(OWN)
    (folder / "own.txt").write_text("einops==0.8.0\n")
    own = {
        "opensora_image_dockerfile": str(folder / "Dockerfile"),
        "opensora_image_context_files": {"own.txt": str(folder / "own.txt")},
    }
    hosts = {**HOSTS, "own-files": {**HOSTS["own-files"], **own}}
    common = {
        **NOWHERE,
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "docker_engine_data_root": "",
        "gpu_host": {"engine": None, "disk": [], "driver": None, "cpu_count": 4, "memory_total_bytes": 2**36},
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": common}}))
    # Ansible includes a role once for all hosts, so that a template would be that of the first.
    roles = [
        {
            "ansible.builtin.include_role": {"name": "opensora_image", "tasks_from": name},
            "when": f"tasks_from == '{name}'",
        }
        for name in ("preflight", "sources", "main")
    ]
    kept = {"content": "{{ opensora_problems | to_json }}", "dest": f"{folder}/{{{{ inventory_hostname }}}}.json"}
    keep = {"ansible.builtin.copy": {**kept, "mode": "0600"}}
    play = {"hosts": "all", "gather_facts": False, "tasks": [{"block": roles, "always": [keep]}]}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    program = str(Path(sys.executable).parent / "ansible-playbook")
    done = subprocess.run(  # noqa: S603 (ansible-playbook of this environment)
        [program, "-i", str(folder / "hosts.yml"), str(folder / "play.yml"), "-f", "2"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    missing = [name for name in hosts if not (folder / f"{name}.json").exists()]
    assert missing == [], done.stdout + done.stderr
    # The callback wraps long lines.
    output = " ".join((done.stdout + done.stderr).split())
    return Run(output, {name: json.loads((folder / f"{name}.json").read_text()) for name in hosts})


def codes(problems: list[dict[str, Any]], severity: str) -> list[str]:
    """Return the codes of one severity."""
    return [problem["code"] for problem in problems if problem["severity"] == severity]


def test_an_error_is_reported_and_nothing_is_looked_up(run: Run) -> None:
    problems = run.problems["refused"]
    assert {problem["code"] for problem in problems} == {"dockerfile.unquoted_bound"}
    path = WRONG / "unquoted_bound.Dockerfile"
    assert problems[0]["message"].startswith(f"{path}:4: setuptools>=64.0.0 is not quoted")
    assert problems[0]["evidence"] == ["4 | setuptools>=64.0.0 \\"]


def test_an_error_refuses_the_role_on_its_own(run: Run) -> None:
    assert "fatal: [refused-alone]: FAILED!" in run.output
    assert f"{WRONG / 'allocator.Dockerfile'}:3: PYTORCH_CUDA_ALLOC_CONF=max_split_size_mb:8 holds" in run.output


def test_a_warning_is_shown_and_stops_nothing(run: Run) -> None:
    problems = run.problems["warned-alone"]
    assert codes(problems, "warning") == ["dockerfile.argument_unused", "dockerfile.root_user"]
    # The sources were looked up all the same, and are not there.
    assert codes(problems, "error")
    assert "ok: [warned-alone] => msg: |-" in run.output
    assert "WANTED of opensora_image_build_arguments is not declared" in run.output


def test_a_warning_that_is_not_wanted_is_not_there(run: Run) -> None:
    assert codes(run.problems["not-warned"], "warning") == []
    assert codes(run.problems["not-warned"], "error")


def test_the_context_is_what_the_role_sends(run: Run) -> None:
    found = [(problem["code"], problem["evidence"]) for problem in run.problems["own-files"]]
    assert found == [("dockerfile.source_missing", ["4 | COPY none.txt /"])]


def test_a_wrong_setting_comes_first(run: Run) -> None:
    assert codes(run.problems["wrong-setting"], "error") == ["variable.invalid"]
