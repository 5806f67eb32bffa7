"""The services that the engine's own command describes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.opensora.status_services import describe_service, epoch, parse_inspect, parse_list

NOW = 1_764_061_200.0  # 2025-11-25T09:00:00Z
LABELS = {
    "com.docker.compose.project": "opensora",
    "com.docker.compose.service": "opensora",
    "org.opensora-site.environment-profile": "performance",
    "org.opensora-site.build-key": "0123",
}


def container(labels: dict[str, str] | None = None, **state: Any) -> dict[str, Any]:
    return {
        "Id": "a" * 64,
        "Name": "/opensora-opensora-1",
        "Image": "sha256:one",
        "RestartCount": 2,
        "Config": {
            "Labels": {**LABELS, **(labels or {})},
            "Image": "opensora@sha256:abc",
            "WorkingDir": "/opt/open-sora",
        },
        "State": {
            "Status": "running",
            "Health": {"Status": "healthy"},
            "StartedAt": "2025-11-25T08:00:00.123456789Z",
            "ExitCode": 0,
            **state,
        },
        "HostConfig": {
            "DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=GPU-b", "nvidia.com/gpu=GPU-a"]}]
        },
        "Mounts": [
            {"Source": "/srv/ckpts", "Destination": "/opt/open-sora/ckpts"},
            {"Source": "/srv/samples", "Destination": "/opt/open-sora/samples"},
        ],
    }


def test_list():
    assert parse_list(f"{'a' * 64}\nWARNING: something\n{'b' * 12}\n") == ["a" * 64, "b" * 12]


@pytest.mark.parametrize(
    ("labels", "is_ours"),
    [
        ({}, True),
        ({"com.docker.compose.project": "opensora-b"}, True),
        ({"com.docker.compose.project": "someone-else"}, False),
        ({"com.docker.compose.oneoff": "True"}, False),
        ({"com.docker.compose.oneoff": "False"}, True),
    ],
)
def test_whose_containers_count(labels: dict[str, str], is_ours: bool):
    assert bool(parse_inspect(json.dumps([container(labels)]))) is is_ours


@pytest.mark.parametrize("text", ["", "Error: No such container", "{}", "null"])
def test_no_answer_is_no_service(text: str):
    assert parse_inspect(text) == []


def test_running_service():
    service = describe_service(container(), NOW)
    assert service["name"] == "opensora-opensora-1"
    assert (service["status"], service["health"], service["restart_count"]) == ("running", "healthy", 2)
    assert service["uptime_seconds"] == 3600
    assert service["exit_code"] is None
    assert service["gpus"] == ["GPU-a", "GPU-b"]
    assert service["samples_directory"] == "/srv/samples"
    assert service["checkpoints_directory"] == "/srv/ckpts"


def test_a_service_that_ended_has_no_uptime():
    service = describe_service(container(Status="exited", ExitCode=137), NOW)
    assert service["uptime_seconds"] is None
    assert service["exit_code"] == 137


def test_without_mounts_nobody_knows_the_folders():
    service = describe_service({**container(), "Mounts": []}, NOW)
    assert service["samples_directory"] is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2025-11-25T09:00:00Z", NOW),
        ("2025-11-25T09:00:00.5Z", NOW),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        (None, None),
        ("yesterday", None),
    ],
)
def test_epoch(text: object, seconds: float | None):
    assert epoch(text) == seconds
