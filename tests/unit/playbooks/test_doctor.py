"""The doctor really run over every recorded host, and over hosts that can't be read."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.opensora.doctor_report import LAYERS

from tests.unit.module_utils.test_doctor_report import HOST, SERVICE, problem

ROOT = Path(__file__).resolve().parents[3]
RECORDED = sorted(path.name for path in (ROOT / "tests/fixtures/hosts").iterdir() if path.is_dir())
FORKS = "2"  # spares the machine

# host: (first broken layer, words of its next action)
EXPECTED: dict[str, tuple[str | None, str]] = {
    "audio-only": ("pci", "Check that the card is seated and passed through"),
    "fresh-debian12": ("packages", "run playbooks/driver.yml"),
    "fresh-debian13": ("packages", "run playbooks/driver.yml"),
    "half-configured": ("packages", "a reboot does not help"),
    "hgx-without-fabric": ("fabric", "nvidia-fabricmanager"),
    "loaded-differs": ("kernel_module", "Reboot"),
    "no-gpu": ("pci", "Check that the card is seated and passed through"),
    "nouveau": ("kernel_module", "Reboot"),
    "secure-boot": ("firmware", "mokutil --import"),
    "snap-docker": ("engine", "snap remove docker"),
    "uvm-absent": ("kernel_module", "nvidia-modprobe"),
    "wrong-flavour": ("kernel_module", "flavour"),
    "h100-debian13": (None, ""),
    # Not recorded: hosts that can't be read at all.
    "away": ("connection", "Try `ssh`"),
    "python-too-old": ("connection", "Install Python 3.9 or newer"),
    "python-absent": ("connection", "Install the package python3"),
    "empty-folder": ("connection", "absolute path"),
}
NOT_RECORDED = ("away", "empty-folder", "python-absent", "python-too-old")


@dataclass(frozen=True)
class Run:
    """What one run of the playbook left behind."""

    rc: int
    output: str
    report: dict[str, Any]
    folder: Path


def recorded_folder(name: str, tmp_path: Path) -> Path:
    """Return the folder of a recorded host; with its times set where it names some, which a checkout does not keep."""
    folder = ROOT / "tests/fixtures/hosts" / name
    if not (folder / ".times").is_file():
        return folder
    copy = tmp_path / "hosts" / name
    shutil.copytree(folder, copy, symlinks=True)
    for line in (folder / ".times").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            path, epoch = line.rsplit(maxsplit=1)
            os.utime(copy / path.strip().lstrip("/"), (int(epoch), int(epoch)))
    return copy


def write_inventory(folder: Path) -> Path:
    """Write an inventory of all recorded hosts and of some that can't be read."""
    (folder / "nothing").mkdir()
    too_old = folder / "python3.6"
    too_old.write_text(
        "#!/bin/sh\ncat >/dev/null\necho 'SyntaxError: future feature annotations is not defined' >&2\nexit 1\n"
    )
    too_old.chmod(0o755)
    local = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
    hosts: dict[str, dict[str, Any]] = {
        name: {**local, "gpu_host_probe_root": str(recorded_folder(name, folder))} for name in RECORDED
    }
    hosts["empty-folder"] = {**local, "gpu_host_probe_root": str(folder / "nothing")}
    hosts["python-too-old"] = {**local, "ansible_python_interpreter": str(too_old)}
    hosts["python-absent"] = {**local, "ansible_python_interpreter": "/nonexistent/python3"}
    hosts["away"] = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_retries": 0}
    inventory = folder / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"opensora_hosts": {"hosts": hosts}}))
    return inventory


