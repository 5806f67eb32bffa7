"""A whole host read into its status, from recorded answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.opensora.host_probe import NOT_RUN, CommandResult
from ansible.module_utils.opensora.status_reading import read_status

from tests.unit.module_utils.test_status_gpus import A, line
from tests.unit.module_utils.test_status_services import container

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.module_utils.conftest import RecordedHost

XML = f"""<?xml version="1.0" ?>
<nvidia_smi_log><driver_version>580.159.04</driver_version><gpu id="00000000:00:06.0"><uuid>{A}</uuid>
<product_name>NVIDIA H100</product_name></gpu></nvidia_smi_log>"""
INFO = json.dumps({"DockerRootDir": "/var/lib/docker"})
VERSION = json.dumps({"Server": {"Version": "29.7.2"}})


class Host:
    """Answers by the words of a command; every answer can be replaced."""

    def __init__(self, recorded: RecordedHost) -> None:
        self.recorded = recorded
        recorded.run = self.run
        recorded.write("/usr/bin/docker")
        recorded.write("/srv/samples/one/record.json", json.dumps({"id": "one", "prompt": "sea"}))
        recorded.write("/proc/uptime", "5000.25 100.0")
        self.asked: list[str] = []
        self.answers: dict[str, CommandResult] = {
            "nvidia-smi -q -x": CommandResult(0, XML),
            "nvidia-smi --query-compute-apps": CommandResult(0, f"{A}, 12\n"),
            "nvidia-smi --query-gpu": CommandResult(0, line()),
            "docker version": CommandResult(0, VERSION),
            "docker info": CommandResult(0, INFO),
            "docker ps": CommandResult(0, "a" * 64),
            "docker container inspect": CommandResult(0, json.dumps([container()])),
            "find /srv/samples": CommandResult(0, "1000.0 one/record.json\n"),
            "df": CommandResult(0, ""),
        }

    def run(self, argv: Sequence[str]) -> CommandResult:
        command = " ".join(argv)
        self.asked.append(command)
        return next((answer for words, answer in self.answers.items() if command.startswith(words)), NOT_RUN)

    def read(self, samples: int = 3) -> dict[str, Any]:
        return read_status(
            self.recorded,
            samples=samples,
            interval=0,
            checkpoints_directory="/srv/opensora/ckpts",
            samples_directory="/srv/opensora/samples",
        )


@pytest.fixture
def host(recorded: RecordedHost) -> Host:
    return Host(recorded)


def test_a_host_in_order(host: Host):
    status = host.read()
    assert status["uptime_seconds"] == 5000
    assert status["driver"] == {"version": "580.159.04", "error": None}
    (gpu,) = status["gpus"]
    assert (gpu["name"], gpu["utilization_percent"], gpu["process_count"]) == ("NVIDIA H100", 96, 1)
    assert len(gpu["samples"]) == 3
    (service,) = status["services"]
    assert service["last_generation"]["prompt"] == "sea"
    assert service["last_generation_unknown"] is None
    assert [entry["holds"] for entry in status["disks"]] == ["checkpoints", "samples", "engine"]
    # The folders are the service's own, not those of the variables.
    assert [entry["path"] for entry in status["disks"]] == ["/srv/ckpts", "/srv/samples", "/var/lib/docker"]


def test_a_bare_host(host: Host):
    host.answers = {}
    (host.recorded.root / "usr/bin/docker").unlink()
    status = host.read()
    assert status["driver"] == {"version": None, "error": "there is no nvidia-smi"}
    assert status["gpus"] == []
    assert status["engine"] == {"kind": "none", "version": None, "running": False, "error": None}
    assert status["services"] == []
    assert [entry["path"] for entry in status["disks"]] == ["/srv/opensora/ckpts", "/srv/opensora/samples"]
    assert {entry["free_bytes"] for entry in status["disks"]} == {None}


def test_a_driver_that_hangs_is_asked_once(host: Host):
    host.answers["nvidia-smi"] = CommandResult(timed_out=True)
    for words in ("nvidia-smi -q -x", "nvidia-smi --query-gpu"):
        host.answers[words] = CommandResult(timed_out=True)
    status = host.read(samples=60)
    assert status["driver"]["error"] == "nvidia-smi did not answer in time"
    assert sum("--query-gpu" in command for command in host.asked) == 1


def test_an_engine_that_is_down(host: Host):
    host.answers["docker version"] = CommandResult(1, "", "Cannot connect to the Docker daemon")
    host.answers["docker ps"] = CommandResult(1, "", "Cannot connect to the Docker daemon")
    status = host.read()
    assert status["engine"]["running"] is False
    assert status["engine"]["error"] == "Cannot connect to the Docker daemon"
    assert status["services"] == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (CommandResult(timed_out=True), "docker did not answer in time"),
        (CommandResult(1, "", "permission denied"), "permission denied"),
        (CommandResult(1, "", ""), "docker ps failed"),
    ],
)
def test_services_that_can_not_be_listed(host: Host, answer: CommandResult, words: str):
    host.answers["docker ps"] = answer
    status = host.read()
    assert status["services"] == []
    assert status["services_unknown"] == words


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (CommandResult(0, ""), "no video yet"),
        (CommandResult(1, "", "find: '/srv/samples': Permission denied"), "find: '/srv/samples': Permission denied"),
        (CommandResult(timed_out=True), "/srv/samples could not be listed in time"),
        (CommandResult(0, "1000 two/record.json"), "/srv/samples/two/record.json can't be read"),
        (CommandResult(0, "1000 bad/record.json"), "/srv/samples/bad/record.json is no record of a video"),
    ],
)
def test_why_there_is_no_last_video(host: Host, answer: CommandResult, words: str):
    host.recorded.write("/srv/samples/bad/record.json", "not JSON")
    host.answers["find /srv/samples"] = answer
    (service,) = host.read()["services"]
    assert service["last_generation"] is None
    assert service["last_generation_unknown"].startswith(words)


def test_a_refused_list_of_processes_is_not_none_of_them(host: Host):
    host.answers["nvidia-smi --query-compute-apps"] = CommandResult(2, "")
    (gpu,) = host.read()["gpus"]
    assert gpu["process_count"] is None


def test_mig_instances_have_their_names(host: Host):
    mig = "<mig_mode><current_mig>Enabled</current_mig></mig_mode></gpu>"
    host.answers["nvidia-smi -q -x"] = CommandResult(0, XML.replace("</gpu>", mig))
    host.answers["nvidia-smi -L"] = CommandResult(
        0, f"GPU 0: NVIDIA H100 (UUID: {A})\n  MIG 3g.40gb     Device  0: (UUID: MIG-1-2)\n"
    )
    (gpu,) = host.read()["gpus"]
    assert gpu["mig_enabled"] is True
    assert gpu["mig_devices"] == ["3g.40gb"]
