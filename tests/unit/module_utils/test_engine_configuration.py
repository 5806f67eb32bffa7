"""The engine's configuration file, its commands and its group."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.opensora.engine_configuration import (
    command_paths,
    docker_group_members,
    missing_default_runtime,
    read_daemon_config,
)

NVIDIA = '"runtimes": {"nvidia": {"path": "%s", "args": []}}'


def config_of(recorded: Any, text: str | bytes | None) -> dict[str, Any]:
    if text is not None:
        recorded.write("/etc/docker/daemon.json", text)
    return read_daemon_config(recorded)


@pytest.mark.parametrize("text", [None, "", " \n", "{}"])
def test_nothing_configured(recorded: Any, text: str | None) -> None:
    assert config_of(recorded, text) == {
        "path": "/etc/docker/daemon.json",
        "exists": text is not None,
        "error": None,
        "exec_opts": [],
        "default_runtime": None,
        "runtimes": {},
        "fingerprint": {},
    }


def test_configured(recorded: Any) -> None:
    text = '{"exec-opts": ["native.cgroupdriver=cgroupfs"], "default-runtime": "nvidia", %s}' % (
        NVIDIA % "nvidia-container-runtime"
    )
    found = config_of(recorded, text)
    assert found["exec_opts"] == ["native.cgroupdriver=cgroupfs"]
    assert (found["default_runtime"], found["runtimes"]) == ("nvidia", {"nvidia": "nvidia-container-runtime"})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{\n  "debug": true,\n}', "line 3, column 1"),
        ('{"a": 1, "a": 2}', "a"),
        ('["a"]', "object"),
        (b'{"a": "\xff"}', "line 1, column 8"),
    ],
)
def test_faulty_file(recorded: Any, text: str | bytes, error: str) -> None:
    found = config_of(recorded, text)
    assert error in found["error"]
    assert found["runtimes"] == {}


def test_values_of_another_kind_do_not_stop_the_reading(recorded: Any) -> None:
    found = config_of(recorded, '{"exec-opts": "x", "default-runtime": 5, "runtimes": {"a": "b", "c": {"path": 3}}}')
    assert (found["error"], found["exec_opts"], found["default_runtime"]) == (None, [], None)
    assert found["runtimes"] == {"c": "3"}


@pytest.mark.parametrize(
    ("default", "path", "missing"),
    [
        ("nvidia", "/usr/bin/nvidia-container-runtime", None),
        ("nvidia", "nvidia-container-runtime", None),
        ("nvidia", "/opt/gone/runtime", "/opt/gone/runtime"),
        ("nvidia", "gone", "gone"),
        ("other", "nvidia-container-runtime", "other"),
        ("runc", "gone", None),
    ],
)
def test_default_runtime(recorded: Any, default: str, path: str, missing: str | None) -> None:
    recorded.write("/usr/bin/nvidia-container-runtime")
    text = f'{{"default-runtime": "{default}", {NVIDIA % path}}}'
    assert missing_default_runtime(recorded, config_of(recorded, text)) == missing


def test_commands(recorded: Any) -> None:
    assert command_paths(recorded) == []
    recorded.write("/snap/bin/docker")
    recorded.write("/usr/bin/docker")
    assert command_paths(recorded) == ["/usr/bin/docker", "/snap/bin/docker"]


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("root:x:0:\ndocker:x:998:ada,bob\n", ["ada", "bob"]),
        ("docker:x:998:\n", []),
        ("docker-users:x:998:eve\n", []),
        ("", []),
        (None, []),
    ],
)
def test_group(text: str | None, members: list[str]) -> None:
    assert docker_group_members(text) == members
