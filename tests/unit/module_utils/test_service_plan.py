"""From variables and facts to the compose project."""

from __future__ import annotations

from pathlib import Path

import jmespath
import pytest
import yaml
from ansible.module_utils.opensora.service_plan import make_plan

ROOT = Path(__file__).resolve().parents[3]
DEFAULTS = yaml.safe_load((ROOT / "roles/opensora_service/defaults/main.yml").read_text(encoding="utf-8"))
SETTINGS = {name.removeprefix("opensora_service_"): value for name, value in DEFAULTS.items()}
IMAGE = "sha256:" + "a" * 64
UUID = "GPU-5f3c9a70-1111-2222-3333-444455556666"
GPU = {
    "index": 0,
    "uuid": UUID,
    "name": "NVIDIA H100",
    "pci_bus_id": "00000000:01:00.0",
    "memory_total_mib": 81559,
    "healthy": True,
    "mig": {"enabled": False, "devices": []},
}
HOST = {
    "gpus": [GPU],
    "pci_gpu_count": 1,
    "memory_total_bytes": 64 * 1024**3,
    "driver": {"action": "none"},
    "engine": {"kind": "docker", "version": "29.7.2", "cdi_enabled": True},
    "toolkit": {"cdi_specs": [{"path": "/x", "kind": "nvidia.com/gpu", "devices": [UUID]}]},
}
FRESH = {
    "gpus": [],
    "pci_gpu_count": 2,
    "driver": {"action": "install"},
    "engine": {"kind": "none"},
    "toolkit": {"cdi_specs": []},
}


def plan(settings=None, host=None, *, is_final=True, needs_image=True):
    return make_plan(
        {**SETTINGS, "image": IMAGE, **(settings or {})},
        HOST if host is None else host,
        jmespath.search,
        is_final=is_final,
        needs_image=needs_image,
    )


def test_the_defaults_are_a_plan():
    made = plan()
    assert made.problems == ()
    assert [gpu.uuid for gpu in made.gpus] == [UUID]
    assert made.device_driver.name == "cdi"
    assert made.user == (10001, 10001)
    assert made.project["services"]["opensora"]["image"] == IMAGE


@pytest.mark.parametrize(
    ("settings", "host", "is_final", "needs_image", "codes"),
    [
        ({"image": ""}, HOST, False, False, []),
        ({"image": ""}, HOST, True, True, ["variable.invalid"]),
        ({"image": "opensora:latest"}, HOST, False, False, ["variable.invalid"]),
        ({"image": ""}, FRESH, False, False, []),  # judged when the driver is there
        ({"gpus": "[?memory_total_mib > `1`]"}, FRESH, False, False, []),
        ({"gpus": "[?"}, FRESH, False, False, ["gpus.selection"]),  # wrong whatever the driver will show
        ({"gpus": 0}, FRESH, False, False, ["gpus.selection"]),
        ({}, {**FRESH, "driver": {"action": "reboot"}}, False, False, []),
        ({}, {**FRESH, "driver": {"action": "none"}}, False, False, ["gpus.selection"]),
        ({}, {**FRESH, "pci_gpu_count": 0, "driver": {"action": "blocked"}}, False, False, []),  # the driver's to say
        ({}, FRESH, True, True, ["gpus.selection"]),
        ({"gpus": "[?index == `9`]"}, HOST, False, False, ["gpus.selection"]),
        ({"device_driver": "cdi"}, {**HOST, "toolkit": {"cdi_specs": []}}, True, True, ["service.device_driver"]),
        ({"device_driver": "cdi"}, {**HOST, "toolkit": {"cdi_specs": []}}, False, False, []),
        ({}, {**HOST, "toolkit": {"cdi_specs": []}}, True, True, []),
        ({"user": "root"}, HOST, False, False, ["variable.invalid"]),
        ({"user": ":"}, HOST, False, False, ["variable.invalid"]),
        ({"samples_directory": "samples"}, HOST, False, False, ["variable.invalid"]),
        ({"directory": "/"}, HOST, False, False, ["variable.invalid"]),
        ({"checkpoints_directory": "/srv/../etc"}, HOST, False, False, ["variable.invalid"]),
        ({"samples_directory": "/srv/opensora/ckpts/"}, HOST, False, False, ["variable.invalid"]),
        ({"command": "sleep infinity"}, HOST, False, False, ["variable.invalid"]),
        ({"health_command": []}, HOST, False, False, ["variable.invalid"]),
        ({"environment": {"CUDA_VISIBLE_DEVICES": "0"}, "shm_size": "16"}, HOST, False, False, None),
        ({"environment": None}, HOST, False, False, []),
        ({"environment_profile": "multi_node", "ports": ["80"]}, HOST, False, False, ["variable.invalid"]),
    ],
)
def test_problems(settings, host, is_final, needs_image, codes):
    made = plan(settings, host, is_final=is_final, needs_image=needs_image)
    found = [problem.code for problem in made.problems if problem.severity == "error"]
    assert found == (["environment.refused", "variable.invalid"] if codes is None else codes)
    assert bool(made.project) == (not found)


@pytest.mark.parametrize(
    ("version", "settings", "needed"),
    [
        ("26.1.5+dfsg1", {}, True),
        ("28.1.1", {}, True),
        ("28.2.0", {}, False),
        ("29.7.2", {}, False),
        ("26.1.5", {"restart": "no"}, False),
        ("26.1.5", {"device_driver": "nvidia"}, False),
    ],
)
def test_an_engine_that_forgets_its_containers_gets_a_unit_that_starts_them(version, settings, needed):
    made = plan(settings, {**HOST, "engine": {"kind": "docker", "version": version, "cdi_enabled": True}})
    assert made.start_after_engine is needed
    assert made.problems == ()


def test_a_selection_that_selects_nothing_shows_what_there_is():
    problem = plan({"gpus": "[?index == `9`]"}).problems[0]
    assert "opensora_service_gpus" in problem.message
    assert "[?index == `9`]" in problem.message
    assert problem.evidence == (f"index 0: {UUID} NVIDIA H100, 81559 MiB",)


def test_a_fresh_host_gets_a_prediction():
    made = plan({"image": ""}, FRESH, is_final=False, needs_image=False)
    assert made.gpus == ()
    assert "deploy" not in made.project["services"]["opensora"]
