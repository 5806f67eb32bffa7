"""What people report of toolkit, engine, its configuration and its disk, and the answer that helps them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.opensora.daemon_config import merge, needed_action
from ansible.module_utils.opensora.disk import describe_disk, parse_measure
from ansible.module_utils.opensora.docker_engine_state import plugin_version
from ansible.module_utils.opensora.gpu_host_problems import find_problems
from ansible.module_utils.opensora.host_probe import CommandResult
from ansible.module_utils.opensora.json_document import DocumentError, decode_text, parse_object
from ansible.module_utils.opensora.service_health import classify_compose_failure
from ansible.module_utils.opensora.toolkit_decision import specification_fault

if TYPE_CHECKING:
    from collections.abc import Callable

    Reader = Callable[..., dict[str, Any]]
    Codes = Callable[..., list[str]]


def only(host: dict[str, Any], code: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [problem for problem in host["problems"] if problem["code"] == code]
    assert len(found) == 1
    return found[0]


# --- could not select device driver


@pytest.mark.parametrize(
    ("name", "code", "layer", "word"),
    [
        ("toolkit-absent", "toolkit.absent", "toolkit", "playbooks/engine.yml"),
        ("toolkit-younger-than-engine", "engine.restart_needed", "engine", "systemctl restart docker"),
        ("runtime-not-registered", "engine.runtime_not_registered", "engine", "registers the runtime"),
    ],
)
def test_container_without_gpu_on_a_host_whose_driver_works(
    read_host: Reader, name: str, code: str, layer: str, word: str
) -> None:
    host = read_host(name)
    assert host["gpus"]
    assert [problem["code"] for problem in host["problems"]] == [code]
    problem = only(host, code)
    assert problem["layer"] == layer
    assert word in problem["next_action"]
    assert "install the driver" not in problem["next_action"].lower()


def test_restarted_engine_is_as_wanted(read_host: Reader) -> None:
    host = read_host("toolkit-younger-than-engine")
    host["engine"].update(started_at=host["toolkit"]["installed_at"] + 60, runtimes=["nvidia", "runc"])
    assert "engine.restart_needed" not in [problem.code for problem in find_problems(host)]


def test_broken_driver_makes_no_noise_above_it(read_host: Reader) -> None:
    host = copy.deepcopy(read_host("toolkit-absent"))
    host["gpus"] = []
    host["driver"].update(loaded=None, action="reboot", layer="kernel_module", reason="no NVIDIA module is loaded")
    assert [problem.code for problem in find_problems(host)] == ["driver.not_loaded"]


@pytest.mark.parametrize(
    ("output", "layer", "code"),
    [
        ('could not select device driver "nvidia" with capabilities: [[gpu]]', "toolkit", "toolkit.no_device_driver"),
        ("unknown or invalid runtime name: nvidia", "engine", "engine.runtime_unknown"),
        ("unresolvable CDI devices nvidia.com/gpu=all", "toolkit", "toolkit.cdi_unresolvable"),
        ("nvidia-container-cli: device error: 3: unknown device: unknown", "userspace", "gpu.unknown_device"),
        ("requirement error: unsatisfied condition: cuda>=12.8, please", "userspace", "driver.too_old_for_image"),
        ("Bind for 0.0.0.0:7860 failed: port is already allocated", "network", "port.taken"),
        ('Conflict. The container name "/x" is already in use by container', "compose", "container.name_taken"),
        ("write /var/lib/docker/tmp/x: no space left on device", "disk", "disk.full"),
        ("something nobody has seen", "compose", "compose.failed"),
    ],
)
def test_generic_message_of_the_engine_is_told_by_its_layer(output: str, layer: str, code: str) -> None:
    problem = classify_compose_failure(f"Container opensora-opensora-1  Starting\nError response from daemon: {output}")
    assert (problem.layer, problem.code) == (layer, code)
    assert problem.next_action


# --- NVML: Unknown Error after a reload


def test_devices_are_lost_with_the_systemd_driver_and_without_cdi(read_host: Reader) -> None:
    host = read_host("devices-lost-on-reload")
    problem = only(host, "engine.devices_lost_on_reload")
    assert problem["severity"] == "warning"
    assert host["engine"]["daemon_config"]["exec_opts"] == ["native.umask=normal"]


@pytest.mark.parametrize("change", [{"cgroup_driver": "cgroupfs"}, {"cdi_enabled": True}])
def test_either_prevention_is_enough(read_host: Reader, change: dict[str, Any]) -> None:
    host = read_host("devices-lost-on-reload")
    host["engine"].update(change)
    assert find_problems(host) == []


def test_cgroup_driver_joins_the_options_that_are_there() -> None:
    found = {"exec-opts": ["native.umask=normal"], "runtimes": {"nvidia": {"path": "nvidia-container-runtime"}}}
    outcome = merge(found, {"exec-opts": ["native.cgroupdriver=cgroupfs"]})
    assert outcome.config["exec-opts"] == ["native.umask=normal", "native.cgroupdriver=cgroupfs"]
    assert outcome.config["runtimes"] == found["runtimes"]
    assert outcome.conflicts == ()


def test_second_cgroup_driver_is_reported_and_not_added() -> None:
    outcome = merge({"exec-opts": ["native.cgroupdriver=systemd"]}, {"exec-opts": ["native.cgroupdriver=cgroupfs"]})
    (conflict,) = outcome.conflicts
    assert "native.cgroupdriver=systemd" in conflict


# --- a group that the session does not have


def test_session_older_than_its_group(read_host: Reader) -> None:
    problem = only(read_host("session-older-than-its-group"), "engine.session_without_group")
    assert "older" in problem["message"]
    assert "no reboot" in problem["next_action"]


@pytest.mark.parametrize("members", [[], ["somebody"]])
def test_user_outside_of_the_group_is_another_matter(read_host: Reader, members: list[str]) -> None:
    host = read_host("session-older-than-its-group")
    host["session"]["docker_group"] = members
    assert [problem.code for problem in find_problems(host)] == ["engine.permission_denied"]


# --- daemon.json

TRAILING_COMMA = (
    '{"data-root":"/data/docker","log-opts":{"max-size":"50m"},"runtimes":{"sysbox":{"path":"/usr/bin/sysbox-runc"}},}'
)
VALID = TRAILING_COMMA.replace("},}", "}}")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (TRAILING_COMMA.encode(), "line 1, column"),
        (b'{"log-opts": {"max-size": "50m"},\n "log-opts": {}}', '"log-opts" stands twice'),
        (b'{\n  "debug": true // why\n}', "line 2, column"),
        (b"[]", "a list"),
        (b'{"a": "\xff"}', "UTF-8"),
    ],
)
def test_file_that_cannot_be_read_names_the_place(content: bytes, word: str) -> None:
    with pytest.raises(DocumentError, match=word):
        parse_object(decode_text(content))


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        (VALID.encode(), ["data-root", "log-opts", "runtimes"]),
        (b"\xef\xbb\xbf" + VALID.encode(), ["data-root", "log-opts", "runtimes"]),
        (b"", []),
        (b" \n", []),
        (b"{}", []),
    ],
)
def test_file_with_a_mark_or_without_content_can_be_read(content: bytes, keys: list[str]) -> None:
    assert sorted(parse_object(decode_text(content))) == keys


def test_nothing_of_the_file_is_lost_in_a_merge() -> None:
    found = parse_object(VALID)
    wanted = {"runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}}}
    outcome = merge(found, wanted)
    assert outcome.config["data-root"] == "/data/docker"
    assert outcome.config["log-opts"] == {"max-size": "50m"}
    assert sorted(outcome.config["runtimes"]) == ["nvidia", "sysbox"]
    assert (outcome.changed_keys, needed_action(outcome.changed_keys)) == (("runtimes",), "restart")
    again = merge(outcome.config, wanted)
    assert (again.changed_keys, needed_action(again.changed_keys)) == ((), "none")


def test_default_runtime_of_the_user_stays() -> None:
    outcome = merge({"default-runtime": "sysbox"}, {"runtimes": {"nvidia": {"path": "nvidia-container-runtime"}}})
    assert outcome.config["default-runtime"] == "sysbox"


def test_engine_that_cannot_read_its_file_names_line_and_column(read_host: Reader) -> None:
    problem = only(read_host("daemon-config-trailing-comma"), "engine.daemon_config_invalid")
    assert "line 1, column" in problem["message"]
    assert "by hand" in problem["next_action"]
    twice = only(read_host("daemon-config-duplicate-key"), "engine.daemon_config_invalid")
    assert "log-opts" in twice["message"]


def test_default_runtime_whose_program_is_gone(codes_of: Codes) -> None:
    assert codes_of("default-runtime-gone") == ["engine.default_runtime_missing"]


# --- compose and buildx


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (CommandResult(1, "", "docker: unknown command: docker compose\n"), None),
        (CommandResult(0, "Docker version 28.2.2, build e6534b4\n"), None),
        (CommandResult(0, "docker-compose version 1.25.0, build 0a186604\n"), None),
        (CommandResult(125, "", "unknown shorthand flag: 'd' in -d\n"), None),
        (CommandResult(0, "2.40.3\n"), "2.40.3"),
        (CommandResult(0, "v2.26.1\n"), "2.26.1"),
        (CommandResult(0, "github.com/docker/buildx 0.13.1+ds1 Debian\n"), "0.13.1+ds1"),
        (CommandResult(), None),
    ],
)
def test_plugin_is_there_only_where_it_says_its_version(result: CommandResult, expected: str | None) -> None:
    assert plugin_version(result) == expected


def test_missing_plugins_are_named_and_no_old_program_replaces_them(read_host: Reader) -> None:
    host = read_host("compose-missing")
    assert (host["engine"]["compose"], host["engine"]["buildx"]) == (None, None)
    compose, buildx = only(host, "engine.compose_missing"), only(host, "engine.buildx_missing")
    assert "plugin is missing" in compose["message"]
    assert "docker-compose does not count" in compose["next_action"]
    assert "buildx" in buildx["next_action"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"minimum_compose_version": "2.24.0", "minimum_buildx_version": "0.13.0"}, []),
        ({"minimum_compose_version": "2.30.0"}, ["engine.compose_too_old"]),
        ({"minimum_buildx_version": "0.14.0"}, ["engine.buildx_too_old"]),
        ({}, []),
    ],
)
def test_version_of_the_plugins_is_compared_by_number(
    codes_of: Codes, wanted: dict[str, str], expected: list[str]
) -> None:
    assert codes_of("h100-debian13", **wanted) == expected


# --- other engines


@pytest.mark.parametrize(
    ("name", "kind", "codes"),
    [
        ("snap-docker", "snap", ["engine.snap"]),
        ("snap-beside-packages", "docker", ["engine.two_engines"]),
        ("rootless-docker", "rootless", ["engine.rootless"]),
        ("podman-docker", "podman", ["engine.podman"]),
        ("h100-debian13", "docker", []),
    ],
)
def test_engine_of_another_kind_is_named(read_host: Reader, name: str, kind: str, codes: list[str]) -> None:
    host = read_host(name)
    assert host["engine"]["kind"] == kind
    assert [problem["code"] for problem in host["problems"]] == codes


def test_snap_says_where_its_data_lies(read_host: Reader) -> None:
    problem = only(read_host("snap-docker"), "engine.snap")
    assert any("/var/snap/" in line for line in problem["evidence"])
    assert "images, volumes" in problem["next_action"]


def test_rootless_engine_is_told_about_device_rules(read_host: Reader) -> None:
    problem = only(read_host("rootless-docker"), "engine.rootless")
    assert "no-cgroups" in problem["next_action"]


# --- specifications of another driver


def test_specification_of_a_former_driver(read_host: Reader) -> None:
    host = read_host("stale-cdi")
    problem = only(host, "toolkit.cdi_stale")
    assert host["driver"]["loaded"] not in problem["evidence"][0]
    assert "nvidia-cdi-refresh" in problem["next_action"]


def test_specification_before_the_driver_is_loaded_is_no_fault(read_host: Reader) -> None:
    host = read_host("stale-cdi")
    host["gpus"] = []
    host["driver"].update(loaded=None, action="reboot", layer="kernel_module", reason="no NVIDIA module is loaded")
    assert [problem.code for problem in find_problems(host)] == ["driver.not_loaded"]


def test_two_specifications_of_one_kind(codes_of: Codes) -> None:
    assert codes_of("two-cdi-specifications") == ["toolkit.cdi_two_files"]


def test_specification_of_another_kind_is_no_second_one(read_host: Reader) -> None:
    host = read_host("h100-debian13")
    host["toolkit"]["cdi_specs"].append(
        {"path": "/etc/cdi/net.yaml", "kind": "vendor.com/net", "version": "0.5.0", "devices": ["0"],
         "driver_version": None, "modified": 1}
    )  # fmt: skip
    assert find_problems(host) == []


@pytest.mark.parametrize(("described", "is_stale"), [("580.159.04", True), ("580.178.04", False), (None, False)])
def test_role_generates_a_stale_specification_again(described: str | None, *, is_stale: bool) -> None:
    specification = {"path": "/etc/cdi/nvidia.yaml", "driver_version": described, "devices": ["GPU-1"]}
    assert bool(specification_fault(specification, ["GPU-1"], "580.178.04")) is is_stale


def test_specification_without_new_instances_is_stale() -> None:
    """A change of MIG does not make the service write the specification again."""
    specification = {"path": "/var/run/cdi/nvidia.yaml", "driver_version": "580.1", "devices": ["MIG-old"]}
    assert "MIG-new" in specification_fault(specification, ["MIG-new"], "580.1")


# --- room

SMALL_ROOT = """1B-blocks Avail Inodes IFree Mounted on File
52613349376 8804682956 3276800 2900000 / /var/lib/docker
30786325577728 30000000000000 488247296 488000000 /data /data
"""
NEEDED = 100 * 1024**3


@pytest.mark.parametrize(
    ("data_root", "wanted", "expected"),
    [
        ("/var/lib/docker", {"minimum_free_bytes": NEEDED}, [("disk.low_bytes", "error")]),
        ("/data", {"minimum_free_bytes": NEEDED}, []),
        ("/var/lib/docker", {}, [("disk.low_bytes", "warning")]),
        ("/data", {"minimum_free_inodes": 10**9}, [("disk.low_inodes", "error")]),
    ],
)
def test_room_is_measured_where_the_engine_keeps_its_data(
    read_host: Reader, data_root: str, wanted: dict[str, int], expected: list[tuple[str, str]]
) -> None:
    host = read_host("h100-debian13")
    host["disk"] = describe_disk([(data_root, data_root)], parse_measure(SMALL_ROOT, ["/var/lib/docker", "/data"]))
    found = find_problems(host, wanted)
    assert [(problem.code, problem.severity) for problem in found] == expected
    for problem in found:
        assert data_root in problem.message
        assert host["disk"][0]["mount"] in problem.message
        assert "docker_engine_data_root" in problem.next_action


def test_file_system_that_counts_no_inodes_has_not_run_out_of_them(read_host: Reader) -> None:
    host = read_host("h100-debian13")
    text = "1B-blocks Avail Inodes IFree Mounted on File\n900000000000 800000000000 0 0 / /var/lib/docker\n"
    host["disk"] = describe_disk([("/var/lib/docker",) * 2], parse_measure(text, ["/var/lib/docker"]))
    assert find_problems(host, {"minimum_free_inodes": 1000}) == []
