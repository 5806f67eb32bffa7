"""Verdicts on a starting container, proofs inside it, and the cause behind compose's words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible.module_utils.opensora.service_health import (
    check_proof,
    check_visible_gpus,
    classify_compose_failure,
    evidence,
    judge,
    not_well,
    visible_gpus,
)
from ansible.module_utils.opensora.service_state import ServiceState

RUNNING = ServiceState(container_id="a", status="running", health="starting")


@pytest.mark.parametrize(
    ("state", "elapsed", "outcome", "word"),
    [
        (RUNNING, 5, "pending", ""),
        (replace(RUNNING, health="healthy"), 5, "healthy", ""),
        (replace(RUNNING, health="unhealthy"), 5, "failed", "unhealthy"),
        (replace(RUNNING, health=None), 1, "pending", ""),
        (replace(RUNNING, health=None), 3, "healthy", ""),
        (RUNNING, 60, "failed", "starting after 60 s"),
        (replace(RUNNING, status="created"), 60, "failed", "after 60 s"),
        (replace(RUNNING, status="exited", exit_code=1), 1, "failed", "exit code 1"),
        (replace(RUNNING, status="exited", exit_code=0), 1, "failed", "exit code 0"),
        (replace(RUNNING, status="exited", exit_code=137, oom_killed=True), 1, "failed", "want of host memory"),
        (replace(RUNNING, status="exited", exit_code=139), 1, "failed", "native code"),
        (replace(RUNNING, status="exited", exit_code=127, error="no such file"), 1, "failed", "no such file"),
        (replace(RUNNING, status="restarting", restart_count=4), 1, "pending", ""),
        (replace(RUNNING, status="restarting", restart_count=5), 1, "failed", "again and again"),
        (replace(RUNNING, health="healthy", restart_count=5), 1, "failed", "again and again"),
        (ServiceState(), 1, "failed", "gone"),
    ],
)
def test_judge(state, elapsed, outcome, word):
    verdict = judge(state, elapsed, 60, 3)
    assert verdict.outcome == outcome
    assert word in verdict.reason


def test_evidence():
    state = replace(RUNNING, restart_count=2, health_log=((1, "no GPU\nreally"), (0, "")))
    assert evidence(state, ["last words"], [3, 3]) == (
        "status running, health starting, restarts 2",
        "exit codes of its ends: 3, 3",
        "health check: exit code 1",
        "    no GPU",
        "    really",
        "health check: exit code 0",
        "log: last words",
    )


WHOLE = "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-b)\nGPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-a)\n"
MIG = (
    "GPU 0: NVIDIA H100 (UUID: GPU-b)\n  MIG 1g.10gb     Device  0: (UUID: MIG-2)\n"
    "  MIG 1g.10gb     Device  1: (UUID: MIG-1)\nGPU 1: NVIDIA H100 (UUID: GPU-a)\n"
)


@pytest.mark.parametrize(
    ("listing", "expected"),
    [(WHOLE, ("GPU-a", "GPU-b")), (MIG, ("GPU-a", "MIG-1", "MIG-2")), ("", ()), ("No devices", ())],
)
def test_visible_gpus(listing, expected):
    assert visible_gpus(listing) == expected


@pytest.mark.parametrize(
    ("code", "output", "expected", "codes", "was_run"),
    [
        (0, WHOLE, ["GPU-a", "GPU-b"], [], True),
        (0, WHOLE, ["GPU-a"], ["proof.gpus_differ"], True),
        (0, "", ["GPU-a"], ["proof.gpus_differ"], True),
        (127, "exec: nvidia-smi: not found", ["GPU-a"], [], False),
        (255, "Failed to initialize NVML: Unknown Error", ["GPU-a"], ["proof.nvidia_smi_failed"], True),
    ],
)
def test_check_visible_gpus(code, output, expected, codes, was_run):
    problems, ran = check_visible_gpus(code, output, expected)
    assert [problem.code for problem in problems] == codes
    assert ran == was_run


def test_check_proof():
    assert check_proof(["true"], 0, "") == []
    problem = check_proof(["python", "-c", "x"], 1, "cuda is not available")[0]
    assert "python -c x" in problem.message
    assert problem.evidence == ("cuda is not available",)


DAEMON = "Error response from daemon: "


@pytest.mark.parametrize(
    ("output", "code"),
    [
        (DAEMON + "driver failed: Bind for 127.0.0.1:7860 failed: port is already allocated", "port.taken"),
        (DAEMON + 'Conflict. The container name "/opensora-opensora-1" is already in use by x', "container.name_taken"),
        (DAEMON + 'could not select device driver "nvidia" with capabilities: [[gpu]]', "toolkit.no_device_driver"),
        (
            DAEMON + "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=GPU-a",
            "toolkit.cdi_unresolvable",
        ),
        (DAEMON + "could not find binary nvidia-container-cli", "toolkit.hook_missing"),
        ("nvidia-container-cli: device error: GPU-a: unknown device: unknown", "gpu.unknown_device"),
        ("nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.2", "driver.too_old_for_image"),
        (DAEMON + "unknown or invalid runtime name: nvidia", "engine.runtime_unknown"),
        (DAEMON + "error setting rlimit type 8: operation not permitted", "engine.rlimit_refused"),
        (DAEMON + 'invalid mount config for type "bind": bind source path does not exist: /x', "volume.missing"),
        (DAEMON + "No such image: sha256:abc", "image.missing"),
        (DAEMON + "write /var/lib/docker/x: no space left on device", "disk.full"),
        (DAEMON + "all predefined address pools fully subnetted? Pool overlaps with other", "network.pool_exhausted"),
        ("something nobody has seen before", "compose.failed"),
        ("", "compose.failed"),
    ],
)
def test_classifies_failures(output, code):
    problem = classify_compose_failure(f" Container opensora-opensora-1  Creating\n{output}\n" if output else "")
    assert problem.code == code
    assert problem.next_action
    if output:
        assert output in problem.message


@pytest.mark.parametrize(
    ("line", "layer", "code"),
    [
        ("    unhealthy: application: import opensora: ModuleNotFoundError: no", "image", "image.application_missing"),
        ("    unhealthy: samples: user 10001 can't write to /samples", "application", "service.not_healthy"),
        ("log: import opensora failed", "application", "service.not_healthy"),
    ],
)
def test_why_a_container_is_not_well(line, layer, code):
    problem = not_well("the container is unhealthy", ["health check: exit code 1", line])
    assert (problem.layer, problem.code) == (layer, code)
    assert problem.message.startswith("the container is unhealthy")
    assert problem.evidence == ("health check: exit code 1", line)
