"""The compose project and the way GPUs are reserved."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible.module_utils.opensora.compose_model import (
    DeviceDriver,
    Service,
    build_project,
    choose_device_driver,
    supports_start_interval,
    version_tuple,
)
from ansible.module_utils.opensora.service_settings import HealthTimes, PublishedPort

UUID = "GPU-5f3c9a70-1111-2222-3333-444455556666"
SPEC = {"path": "/var/run/cdi/nvidia.yaml", "kind": "nvidia.com/gpu", "devices": ["0", UUID, "all"]}
FULL_NAMES = {**SPEC, "devices": [f"nvidia.com/gpu={UUID}"]}
OTHER_KIND = {**SPEC, "kind": "example.com/gpu"}

SERVICE = Service(
    project="opensora",
    image="mirror.example/opensora@sha256:" + "a" * 64,
    command=("sleep", "infinity"),
    user="10001:10001",
    gpus=(UUID,),
    device_driver=DeviceDriver("cdi", ""),
    environment={"NCCL_DEBUG": "WARN"},
    profile="performance",
    network_mode="bridge",
    ports=(),
    checkpoints_directory="/srv/ckpts",
    samples_directory="/srv/samples",
    source_directory="",
    cache_directory="/srv/cache",
    secrets={},
    read_only=True,
    temporary_bytes=4 * 1024**3,
    pids_limit=16384,
    shm_bytes=16 * 1024**3,
    ulimits={"memlock": -1},
    health_command=("python", "/opt/opensora-site/healthcheck.py"),
    health=HealthTimes(30, 10, 3, 600, 900),
    start_interval=2,
    restart="unless-stopped",
    tty=True,
)


def of(**changes):
    return build_project(replace(SERVICE, **changes))["services"]["opensora"]


@pytest.mark.parametrize(
    ("requested", "engine", "specs", "expected", "word"),
    [
        ("auto", {"kind": "docker", "version": "26.1.5", "cdi_enabled": True}, [SPEC], "cdi", "lists every"),
        (
            "auto",
            {"kind": "docker", "version": "26.1.5", "cdi_enabled": True},
            [FULL_NAMES],
            "cdi",
            "lists every",
        ),
        (
            "auto",
            {"kind": "docker", "version": "26.1.5", "cdi_enabled": False},
            [SPEC],
            "nvidia",
            "switched off",
        ),
        ("auto", {"kind": "docker", "version": "28.1.1", "cdi_enabled": None}, [SPEC], "nvidia", "28.1.1"),
        ("auto", {"kind": "docker", "version": "28.2.0", "cdi_enabled": None}, [SPEC], "cdi", "28.2.0"),
        ("auto", {"kind": "docker", "version": "29.7.2", "cdi_enabled": False}, [SPEC], "nvidia", "off"),
        ("auto", {"kind": "docker", "version": "29.7.2", "cdi_enabled": True}, [], "nvidia", "no CDI spec"),
        ("auto", {"kind": "docker", "version": "29.7.2", "cdi_enabled": True}, [OTHER_KIND], "nvidia", UUID),
        ("auto", {"kind": "none"}, [], "cdi", "no engine yet"),
        ("auto", {}, [], "cdi", "no engine yet"),
        ("nvidia", {"kind": "docker", "version": "29.7.2", "cdi_enabled": True}, [SPEC], "nvidia", "asked for"),
        ("cdi", {"kind": "docker", "version": "26.1.5", "cdi_enabled": True}, [SPEC], "cdi", "lists every"),
        ("cdi", {"kind": "docker", "version": "26.1.5", "cdi_enabled": False}, [SPEC], "cdi", "features.cdi"),
        ("cdi", {"kind": "docker", "version": "26.1.5", "cdi_enabled": True}, [], "cdi", "generate it again"),
    ],
)
def test_device_driver(requested, engine, specs, expected, word):
    driver = choose_device_driver(requested, engine, specs, [UUID])
    assert driver.name == expected
    assert word in driver.reason + driver.error
    assert bool(driver.error) == (word in driver.error)


def test_project_of_a_careful_operator():
    project = build_project(SERVICE)
    service = project["services"]["opensora"]
    assert "version" not in project
    assert project["name"] == "opensora"
    assert service["pids_limit"] == 16384
    assert service["image"].endswith("@sha256:" + "a" * 64)
    assert service["user"] == "10001:10001"
    assert service["init"]
    assert service["tty"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "100m", "max-file": "3"}}
    assert service["healthcheck"]["start_period"] == "600s"
    assert service["healthcheck"]["start_interval"] == "2s"
    assert service["shm_size"] == 17179869184
    assert service["ulimits"] == {"memlock": {"soft": -1, "hard": -1}}
    assert not {"ports", "privileged", "ipc", "network_mode", "container_name", "runtime"} & service.keys()


@pytest.mark.parametrize(
    ("driver", "identifier", "visible", "capabilities"),
    [("cdi", f"nvidia.com/gpu={UUID}", "void", None), ("nvidia", UUID, UUID, "compute,utility")],
)
def test_reservation(driver, identifier, visible, capabilities):
    service = of(device_driver=DeviceDriver(driver, ""))
    devices = service["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": driver, "device_ids": [identifier], "capabilities": ["gpu"]}]  # never a count
    assert service["environment"]["NVIDIA_VISIBLE_DEVICES"] == visible
    assert service["environment"].get("NVIDIA_DRIVER_CAPABILITIES") == capabilities
    assert service["environment"]["OPENSORA_EXPECTED_GPUS"] == "1"


def test_mounts():
    assert [(v["source"], v["target"], v.get("read_only", False)) for v in of()["volumes"]] == [
        ("/srv/ckpts", "/opt/open-sora/ckpts", True),
        ("/srv/samples", "/opt/open-sora/samples", False),
        ("/srv/cache", "/var/cache/opensora", False),
    ]
    assert len(of(cache_directory="")["volumes"]) == 2
    assert all(not volume["bind"]["create_host_path"] for volume in of()["volumes"])


def test_the_image_can_not_be_written_to():
    service = of()
    assert service["read_only"]
    assert service["tmpfs"] == [
        "/tmp:rw,exec,nosuid,nodev,mode=1777,size=4294967296",
        "/home/opensora:rw,noexec,nosuid,nodev,mode=1777,size=4294967296",
    ]
    assert not {"read_only", "tmpfs"} & of(read_only=False).keys()


def test_secrets_are_files_and_not_environment():
    project = build_project(replace(SERVICE, secrets={"token": "/opt/service/secrets/token"}))
    assert project["secrets"] == {"token": {"file": "/opt/service/secrets/token"}}
    assert project["services"]["opensora"]["secrets"] == ["token"]
    assert "secrets" not in build_project(SERVICE)


def test_source_directory_is_what_runs():
    service = of(source_directory="/home/me/Open-Sora")
    assert service["volumes"][0]["target"] == "/workspace"
    assert service["volumes"][1]["target"] == "/workspace/ckpts"
    assert service["working_dir"] == "/workspace"
    assert service["environment"]["PYTHONPATH"] == "/workspace"
    assert service["environment"]["OPENSORA_SAMPLES_DIRECTORY"] == "/workspace/samples"


def test_compose_substitutes_nothing():
    service = of(environment={"PATTERN": "a$HOME${X}$$"}, command=("sh", "-c", "echo $1"))
    assert service["environment"]["PATTERN"] == "a$$HOME$${X}$$$$"
    assert service["command"] == ["sh", "-c", "echo $$1"]


def test_ports_and_network():
    assert of(ports=(PublishedPort("127.0.0.1", 8080, 7860),))["ports"] == ["127.0.0.1:8080:7860"]
    assert of(network_mode="host")["network_mode"] == "host"


@pytest.mark.parametrize(
    ("version", "expected"),
    [("25.0.0", True), ("24.0.9", False), ("29.7.2", True), ("20.10.24+dfsg1", False), (None, True)],
)
def test_start_interval(version, expected):
    assert supports_start_interval({"version": version}) == expected


def test_start_interval_is_left_out():
    assert "start_interval" not in of(start_interval=None)["healthcheck"]
    assert "start_interval" not in of(health=HealthTimes(30, 10, 3, 0, 900))["healthcheck"]


@pytest.mark.parametrize(
    ("version", "expected"), [("28.2.1-ce", (28, 2, 1)), ("20.10.24+dfsg1", (20, 10, 24)), ("", ()), (None, ())]
)
def test_version_tuple(version, expected):
    assert version_tuple(version) == expected
