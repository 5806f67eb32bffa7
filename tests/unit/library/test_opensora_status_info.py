"""The module over recorded hosts: it answers everywhere and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import opensora_status_info
import pytest
import yaml

HOSTS = Path(__file__).resolve().parents[2] / "fixtures/hosts"


@pytest.fixture
def look(run_module):
    def run(name: str, **options: Any) -> dict[str, Any]:
        result = run_module(
            opensora_status_info,
            probe_root=str(HOSTS / name),
            samples=1,
            interval=0,
            samples_directory="/srv/x",
            **options,
        )
        assert result["changed"] is False
        return result["status"]

    return run


def test_a_healthy_host(look):
    status = look("healthy-with-engine")
    assert status["driver"] == {"version": "580.159.04", "error": None}
    assert [gpu["name"] for gpu in status["gpus"]] == ["NVIDIA H100 80GB HBM3"]
    assert status["engine"]["running"] is True
    assert status["bus_gpu_count"] == 1
    assert [entry["holds"] for entry in status["disks"]] == ["samples", "engine"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("fresh-debian13", "there is no nvidia-smi"),
        (
            "library-mismatch",
            "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.178",
        ),
    ],
)
def test_a_host_without_a_driver_that_answers(look, name: str, error: str):
    status = look(name)
    assert status["gpus"] == []
    assert status["driver"] == {"version": None, "error": error}


def test_mig(look):
    (gpu,) = look("mig")["gpus"]
    assert gpu["mig_enabled"] is True
    assert len(gpu["mig_devices"]) == 2


@pytest.mark.parametrize("name", sorted(path.name for path in HOSTS.iterdir() if path.is_dir()))
def test_it_answers_on_every_host(look, name: str):
    status = look(name)
    documented = yaml.safe_load(opensora_status_info.RETURN)["status"]["contains"]
    assert sorted(status) == sorted(documented)
    for gpu in status["gpus"]:
        missing = [key for key in gpu["unknown"] if gpu[key] is not None]
        assert missing == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples is 0, allowed is a number from 1 to 60"),
        ({"samples": 61}, "samples is 61, allowed is a number from 1 to 60"),
        ({"interval": -1}, "interval is -1.0, allowed is a number from 0 to 60"),
    ],
)
def test_refused_options(run_module, options: dict[str, Any], message: str):
    result = run_module(opensora_status_info, **options)
    assert result["failed"] is True
    assert result["msg"] == message


def test_documentation_names_the_options():
    documented = yaml.safe_load(opensora_status_info.DOCUMENTATION)["options"]
    assert {name: option.get("default") for name, option in documented.items()} == {
        name: option.get("default") for name, option in opensora_status_info.ARGUMENT_SPEC.items()
    }
    assert json.dumps(yaml.safe_load(opensora_status_info.RETURN))
