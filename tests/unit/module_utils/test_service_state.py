"""What is read of a container and what is decided from it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible.module_utils.opensora.service_state import (
    ServiceState,
    decide,
    describe_state,
    from_inspect,
    predict_state,
)

INSPECTED = {
    "Id": "abcdef0123456789",
    "Name": "/opensora-opensora-1",
    "Image": "sha256:one",
    "RestartCount": 0,
    "Config": {
        "Image": "opensora@sha256:digest",
        "User": "10001:10001",
        "Labels": {"com.docker.compose.config-hash": "hash"},
    },
    "State": {
        "Status": "running",
        "ExitCode": 0,
        "OOMKilled": False,
        "Error": "",
        "StartedAt": "2026-11-25T04:34:46Z",
        "Health": {"Status": "healthy", "Log": [{"ExitCode": 0, "Output": "well\n"}]},
    },
    "HostConfig": {
        "DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=GPU-b", "nvidia.com/gpu=GPU-a"]}]
    },
}
RUNNING = from_inspect(INSPECTED)
SAME = {
    "config_hash": "hash",
    "image": "x",
    "image_id": "sha256:one",
    "gpus": ["GPU-a", "GPU-b"],
    "file_differs": False,
}


def test_reads_a_container():
    assert RUNNING.gpus == ("GPU-a", "GPU-b")
    assert RUNNING.device_driver == "cdi"
    assert RUNNING.name == "opensora-opensora-1"
    assert RUNNING.health == "healthy"
    assert RUNNING.health_log == ((0, "well"),)


@pytest.mark.parametrize("missing", ["Config", "State", "HostConfig"])
def test_reads_a_container_with_gaps(missing):
    state = from_inspect({**INSPECTED, missing: None})
    assert state.container_id == "abcdef0123456789"


def test_plain_device_ids_and_no_health_check():
    inspected = {
        **INSPECTED,
        "HostConfig": {"DeviceRequests": [{"Driver": "nvidia", "DeviceIDs": ["GPU-a"]}]},
        "State": {"Status": "running", "Health": {"Status": "none"}},
    }
    state = from_inspect(inspected)
    assert (state.gpus, state.health) == (("GPU-a",), None)


@pytest.mark.parametrize(
    ("found", "change", "action", "keys", "force"),
    [
        (RUNNING, {}, "none", (), False),
        (RUNNING, {"gpus": ["GPU-b", "GPU-a"]}, "none", (), False),
        (replace(RUNNING, health="starting"), {}, "none", (), False),
        (replace(RUNNING, status="restarting"), {}, "none", (), False),
        (ServiceState(), {}, "create", ("container",), False),
        (ServiceState(), {"config_hash": None, "image_id": None}, "create", ("container",), False),
        (RUNNING, {"config_hash": "other"}, "replace", ("definition",), False),
        (RUNNING, {"image_id": "sha256:two"}, "replace", ("image",), True),
        (RUNNING, {"image_id": None}, "replace", ("image",), True),
        (RUNNING, {"gpus": ["GPU-a"]}, "replace", ("gpus",), True),
        (RUNNING, {"gpus": ["GPU-a"], "config_hash": "other"}, "replace", ("definition", "gpus"), False),
        (replace(RUNNING, health="unhealthy"), {}, "replace", ("health",), True),
        (replace(RUNNING, status="paused"), {}, "replace", ("status",), True),
        (replace(RUNNING, other_containers=("x",)), {}, "replace", ("container",), True),
        (replace(RUNNING, status="exited", health="unhealthy"), {}, "start", ("status",), False),
        (replace(RUNNING, status="created"), {}, "start", ("status",), False),
        (replace(RUNNING, status="exited"), {"config_hash": "other"}, "replace", ("definition",), False),
        (RUNNING, {"file_differs": True}, "none", ("file",), False),
    ],
)
def test_decide(found, change, action, keys, force):
    decision = decide(found, **{**SAME, **change})
    assert (decision.action, decision.changed_keys, decision.force) == (action, keys, force)
    assert len(decision.reasons) == len(keys)
    assert decision.changes == bool(keys)


@pytest.mark.parametrize(
    ("found", "change", "line"),
    [
        (ServiceState(), {}, "container: new"),
        (RUNNING, {"gpus": ["GPU-a"]}, "gpus: GPU-a\n"),
        (replace(RUNNING, status="exited"), {}, "container: abcdef012345"),
    ],
)
def test_prediction(found, change, line):
    decision = decide(found, **{**SAME, **change})
    assert line in predict_state(found, decision, "x", {**SAME, **change}["gpus"])


def test_no_change_has_no_diff():
    assert predict_state(RUNNING, decide(RUNNING, **SAME), "x", ["GPU-a"]) == describe_state(RUNNING)
    later = replace(RUNNING, started_at="later", health_log=((0, "well again"),))
    assert describe_state(later) == describe_state(RUNNING)