def play(folder: Path, playbook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook in a folder."""
    command = [sys.executable, "-m", "ansible", "playbook", "--forks", FORKS, *arguments]
    return subprocess.run(  # noqa: S603  the playbooks are this project's
        [*command, str(ROOT / "playbooks" / playbook)],
        cwd=folder,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return the one run that all assertions share; it is in check mode, which makes no difference."""
    folder = tmp_path_factory.mktemp("doctor")
    result = play(folder, "doctor.yml", "--check", "--inventory", str(write_inventory(folder)))
    path = folder / "doctor/report.json"
    assert path.is_file(), result.stdout[-4000:] + result.stderr[-4000:]
    return Run(result.returncode, result.stdout, json.loads(path.read_text()), folder)


def table_of(output: str, host: str) -> str:
    """Return what is printed of one host."""
    match = re.search(rf"^{re.escape(host)}: (?:.*\n)+?(?=\n\n\S|\nThe same as JSON)", output, re.MULTILINE)
    assert match, f"there is no table of {host}"
    return match.group()


def test_the_run_is_no_failure_and_changes_nothing(run: Run) -> None:
    assert run.rc == 0, run.output[-4000:]
    assert set(re.findall(r"changed=(\d+)", run.output)) == {"0"}


def test_every_host_is_in_the_report_and_in_the_summary(run: Run) -> None:
    names = sorted([*RECORDED, *NOT_RECORDED])
    assert sorted(run.report["hosts"]) == names
    summary = run.output.split("hosts, ", 1)[1].split("\n\n\n", 1)[0]
    assert [name for name in names if not re.search(rf"^{re.escape(name)}  ", summary, re.MULTILINE)] == []


@pytest.mark.parametrize("name", [*RECORDED, *NOT_RECORDED])
def test_host(run: Run, name: str) -> None:
    entry = run.report["hosts"][name]
    shown = table_of(run.output, name)
    assert list(entry) == ["layers", "first_broken", "problems"]
    assert [layer for layer in LAYERS if layer in entry["layers"]] == list(entry["layers"])
    for layer, line in entry["layers"].items():
        assert line["state"] in ("ok", "warning", "broken", "not_judged")
        assert re.search(
            rf"^{layer} +{line['state'].replace('_', ' ')} +{re.escape(line['found'])}$", shown, re.MULTILINE
        )
    broken = [layer for layer, line in entry["layers"].items() if line["state"] == "broken"]
    assert entry["first_broken"] == (broken[0] if broken else None)
    assert shown.splitlines()[0].startswith(
        f"{name}: first broken layer: {broken[0]}" if broken else f"{name}: no broken layer"
    )
    for found in entry["problems"]:
        lines = (found["message"], f"-> {found['next_action']}", *(f"| {line}" for line in found["evidence"]))
        assert [line for line in lines if line not in shown] == []
        assert entry["layers"][found["layer"]]["state"] in ("broken", "warning")


@pytest.mark.parametrize("name", EXPECTED)
def test_first_broken_layer_and_next_action(run: Run, name: str) -> None:
    layer, action = EXPECTED[name]
    entry = run.report["hosts"][name]
    assert entry["first_broken"] == layer, entry["problems"]
    if layer is not None:
        of_layer = [found for found in entry["problems"] if found["layer"] == layer]
        assert action in of_layer[0]["next_action"]


def test_a_recorded_host_is_read_from_its_folder_alone(run: Run) -> None:
    """Neither this machine's engine nor a service on it is asked, not even where the folder has an engine."""
    layers = run.report["hosts"]["h100-debian13"]["layers"]
    assert layers["engine"]["state"] == "ok"
    assert {layers[layer]["found"] for layer in ("image", "compose", "application")} == {
        "not looked at: a recorded host runs nothing"
    }
    assert "opensora_service" not in re.findall(r"^TASK \[(\w+) :", run.output, re.MULTILINE)


def test_the_report_can_be_read_by_everyone_and_is_whole(run: Run) -> None:
    path = run.folder / "doctor/report.json"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in path.parent.iterdir()] == ["report.json"]


def test_it_can_be_asked_to_fail(run: Run) -> None:
    arguments = (
        "--limit",
        "h100-debian13,nouveau",
        "-e",
        "opensora_doctor_fail=true",
        "-e",
        "opensora_doctor_report=a/b.json",
    )
    result = play(run.folder, "doctor.yml", "--inventory", str(run.folder / "hosts.yml"), *arguments)
    assert result.returncode == 2
    assert "broken: nouveau (kernel_module)" in result.stdout
    assert sorted(json.loads((run.folder / "a/b.json").read_text())["hosts"]) == ["h100-debian13", "nouveau"]


