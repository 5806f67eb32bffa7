"""Which engine answers, and what its plugins say."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.opensora.docker_engine_state import (
    EngineAnswers,
    configured_data_root,
    describe_engine,
    plugin_version,
)
from ansible.module_utils.opensora.host_probe import CommandResult


@pytest.mark.parametrize(
    ("rc", "stdout", "version"),
    [
        (0, "2.26.1-4\n", "2.26.1-4"),
        (0, "v5.5.1\n", "5.5.1"),
        (0, "github.com/docker/buildx v0.23.0 28c90ea\n", "0.23.0"),
        (0, "github.com/docker/buildx 0.13.1+ds1 Debian\n", "0.13.1+ds1"),
        (1, "2.26.1\n", None),
        # The client answers for a plugin that is not there.
        (0, "Docker version 28.2.2, build e6534b4\n", None),
        (0, "\nUsage:  docker [OPTIONS] COMMAND\n", None),
        (0, "", None),
        (125, "unknown flag: --short", None),
        (None, "", None),
    ],
)
def test_plugin(rc: int | None, stdout: str, version: str | None) -> None:
    assert plugin_version(CommandResult(rc=rc, stdout=stdout)) == version


def test_running_engine() -> None:
    answers = EngineAnswers(
        CommandResult(
            0,
            "WARNING: noise\n"
            + json.dumps(
                {"Client": {}, "Server": {"Version": "29.7.2", "ApiVersion": "1.52", "MinAPIVersion": "1.44"}}
            ),
        ),
        CommandResult(
            0,
            json.dumps(
                {
                    "CgroupDriver": "systemd",
                    "CgroupVersion": "2",
                    "Runtimes": {"runc": {}, "nvidia": {}},
                    "DockerRootDir": "/data/docker",
                    "CDISpecDirs": ["/etc/cdi"],
                    "Driver": "overlayfs",
                    "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
                    "SecurityOptions": ["name=cgroupns"],
                }
            ),
        ),
    )
    engine = describe_engine("docker", answers, {"docker-ce": {"version": "5:29.7.2-1", "status": "ii"}})
    assert engine["running"] is True
    assert engine["package"] == "docker-ce"
    assert (engine["version"], engine["api_version"], engine["min_api_version"]) == ("29.7.2", "1.52", "1.44")
    assert engine["runtimes"] == ["nvidia", "runc"]
    assert engine["cdi_enabled"] is True
    assert engine["containerd_image_store"] is True
    assert (engine["compose"], engine["buildx"], engine["error"]) == (None, None, None)


def test_stopped_engine() -> None:
    answers = EngineAnswers(
        CommandResult(1, '{"Client":{"Version":"28.2.2"},"Server":null}', "Cannot connect to the Docker daemon"),
        CommandResult(1, '{"ServerErrors":["permission denied"],"Runtimes":null,"SecurityOptions":null}'),
    )
    engine = describe_engine("docker", answers, {})
    assert (engine["running"], engine["version"], engine["error"]) == (False, None, "permission denied")
    assert (engine["runtimes"], engine["cdi_enabled"], engine["package"]) == ([], False, None)


def test_engine_that_hangs() -> None:
    assert describe_engine("docker", EngineAnswers(CommandResult(timed_out=True)), {})["error"] == (
        "docker did not answer in time"
    )


def test_no_engine() -> None:
    engine = describe_engine("none", EngineAnswers(), {})
    assert (engine["kind"], engine["running"], engine["error"]) == ("none", False, None)


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ('{"data-root": "/data/docker"}', "/data/docker"),
        ("{}", None),
        ("", None),
        (None, None),
        ("{broken", None),
        ('["x"]', None),
        ('{"data-root": 1}', None),
    ],
)
def test_configured_data_root(text: str | None, root: str | None) -> None:
    assert configured_data_root(text) == root
