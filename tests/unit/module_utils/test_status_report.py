"""What is said of a host."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.opensora.status_report import disk_groups, make_host, summary

from tests.unit.module_utils import status_examples as examples

NO_ENGINE = {"kind": "none", "version": None, "running": False, "error": None}
STOPPED = {"kind": "docker", "version": None, "running": False, "error": "Cannot connect to the Docker daemon"}
PODMAN = {"kind": "podman", "version": None, "running": False, "error": None}
NO_DRIVER = {"version": None, "error": "there is no nvidia-smi"}
FULL = [examples.disk("engine", "/", 40, 894)]


def changed(**different: Any) -> dict[str, Any]:
    return {"status": examples.status(1, 2, **different)}


def with_service(**different: Any) -> dict[str, Any]:
    return changed(services=[examples.service(1, 2, **different)])


@pytest.mark.parametrize(
    ("result", "codes"),
    [
        (changed(), []),
        (with_service(health=None), []),
        (with_service(health="starting"), ["service.starting"]),
        (with_service(health="unhealthy"), ["service.not_healthy"]),
        # The engine keeps the last health of a container that ended.
        (with_service(status="exited", health="healthy", exit_code=1), ["service.not_healthy"]),
        (changed(services=[]), ["service.absent"]),
        (changed(services=[], services_unknown="docker ps failed"), ["engine.no_answer"]),
        (changed(services=[], engine=NO_ENGINE), ["engine.absent"]),
        (changed(services=[], engine=STOPPED), ["engine.no_answer"]),
        (changed(services=[], engine=PODMAN), ["engine.other"]),
        (changed(gpus=[], driver=NO_DRIVER), ["driver.no_answer"]),
        (changed(gpus=[], driver=NO_DRIVER, bus_gpu_count=0), ["pci.no_gpu"]),
        (changed(bus_gpu_count=3), ["gpu.missing"]),
        # A container that stands for a host may see no bus at all.
        (changed(bus_gpu_count=0), []),
        (changed(gpus=[examples.gpu(1, 0, healthy=False), examples.gpu(1, 1)]), ["gpu.sick"]),
        (changed(gpus=[examples.gpu(1, 0, healthy=None), examples.gpu(1, 1)]), []),
        (changed(disks=FULL), ["disk.nearly_full"]),
        (changed(disks=[examples.disk("engine", "/", 45, 894)]), []),
        (changed(disks=[{**FULL[0], "free_bytes": None}]), []),
    ],
)
def test_what_needs_attention(result: dict[str, Any], codes: list[str]):
    host = make_host("gpu01", result)
    assert [problem["code"] for problem in host.problems] == codes
    assert host.state == ("attention" if codes else "ok")


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (examples.UNREACHABLE, "connection.unreachable"),
        ({}, "connection.unreachable"),
        ({"failed": False, "msg": "The module interpreter '/x/python3' was not found."}, "connection.unreadable"),
        ({"msg": "/bin/sh: 1: /usr/bin/python3: not found"}, "connection.python_missing"),
    ],
)
def test_a_host_that_could_not_be_read(result: dict[str, Any], code: str):
    host = make_host("gpu01", result)
    assert host.state == "unreachable"
    assert [problem["code"] for problem in host.problems] == [code]
    assert json.loads(json.dumps(host.as_dict()))["state"] == "unreachable"


def test_no_secret_and_no_control_character_is_shown():
    result = with_service(status="exited", exit_code=1, error="https://me:hunter22@registry.example.com\x1b[2J")
    result["status"]["services"][0]["last_generation"]["prompt"] = "my token=hf_abcdefghijklmnopqrstuvwx"
    text = json.dumps(make_host("gpu01", result).as_dict())
    assert "hunter22" not in text
    assert "hf_abc" not in text
    (problem,) = make_host("gpu01", result).problems
    assert problem["evidence"] == ["https://***@registry.example.com [2J"]


def test_file_systems_stand_once():
    disks = [examples.disk("checkpoints", "/srv", 1, 2), examples.disk("samples", "/srv", 1, 2)]
    (group,) = disk_groups(disks)
    assert group["holds"] == ["checkpoints", "samples"]
    assert group["paths"] == ["/srv/opensora/ckpts", "/srv/opensora/samples"]


def test_what_could_not_be_measured_is_not_thrown_together():
    disks = [{**examples.disk(holds, "/", 1, 2), "mount": None} for holds in ("checkpoints", "samples")]
    assert len(disk_groups(disks)) == 2


def test_summary():
    assert summary(examples.one_host()) == "1 host, all well"
    assert summary(examples.six_hosts()) == "6 hosts, 4 need attention, 1 not readable"
    assert summary(examples.six_hosts()[:1]) == "1 host, 1 needs attention"
