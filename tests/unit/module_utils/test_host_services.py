"""What systemd and cloud-init say about themselves."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.opensora.host_services import (
    UNITS,
    UNITS_QUERY,
    describe_cloud_init,
    describe_persistence,
    is_enabled,
    is_running,
    parse_cloud_init,
    parse_units,
)


def block(unit: str, active: str, enabled: str, since: str, load: str = "loaded") -> str:
    return f"Id={unit}\nLoadState={load}\nActiveState={active}\nUnitFileState={enabled}\nActiveEnterTimestamp={since}\n"


def test_every_unit_in_one_question() -> None:
    assert UNITS_QUERY[:2] == ("systemctl", "show")
    assert UNITS_QUERY[-len(UNITS) :] == UNITS


def test_blocks() -> None:
    text = "\n".join(
        [
            block("docker.service", "active", "enabled", "Tue 2025-11-25 09:20:00 UTC"),
            block("nvidia-persistenced.service", "inactive", "disabled", "Tue 2025-11-25 09:20:00 UTC"),
            block("nvlsm.service", "inactive", "", "", load="not-found"),
            "LoadState=loaded\n",
        ]
    )
    assert parse_units(text) == {
        "docker.service": {"load": "loaded", "active": "active", "enabled": "enabled", "since": 1764062400},
        "nvidia-persistenced.service": {"load": "loaded", "active": "inactive", "enabled": "disabled", "since": None},
        "nvlsm.service": {"load": "not-found", "active": "inactive", "enabled": None, "since": None},
    }


@pytest.mark.parametrize("text", ["", "System has not been booted with systemd as init system (PID 1).\n", "=\n\n=x"])
def test_without_systemd(text: str) -> None:
    assert parse_units(text) == {}


@pytest.mark.parametrize(
    ("since", "seconds"),
    [
        ("@1764062400", 1764062400),
        ("@1764062400.123456", 1764062400),
        ("Tue 2025-11-25 09:20:00 UTC", 1764062400),
        ("Tue 2025-11-25 10:20:00 CET", None),
        ("Tue 2025-99-25 10:20:00 UTC", None),
        ("n/a", None),
        ("", None),
    ],
)
def test_times(since: str, seconds: int | None) -> None:
    assert parse_units(block("docker.service", "active", "enabled", since))["docker.service"]["since"] == seconds


@pytest.mark.parametrize(
    ("entry", "running", "enabled"),
    [
        ({"active": "active", "enabled": "enabled"}, True, True),
        ({"active": "active", "enabled": "enabled-runtime"}, True, True),
        ({"active": "activating", "enabled": "static"}, False, False),
        ({"active": "failed", "enabled": "masked"}, False, False),
        ({"active": None, "enabled": None}, None, False),
        (None, None, None),
    ],
)
def test_states(entry: dict[str, Any] | None, running: bool | None, enabled: bool | None) -> None:
    services = {} if entry is None else {"a.service": entry}
    assert (is_running(services, "a.service"), is_enabled(services, "a.service")) == (running, enabled)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("status: running\n", "running"),
        ("\nstatus: done\nextended_status: degraded done\n", "done"),
        ("status: not run\n", "not run"),
        ("status: error\ndetail:\n", "error"),
        ("status: disabled", "disabled"),
        ("", None),
        ("Traceback (most recent call last):\n", None),
    ],
)
def test_cloud_init_command(text: str, status: str | None) -> None:
    assert parse_cloud_init(text) == status


@pytest.mark.parametrize(
    ("result", "status"),
    [
        ('{"v1": {"datasource": "DataSourceNone", "errors": []}}', "done"),
        ('{"v1": {"datasource": null, "errors": ["(\'scripts_user\', 1)"]}}', "error"),
        ('{"v1": ', None),
        ('{"v1": []}', None),
        ("[]", None),
        ("", None),
        (None, None),
    ],
)
def test_cloud_init_files(recorded: Any, result: str | None, status: str | None) -> None:
    recorded.write("/usr/bin/cloud-init")
    if result is not None:
        recorded.write("/run/cloud-init/result.json", result)
    assert describe_cloud_init(recorded) == {"installed": True, "status": status}


def test_cloud_init_that_was_removed(recorded: Any) -> None:
    recorded.write("/run/cloud-init/result.json", '{"v1": {"errors": []}}')
    assert describe_cloud_init(recorded) == {"installed": False, "status": None}


@pytest.mark.parametrize(
    ("modes", "mode"), [([True, True], True), ([True, False], False), ([None, True], True), ([None], None), ([], None)]
)
def test_persistence_mode(modes: list[bool | None], mode: bool | None) -> None:
    gpus = [{"persistence_mode": value} for value in modes]
    assert describe_persistence({}, {}, gpus) == {"installed": False, "enabled": None, "running": None, "mode": mode}


def test_persistence_daemon() -> None:
    unit = {"load": "loaded", "active": "active", "enabled": "enabled", "since": 1}
    found = describe_persistence({"nvidia-persistenced.service": unit}, {}, [])
    assert (found["installed"], found["enabled"], found["running"]) == (True, True, True)
    assert describe_persistence({}, {"nvidia-persistenced": {}}, [])["installed"] is True