def test_no_other_playbook_works_on_a_recorded_host(run: Run) -> None:
    """It would change this machine instead."""
    arguments = ("--check", "--inventory", str(run.folder / "hosts.yml"), "--limit", "h100-debian13")
    result = play(run.folder, "driver.yml", *arguments)
    assert result.returncode != 0
    assert "gpu_host_probe_root is" in result.stdout + result.stderr


# --- what the playbook is made of

# Modules that change nothing on a host, and actions that run on the control node.
READ_ONLY = {
    "ansible.builtin.assert",
    "ansible.builtin.fail",
    "ansible.builtin.meta",
    "ansible.builtin.set_fact",
    "gpu_host_info",
    "opensora_doctor_report",
    "opensora_preflight_unreadable",
    "opensora_service_info",
}
INCLUDES = re.compile(r"^ansible\.builtin\.(include|import)_(role|tasks)$")
KEYWORDS = {
    *("name", "block", "rescue", "always", "when", "vars", "register", "loop", "loop_control", "run_once", "tags"),
    *("ignore_errors", "ignore_unreachable", "changed_when", "failed_when", "check_mode", "become", "no_log"),
}


def modules_of(tasks: list[dict[str, Any]], folder: Path) -> dict[str, list[str]]:
    """Return every module that tasks and what they include use, with the names of those tasks."""
    found: dict[str, list[str]] = {}

    def add(more: dict[str, list[str]]) -> None:
        for module, names in more.items():
            found.setdefault(module, []).extend(names)

    for task in tasks:
        for part in ("block", "rescue", "always"):
            add(modules_of(task.get(part) or [], folder))
        for key in task.keys() - KEYWORDS:
            if not INCLUDES.match(key):
                add({key: [f"{folder.parent.name}: {task.get('name')}"]})
                continue
            argument = task[key]
            if key.endswith("_role"):
                place = ROOT / "roles" / argument["name"] / "tasks"
                path = place / f"{argument.get('tasks_from', 'main')}.yml"
            else:
                place = folder
                path = folder / (argument if isinstance(argument, str) else argument["file"])
            add(modules_of(yaml.safe_load(path.read_text()), place))
    return found


def test_it_and_what_it_includes_only_reads() -> None:
    (doctor,) = yaml.safe_load((ROOT / "playbooks/doctor.yml").read_text())
    assert doctor.keys() & {"roles", "pre_tasks", "post_tasks", "handlers", "vars_files"} == set()
    modules = modules_of(doctor["tasks"], ROOT / "playbooks")
    assert {module: tasks for module, tasks in modules.items() if module not in READ_ONLY} == {}
    # The two that look at a host are really among them, so that this test has followed the includes.
    assert {"gpu_host_info", "opensora_service_info"} <= modules.keys()


@pytest.mark.parametrize("module", sorted(name for name in READ_ONLY if (ROOT / f"library/{name}.py").is_file()))
def test_the_modules_of_ours_say_that_they_change_nothing(module: str) -> None:
    text = (ROOT / f"library/{module}.py").read_text()
    assert "changed=False" in text
    assert "changed=True" not in text
    assert "supports_check_mode=True" in text


# --- the service of a live host, with stand-ins for the two modules that look at it

