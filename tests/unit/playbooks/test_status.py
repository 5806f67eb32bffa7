"""The status really run over hosts of which each lacks something."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.unit.playbooks.test_doctor import READ_ONLY, ROOT, Run, modules_of, play

if TYPE_CHECKING:
    from pathlib import Path

RECORDED = ("healthy-with-engine", "fresh-debian13", "mig", "gpu-off-the-bus")


def write_inventory(folder: Path) -> Path:
    local = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
    hosts: dict[str, dict[str, Any]] = {
        "away": {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_retries": 0},
        "python-absent": {**local, "ansible_python_interpreter": "/nonexistent/python3"},
    }
    for name in RECORDED:
        hosts[name] = {**local, "gpu_host_probe_root": str(ROOT / "tests/fixtures/hosts" / name)}
    inventory = folder / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"opensora_hosts": {"hosts": hosts}}))
    return inventory


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return the one run that the assertions share; it is in check mode, which makes no difference."""
    folder = tmp_path_factory.mktemp("status")
    arguments = ("-e", "opensora_status_directory=out", "-e", "opensora_status_samples=1", "--check")
    result = play(folder, "status.yml", "--inventory", str(write_inventory(folder)), *arguments)
    path = folder / "out/status.json"
    assert path.is_file(), result.stdout[-4000:] + result.stderr[-4000:]
    return Run(result.returncode, result.stdout, json.loads(path.read_text()), folder)


def test_the_run_is_no_failure_and_changes_nothing(run: Run) -> None:
    assert run.rc == 0, run.output[-4000:]
    assert set(re.findall(r"changed=(\d+)", run.output)) == {"0"}
    assert set(re.findall(r"failed=(\d+)", run.output)) == {"0"}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("away", "connection.unreachable"),
        ("python-absent", "connection.python_missing"),
        ("healthy-with-engine", "service.absent"),
        ("fresh-debian13", "driver.no_answer"),
        ("mig", "engine.absent"),
        ("gpu-off-the-bus", "gpu.missing"),
    ],
)
def test_every_host_says_what_it_lacks(run: Run, name: str, code: str) -> None:
    first = run.report["hosts"][name]["problems"][0]
    assert first["code"] == code
    assert re.search(rf"^{re.escape(name[:15])}", run.output, re.MULTILINE)
    assert f"<bdi>{name}</bdi>" in (run.folder / "out/index.html").read_text()


def test_settings_are_refused_before_any_host_is_asked(run: Run) -> None:
    arguments = ("--inventory", str(run.folder / "hosts.yml"), "-e", "opensora_status_samples=99")
    result = play(run.folder, "status.yml", *arguments)
    assert result.returncode == 2
    assert "opensora_status_samples is '99', allowed is a whole number from 1 to 60" in result.stdout
    assert "Read how the host is doing" not in result.stdout


def test_it_and_what_it_includes_only_reads() -> None:
    (status,) = yaml.safe_load((ROOT / "playbooks/status.yml").read_text())
    modules = modules_of(status["tasks"], ROOT / "playbooks")
    assert modules.keys() - READ_ONLY == {"opensora_status_info", "opensora_show_status"}


def test_folders_are_those_of_the_service_by_default() -> None:
    (_, task, _) = yaml.safe_load((ROOT / "roles/opensora_status/tasks/main.yml").read_text())
    defaults = yaml.safe_load((ROOT / "roles/opensora_service/defaults/main.yml").read_text())
    for name in ("checkpoints_directory", "samples_directory"):
        assert f"default('{defaults[f'opensora_service_{name}']}', true)" in task["opensora_status_info"][name]
