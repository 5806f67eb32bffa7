"""What people report of a GPU service under compose, and the answer that helps them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jmespath
import pytest
import yaml
from ansible.module_utils.opensora.compose_model import choose_device_driver
from ansible.module_utils.opensora.docker_service_client import DockerServiceClient
from ansible.module_utils.opensora.environment_profiles import PROFILES, check_allocator, render
from ansible.module_utils.opensora.gpu_selection import GpuSelectionError, select
from ansible.module_utils.opensora.service_health import check_visible_gpus, judge
from ansible.module_utils.opensora.service_plan import ServicePlan, make_plan
from ansible.module_utils.opensora.service_state import ServiceState, decide

ROOT = Path(__file__).resolve().parents[3]
DEFAULTS = yaml.safe_load((ROOT / "roles/opensora_service/defaults/main.yml").read_text(encoding="utf-8"))
SETTINGS = {name.removeprefix("opensora_service_"): value for name, value in DEFAULTS.items()}
FIRST, SECOND = "GPU-00000000-0000-4000-8000-000000000001", "GPU-00000000-0000-4000-8000-000000000002"
GPUS = [
    {
        "index": index,
        "uuid": uuid,
        "name": "NVIDIA H100",
        "pci_bus_id": f"0000:0{index + 1}:00.0",
        "memory_total_mib": 81559,
        "healthy": True,
        "mig": {"enabled": False, "devices": []},
    }
    for index, uuid in enumerate((FIRST, SECOND))
]
HOST: dict[str, Any] = {
    "gpus": GPUS,
    "pci_gpu_count": 2,
    "memory_total_bytes": 64 * 1024**3,
    "driver": {"action": "none"},
    "engine": {"kind": "docker", "version": "29.7.2", "cdi_enabled": True},
    "toolkit": {"cdi_specs": [{"path": "/x", "kind": "nvidia.com/gpu", "devices": [FIRST, SECOND]}]},
}


def plan(host: dict[str, Any] | None = None, **settings: Any) -> ServicePlan:
    return make_plan(
        {**SETTINGS, "image": f"sha256:{'a' * 64}", **settings},
        host or HOST,
        jmespath.search,
        is_final=True,
        needs_image=True,
    )


def service_of(made: ServicePlan) -> dict[str, Any]:
    assert [problem for problem in made.problems if problem.severity == "error"] == []
    service: dict[str, Any] = made.project["services"]["opensora"]
    return service


def codes(made: ServicePlan) -> list[str]:
    return [problem.code for problem in made.problems]


# --- reservations


def test_reservation_has_ids_and_capabilities_and_no_count() -> None:
    service = service_of(plan())
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert "count" not in device
    assert device["device_ids"] == [f"nvidia.com/gpu={uuid}" for uuid in (FIRST, SECOND)]
    assert all(isinstance(identifier, str) for identifier in device["device_ids"])
    # The old way, which needs a registered runtime and says nothing about which cards.
    assert "runtime" not in service


@pytest.mark.parametrize(
    "expression",
    ["[3]", f"[?uuid == '{FIRST[:-1]}9']", "['0', '3']", "`false`", "", None, False, 2, "[0:0]", "[*].index"],
)
def test_card_that_the_host_does_not_have_is_refused_with_the_list(expression: Any) -> None:
    made = plan(gpus=expression)
    assert codes(made) == ["gpus.selection"]
    assert made.project == {}
    (problem,) = made.problems
    assert "opensora_service_gpus" in problem.message
    assert any(FIRST in line for line in problem.evidence)


def test_selection_is_resolved_to_what_no_reboot_changes() -> None:
    chosen = select("[1]", GPUS, jmespath.search)
    renumbered = [{**GPUS[0], "index": 1}, {**GPUS[1], "index": 0}]
    assert [gpu.uuid for gpu in chosen] == [SECOND]
    assert [gpu.uuid for gpu in select(f"[?uuid == '{SECOND}']", renumbered, jmespath.search)] == [SECOND]
    with pytest.raises(GpuSelectionError, match="twice"):
        select("[[0], [0]][]", GPUS, jmespath.search)


def test_device_driver_is_the_one_that_keeps_its_cards_over_a_reload() -> None:
    specifications = HOST["toolkit"]["cdi_specs"]
    assert choose_device_driver("auto", HOST["engine"], specifications, [FIRST]).name == "cdi"
    old = {"kind": "docker", "version": "26.1.5", "cdi_enabled": False}
    assert choose_device_driver("auto", old, specifications, [FIRST]).name == "nvidia"


@pytest.mark.parametrize(
    ("code", "output", "problems"),
    [
        (0, f"GPU 0: NVIDIA H100 (UUID: {FIRST})\n", []),
        (255, "Failed to initialize NVML: Unknown Error\n", ["proof.nvidia_smi_failed"]),
        (0, "", ["proof.gpus_differ"]),
        (0, f"GPU 0: x (UUID: {FIRST})\nGPU 1: x (UUID: {SECOND})\n", ["proof.gpus_differ"]),
    ],
)
def test_cards_are_looked_for_inside_the_container(code: int, output: str, problems: list[str]) -> None:
    found, was_run = check_visible_gpus(code, output, [FIRST])
    assert ([problem.code for problem in found], was_run) == (problems, True)


# --- user


@pytest.mark.parametrize("user", ["${UID}:${GID}", ":", "", "0:0", "1000", "nobody:nogroup", "1000:"])
def test_user_that_could_become_root_is_refused(user: str) -> None:
    made = plan(user=user)
    assert codes(made) == ["variable.invalid"]
    assert "opensora_service_user" in made.problems[0].message
    assert made.project == {}


def test_user_is_numbers_and_nothing_is_left_to_substitute() -> None:
    service = service_of(plan(environment={"PRICE": "5 $ or ${UID}"}))
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])
    assert service["environment"]["PRICE"] == "5 $$ or $${UID}"
    assert re.search(r"(?<!\$)(\$\$)*\$(?!\$)", json.dumps(service)) is None


# --- name, port, orphans


def test_project_has_a_fixed_name_and_no_version_or_container_name() -> None:
    project = plan().project
    assert project["name"] == "opensora"
    assert "version" not in project
    assert "container_name" not in project["services"]["opensora"]


def client(containers: list[dict[str, Any]]) -> DockerServiceClient:
    """Return a client whose engine has these containers."""
    made = object.__new__(DockerServiceClient)
    made.project, made.service, made.directory = "opensora", "opensora", "/opt/opensora-site/service"
    made.api = SimpleNamespace(containers=lambda **_: containers)
    return made


def container(name: str, project: str | None, folder: str, port: int) -> dict[str, Any]:
    labels = (
        {"com.docker.compose.project": project, "com.docker.compose.project.working_dir": folder} if project else {}
    )
    return {"Id": "1" * 64, "Names": [f"/{name}"], "Labels": labels, "Ports": [{"PublicPort": port}]}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (container("old-name-web-1", "old-name", "/srv/old", 7860), ["port 7860", "old-name", "/srv/old"]),
        (container("opensora-opensora-1", None, "", 1), ["container name", "no compose project"]),
        (container("x", "opensora", "/home/somebody/opensora", 1), ["project name", "/home/somebody/opensora"]),
        # Our own container may hold our own port.
        (container("opensora-opensora-1", "opensora", "/opt/opensora-site/service", 7860), []),
        (container("other", "other", "/srv/other", 8080), []),
    ],
)
def test_what_is_in_the_way_is_named_with_its_owner(found: dict[str, Any], words: list[str]) -> None:
    lines = client([found]).foreign_owners(["127.0.0.1:7860:7860"])
    assert bool(lines) is bool(words)
    for word in words:
        assert word in lines[0]


# --- health


@pytest.mark.parametrize(
    ("start_period", "interval", "retries", "wait", "accepted"),
    [
        ("5s", "10s", 3, "30s", False),
        ("10m", "60s", 3, "10m", False),
        ("10m", "60s", 3, "20m", True),
        ("5s", "10s", 3, "300s", True),
    ],
)
def test_wait_ends_after_the_engine_has_an_answer(
    start_period: str, interval: str, retries: int, wait: str, *, accepted: bool
) -> None:
    made = plan(
        health_start_period=start_period,
        health_interval=interval,
        health_timeout="10s",
        health_retries=retries,
        health_wait=wait,
    )
    assert codes(made) == ([] if accepted else ["health.wait_too_short"])
    if not accepted:
        assert "opensora_service_health_wait" in made.problems[0].message


def test_model_that_still_loads_is_waited_for() -> None:
    assert SETTINGS["health_start_period"] == "10m"
    loading = ServiceState(container_id="1", status="running", health="starting")
    assert judge(loading, 590, 1200, 0).outcome == "pending"
    assert judge(ServiceState(container_id="1", status="running", health="unhealthy"), 5, 1200, 0).outcome == "failed"
    assert judge(ServiceState(container_id="1", status="exited", exit_code=1), 5, 1200, 0).outcome == "failed"
    assert judge(ServiceState(container_id="1", status="running", health="healthy"), 5, 1200, 0).outcome == "healthy"


def test_health_check_needs_no_program_that_the_image_lacks() -> None:
    command = service_of(plan())["healthcheck"]["test"]
    assert command[:2] == ["CMD", "python"]
    assert not {"curl", "wget"} & set(command)


# --- shared memory


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (16, ["variable.invalid"]),
        ("16", ["variable.invalid"]),
        ("64", ["variable.invalid"]),
        ("1mb", ["variable.invalid"]),
        ("100gb", ["shm.exceeds_memory"]),
        ("16gb", []),
        ("16GiB", []),
    ],
)
def test_size_of_shared_memory_needs_its_unit(value: Any, found: list[str]) -> None:
    assert codes(plan(shm_size=value)) == found


def test_shared_memory_is_the_containers_own() -> None:
    service = service_of(plan())
    assert service["shm_size"] == 16 * 1024**3
    # With the host's, the size would count for nothing.
    assert "ipc" not in service


# --- network


def test_ports_are_published_on_the_host_itself_only() -> None:
    assert SETTINGS["publish_address"] == "127.0.0.1"
    assert service_of(plan(ports=["7860:7860"]))["ports"] == ["127.0.0.1:7860:7860"]


def test_exposing_a_port_says_that_the_firewall_does_not_see_it() -> None:
    made = plan(ports=["7860:7860"], publish_address="0.0.0.0")  # noqa: S104
    assert codes(made) == ["port.public"]
    assert "ufw" in made.problems[0].message
    assert "DOCKER-USER" in made.problems[0].next_action
    assert codes(plan(ports=["0.0.0.0:7860:7860"])) == ["variable.invalid"]


def test_several_machines_use_the_hosts_network_and_never_its_bridges() -> None:
    service = service_of(plan(environment_profile="multi_node"))
    assert service["network_mode"] == "host"
    names = service["environment"]["NCCL_SOCKET_IFNAME"]
    assert names.startswith("^")
    assert {"docker", "lo"} <= set(names[1:].split(","))
    assert codes(plan(environment_profile="multi_node", ports=["7860"])) == ["variable.invalid"]
    chosen = service_of(plan(environment_profile="multi_node", environment={"NCCL_SOCKET_IFNAME": "bond0"}))
    assert chosen["environment"]["NCCL_SOCKET_IFNAME"] == "bond0"


# --- the allocator


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        ("max_split_size_mb:10", False),
        ("max_split_size_mb:20", False),
        ("max_split_size_mb:21", True),
        ("max_split_size_mb:128 ", True),
        ("max_split_size_mb=128", False),
        ('"max_split_size_mb:128"', False),
        ("max_split_size:128", False),
        ("expandable_segments:True", True),
    ],
)
def test_allocator_option_is_judged_before_anything_starts(value: str, *, accepted: bool) -> None:
    assert (check_allocator(value) == []) is accepted
    _, problems = render("performance", {"PYTORCH_CUDA_ALLOC_CONF": value})
    assert (problems == []) is accepted


def test_no_profile_carries_a_value_that_ends_the_process() -> None:
    for name in PROFILES:
        environment, problems = render(name, {})
        assert problems == []
        assert check_allocator(environment["PYTORCH_CUDA_ALLOC_CONF"]) == []


# --- a second run


RUNNING = ServiceState(
    container_id="1", status="running", health="healthy", image_id="sha256:1", config_hash="h", gpus=(FIRST,)
)


@pytest.mark.parametrize(
    ("wanted", "action"),
    [
        ({}, "none"),
        ({"config_hash": "other"}, "replace"),
        ({"image_id": "sha256:2"}, "replace"),
        ({"gpus": (SECOND,)}, "replace"),
    ],
)
def test_only_a_difference_replaces_a_container(wanted: dict[str, Any], action: str) -> None:
    found = decide(
        RUNNING,
        **{
            "config_hash": "h",
            "image": "i",
            "image_id": "sha256:1",
            "gpus": (FIRST,),
            "file_differs": False,
            **wanted,
        },
    )
    assert found.action == action
    assert found.changes is (action != "none")


def test_no_task_ignores_errors_in_check_mode() -> None:
    paths = [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/*.yml")]
    assert len(paths) > 20
    assert [path for path in paths if "ignore_errors" in path.read_text(encoding="utf-8")] == []


def test_state_is_read_from_the_engine_and_not_from_tables_of_compose() -> None:
    """The shape of ``compose ps`` differs from release to release: a list, lines of JSON, one object, nothing."""
    for folder in ("module_utils", "library", "plugins"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert re.search(r'compose\("ps"|"compose", "ps"|compose ps --format', text) is None, path
