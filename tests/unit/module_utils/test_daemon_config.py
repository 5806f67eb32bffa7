"""Merging keys into the engine's configuration."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from ansible.module_utils.opensora.daemon_config import (
    fingerprint,
    flag_conflicts,
    flags_of_unit,
    lacks,
    merge,
    needed_action,
)

NVIDIA = {
    "runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}},
    "features": {"cdi": True},
}
GROWN = {
    "data-root": "/data/docker",
    "log-opts": {"max-size": "50m"},
    "runtimes": {"sysbox": {"path": "/usr/bin/sysbox-runc"}},
}


@pytest.mark.parametrize(
    ("found", "wanted", "config", "changed"),
    [
        ({}, {}, {}, ()),
        ({}, NVIDIA, NVIDIA, ("features", "runtimes")),
        (NVIDIA, NVIDIA, NVIDIA, ()),
        (GROWN, {}, GROWN, ()),
        (
            GROWN,
            NVIDIA,
            {**GROWN, "runtimes": {**GROWN["runtimes"], **NVIDIA["runtimes"]}, "features": {"cdi": True}},
            ("features", "runtimes"),
        ),
        (
            {"default-runtime": "sysbox", **NVIDIA},
            {"features": {"cdi": True}},
            {"default-runtime": "sysbox", **NVIDIA},
            (),
        ),
        (
            {"exec-opts": ["native.umask=normal"]},
            {"exec-opts": ["native.cgroupdriver=cgroupfs"]},
            {"exec-opts": ["native.umask=normal", "native.cgroupdriver=cgroupfs"]},
            ("exec-opts",),
        ),
        (
            {"registry-mirrors": ["https://b", "https://a"]},
            {"registry-mirrors": ["https://a"]},
            {"registry-mirrors": ["https://b", "https://a"]},
            (),
        ),
        ({"dns": ["10.0.0.1"]}, {"dns": ["10.0.0.2"]}, {"dns": ["10.0.0.2"]}, ("dns",)),
        (
            {"runtimes": {"nvidia": {"path": "old", "args": ["--x"]}}},
            {"runtimes": {"nvidia": {"path": "new", "args": []}}},
            {"runtimes": {"nvidia": {"path": "new", "args": []}}},
            ("runtimes",),
        ),
        ({"log-level": "info"}, {"log-level": {"a": 1}}, {"log-level": {"a": 1}}, ("log-level",)),
    ],
)
def test_merge(found: dict[str, Any], wanted: dict[str, Any], config: dict[str, Any], changed: tuple[str, ...]) -> None:
    outcome = merge(found, wanted)
    assert outcome.config == config
    assert outcome.changed_keys == changed
    assert outcome.conflicts == ()


def test_the_inputs_are_not_modified_and_the_order_is_kept() -> None:
    found: dict[str, Any] = {"z": {"y": 1}, "a": 2}
    outcome = merge(found, {"z": {"x": 3}, "b": 4})
    assert found == {"z": {"y": 1}, "a": 2}
    assert list(outcome.config) == ["z", "a", "b"]


@pytest.mark.parametrize(
    ("found", "wanted", "said"),
    [
        (
            {"exec-opts": ["native.cgroupdriver=systemd"]},
            {"exec-opts": ["native.cgroupdriver=cgroupfs"]},
            "exec-opts has 'native.cgroupdriver=systemd', asked for is 'native.cgroupdriver=cgroupfs'",
        ),
        ({}, {"exec-opts": ["native.cgroupdriver=systemd", "native.cgroupdriver=cgroupfs"]}, "exec-opts has"),
        ({"labels": ["rack=1"]}, {"labels": ["rack=2"]}, "labels has 'rack=1'"),
        ({"debug": True}, {"debug": None}, "debug was asked to be null"),
        ({"runtimes": {}}, {"runtimes": {"nvidia": None}}, "runtimes.nvidia was asked to be null"),
    ],
)
def test_contradictions_are_reported(found: dict[str, Any], wanted: dict[str, Any], said: str) -> None:
    conflicts = merge(found, wanted).conflicts
    assert len(conflicts) == 1
    assert said in conflicts[0]


@pytest.mark.parametrize(
    ("keys", "action"),
    [
        ((), "none"),
        (("registry-mirrors",), "reload"),
        (("insecure-registries", "labels"), "reload"),
        (("registry-mirrors", "runtimes"), "restart"),
        (("features",), "restart"),
    ],
)
def test_needed_action(keys: tuple[str, ...], action: str) -> None:
    assert needed_action(keys) == action


UNIT = (
    "{ path=/usr/bin/dockerd ; argv[]=/usr/bin/dockerd -H fd:// --containerd=/run/c.sock ; ignore_errors=no ; pid=1 }"
)


FILE = {
    "data-root": "/srv",
    "proxies": {"http-proxy": "http://name:secret@proxy"},
    "dns": ["1.1.1.1"],
    "labels": ["a=1"],
}


def test_a_fingerprint_tells_no_value_and_keeps_the_shape() -> None:
    found = fingerprint(FILE)
    assert found.keys() == FILE.keys()
    assert found["proxies"].keys() == {"http-proxy"}
    assert not {"/srv", "secret", "1.1.1.1", "a=1"} & set(re.split(r"\W", json.dumps(found)))


@pytest.mark.parametrize(
    ("found", "wanted", "lacking"),
    [
        ({"fingerprint": fingerprint(FILE)}, {}, False),
        ({"fingerprint": fingerprint(FILE)}, FILE, False),
        ({"fingerprint": fingerprint(FILE)}, {"labels": ["a=1"]}, False),
        ({"fingerprint": fingerprint(FILE)}, {"labels": ["a=2"]}, True),
        ({"fingerprint": fingerprint(FILE)}, {"data-root": "/other"}, True),
        ({"fingerprint": fingerprint(FILE)}, {"proxies": {"http-proxy": "http://name:other@proxy"}}, True),
        ({"fingerprint": fingerprint(FILE)}, {"features": {"cdi": True}}, True),
        ({"fingerprint": fingerprint({"features": {"cdi": True}})}, {"features": {"cdi": True}}, False),
        # The type counts: the engine refuses a text where it wants a truth value.
        ({"fingerprint": fingerprint({"features": {"cdi": "true"}})}, {"features": {"cdi": True}}, True),
        ({"fingerprint": {}, "error": "not JSON"}, {"debug": True}, True),
        ({"fingerprint": {}, "error": "not JSON"}, {}, False),
        ({}, {"debug": True}, True),
    ],
)
def test_whether_the_file_lacks_something(found: dict[str, Any], wanted: dict[str, Any], lacking: bool) -> None:
    assert lacks(found, wanted) is lacking


def test_the_command_line_of_a_unit_is_read() -> None:
    assert flags_of_unit(UNIT) == ["/usr/bin/dockerd", "-H", "fd://", "--containerd=/run/c.sock"]
    assert flags_of_unit("") == []


@pytest.mark.parametrize(
    ("flags", "config", "keys"),
    [
        (["-H", "fd://"], {"hosts": ["tcp://127.0.0.1:2375"]}, ["hosts"]),
        (["-H", "fd://"], {"data-root": "/data"}, []),
        (["-Hfd://"], {"hosts": []}, ["hosts"]),
        (["--data-root", "/x"], {"data-root": "/data"}, ["data-root"]),
        (["--data-root=/x", "-g", "/x"], {"data-root": "/data"}, ["data-root"]),
        (["--exec-opt=native.cgroupdriver=systemd"], {"exec-opts": ["a=b"]}, ["exec-opts"]),
        (["--add-runtime=nvidia=/x"], {"runtimes": {"nvidia": {}}}, []),
        (["--containerd=/run/containerd/containerd.sock"], {"log-opts": {}}, []),
        (["--default-ulimit", "nofile=1:1"], {"default-ulimits": {}}, ["default-ulimits"]),
    ],
)
def test_settings_in_both_places_are_found(flags: list[str], config: dict[str, Any], keys: list[str]) -> None:
    conflicts = flag_conflicts(["/usr/bin/dockerd", *flags], config)
    assert [conflict.split(" ")[0] for conflict in conflicts] == keys