READS_HOST = """
import json
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(
    {name: {"type": kind} for name, kind in
     dict(probe_root="path", wanted="dict", paths="list", sdk_directory="path", docker_host="str",
          control_time="float").items()},
    supports_check_mode=True,
)
host = json.loads(HOST)
if "no-sdk" in module.params["docker_host"]:
    host["engine"]["sdk"] = None
if "no-engine" in module.params["docker_host"]:
    host["engine"].update(kind="none", running=False)
module.exit_json(changed=False, gpu_host=host)
"""
READS_SERVICE = """
import json
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(
    {name: {"type": kind} for name, kind in
     dict(project_name="str", project_directory="path", gpus="list", image="str", build_key="str", user="str",
          proof_command="list", docker_host="str").items()},
    supports_check_mode=True,
)
asked = module.params["docker_host"]
service, problems = dict(json.loads(SERVICE), name=f"GPUs {module.params['gpus']}"), []
if "crash" in asked:
    module.fail_json(msg="no module named docker")
if "absent" in asked:
    service = {"state": "absent"}
    problems = [dict(json.loads(PROBLEM), layer="compose", code="service.absent")]
if "unwell" in asked:
    service["health"] = "unhealthy"
    problems = [dict(json.loads(PROBLEM), layer="application", code="service.not_healthy")]
module.exit_json(changed=False, service=service, problems=problems)
"""
LIVE: dict[str, tuple[str | None, str, str]] = {
    # host: (first broken layer, what is found of compose, what is found of application)
    "healthy": (
        None,
        "GPUs ['GPU-1', 'GPU-2'] of user 10001:10001, 2 GPU(s) reserved",
        "running, healthy, 0 restart(s)",
    ),
    "unwell": (
        "application",
        "GPUs ['GPU-1', 'GPU-2'] of user 10001:10001, 2 GPU(s) reserved",
        "running, unhealthy, 0 restart(s)",
    ),
    # The wish is wrong: said so, and the running service looked at without comparing its GPUs.
    "wrong-wish": (
        "configuration",
        "GPUs None of user 10001:10001, 2 GPU(s) reserved",
        "running, healthy, 0 restart(s)",
    ),
    "absent": (None, "not deployed", "not deployed"),
    "crash": (None, "not looked at: no module named docker", "not looked at: no module named docker"),
    "no-sdk": (None, "not deployed: no Docker SDK, which playbooks/engine.yml installs", ""),
    "no-engine": (None, "not deployed: no engine", ""),
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Return the reports of hosts with and without a service, and in check mode those of two of them."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "library").mkdir()
    gpus = [
        {"index": index, "uuid": f"GPU-{index + 1}", "name": "NVIDIA H100", "architecture": "Hopper", "healthy": True}
        | {"pci_bus_id": "0000:06:00.0", "memory_total_mib": 81559, "mig": {"enabled": False, "devices": []}}
        for index in range(2)
    ]
    specification = {**HOST["toolkit"]["cdi_specs"][0], "kind": "nvidia.com/gpu", "devices": ["GPU-1", "GPU-2", "all"]}
    host = {
        **HOST,
        "gpus": gpus,
        "memory_total_bytes": 2**38,
        "toolkit": {"version": "1.20.0", "cdi_specs": [specification]},
    }
    texts = f"HOST = {json.dumps(host)!r}\nSERVICE = {json.dumps(SERVICE)!r}\nPROBLEM = {json.dumps(problem('x'))!r}\n"
    for name, text in (("gpu_host_info", READS_HOST), ("opensora_service_info", READS_SERVICE)):
        (folder / f"library/{name}.py").write_text(f"#!/usr/bin/python\n{texts}{text}")
    shared = {
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
        "docker_engine_sdk_directory": sys.prefix,
    }
    hosts: dict[str, dict[str, Any]] = {name: {"docker_engine_socket": f"unix:///{name}"} for name in LIVE}
    hosts["wrong-wish"]["opensora_service_gpus"] = "[?memory_total_mib > `999999`]"
    inventory = folder / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"opensora_hosts": {"hosts": hosts, "vars": shared}}))
    reports: dict[str, dict[str, Any]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANSIBLE_LIBRARY", str(folder / "library"))
        for mode, arguments in (("run", ()), ("check", ("--check", "--limit", "healthy,wrong-wish"))):
            result = play(folder, "doctor.yml", "--inventory", str(inventory), *arguments)
            assert result.returncode == 0, result.stdout[-4000:]
            reports[mode] = json.loads((folder / "doctor/report.json").read_text())["hosts"]
    return reports


@pytest.mark.parametrize("name", LIVE)
def test_live_host(live: dict[str, dict[str, Any]], name: str) -> None:
    first_broken, compose, application = LIVE[name]
    entry = live["run"][name]
    assert entry["first_broken"] == first_broken, entry
    assert entry["layers"]["compose"]["found"] == compose
    assert entry["layers"]["application"]["found"] == (application or compose)


def test_check_mode_says_the_same(live: dict[str, dict[str, Any]]) -> None:
    assert sorted(live["check"]) == ["healthy", "wrong-wish"]
    assert live["check"] == {name: live["run"][name] for name in live["check"]}
