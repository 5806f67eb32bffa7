"""What people report of building a large PyTorch image, and the answer that helps them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ansible.module_utils.opensora.build_failure import classify_failure
from ansible.module_utils.opensora.build_key import build_inputs, build_key, changed_inputs
from ansible.module_utils.opensora.buildx_command import write_context
from ansible.module_utils.opensora.image_preflight import host_problems, setting_problems

from tests.unit.module_utils.buildx_examples import build_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(params=["sdpa", "source", "wheel", "index"])
def dockerfile(request: pytest.FixtureRequest, render_dockerfile: Callable[..., str]) -> str:
    """Return the rendered Dockerfile, its continued lines joined, for each way to Flash Attention."""
    return render_dockerfile(opensora_image_flash_attention=request.param).replace("\\\n", " ")


# --- packages that need torch to be built


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (
            ["Getting requirements to build wheel: error", "ModuleNotFoundError: No module named 'torch'"],
            "build_isolation",
        ),
        (["Getting requirements to build wheel: error", "No module named 'packaging'"], "build_isolation"),
        (["OSError: CUDA_HOME environment variable is not set."], "no_compiler"),
        (["RuntimeError: The detected CUDA version (11.8) mismatches the version that was used"], "cuda_mismatch"),
        (["stage check failed: torch is 2.6.0, wanted is 2.2.1: another package replaced it"], "stage_check"),
        (["#12 exporting layers", "write /var/lib/docker/x: no space left on device"], "disk_full"),
        (["ERROR: failed to copy: no space left on device", "importing to docker"], "disk_full"),
        (["the --mount option requires BuildKit"], "builder"),
        (["docker: unknown command: docker buildx"], "builder"),
        (["nvcc fatal: Unsupported gpu architecture 'compute_120'"], "unsupported_architecture"),
        (["RuntimeError: CUDA error: no kernel image is available for execution"], "unsupported_architecture"),
        # A program that starts and lacks a module is another matter than a build that does.
        (["ModuleNotFoundError: No module named 'torch'"], "unknown"),
        (["something nobody has seen"], "unknown"),
    ],
)
def test_failed_build_names_its_cause(lines: list[str], code: str) -> None:
    cause = classify_failure(lines)
    assert cause.code == code
    assert cause.advice


def test_full_disk_is_no_fault_of_the_image() -> None:
    assert classify_failure(["no space left on device"]).layer == "disk"


def test_compiled_package_is_built_with_the_installed_torch_and_a_compiler(dockerfile: str) -> None:
    """An isolated build does not see torch, and a base image without compiler cannot build at all."""
    steps = [line for line in dockerfile.splitlines() if line.startswith("RUN ")]
    compiled = [step for step in steps if "--no-binary flash-attn" in step or "/tmp/tensornvme" in step]
    assert compiled
    assert all("--no-build-isolation" in step for step in compiled)
    torch = next(number for number, step in enumerate(steps) if "torch==" in step and "install" in step)
    assert all(steps.index(step) > torch for step in compiled)


def test_base_image_has_the_compiler(root: Path) -> None:
    defaults = yaml.safe_load((root / "roles/opensora_image/defaults/main.yml").read_text())
    assert "-devel-" in defaults["opensora_image_base"]
    assert "-base-" in defaults["opensora_image_runtime_base"]


def test_no_later_step_may_replace_torch_unseen(dockerfile: str) -> None:
    steps = [line for line in dockerfile.splitlines() if line.startswith("RUN ") and "uv pip install" in line]
    torch = next(number for number, step in enumerate(steps) if "torch==" in step)
    assert "--default-index" in steps[torch]
    later = steps[torch + 1 :]
    assert len(later) > 2
    for step in later:
        assert "--no-deps" in step
    # What can bring a torch along proves afterwards that it did not.
    checked = [step for step in later if "verify_stage.py" in step]
    assert len(checked) >= len(later) - 1
    assert all(re.search(r"--pin '?torch==", step) and "--cuda" in step for step in checked)


def test_pins_are_exact(image_defaults: dict[str, Any]) -> None:
    settings = {**image_defaults, "docker_engine_data_root": ""}
    wrong = setting_problems({**settings, "opensora_image_torch_packages": ["torch", "torchvision"]})
    assert [problem.code for problem in wrong] == ["variable.invalid", "variable.invalid"]
    assert setting_problems(settings) == []


# --- room for a build


@pytest.mark.parametrize(
    ("free_bytes", "free_inodes", "codes"),
    [
        (8804682956, 10**6, ["disk.too_few_bytes"]),
        (5798205850, 10**6, ["disk.too_few_bytes"]),
        (10**12, 1000, ["disk.too_few_inodes"]),
        (10**12, 10**6, []),
        (10**12, None, []),
    ],
)
def test_room_for_a_build_is_measured_at_the_engines_own_data(
    image_defaults: dict[str, Any], free_bytes: int, free_inodes: int | None, codes: list[str]
) -> None:
    settings = {**image_defaults, "docker_engine_data_root": ""}
    host = {
        "engine": {"data_root": "/var/lib/docker"},
        "disk": [
            {"path": "/var/lib/docker", "mount": "/", "free_bytes": free_bytes, "free_inodes": free_inodes},
            {"path": "/data", "mount": "/data", "free_bytes": 28 * 10**12, "free_inodes": 10**9},
        ],
        "driver": {},
    }
    problems = host_problems(host, settings, {}, missing=True)
    assert [problem.code for problem in problems] == codes
    for problem in problems:
        assert "/var/lib/docker (on /)" in problem.message
        assert "docker_engine_data_root" in problem.next_action
        assert "prune" not in problem.next_action


def test_driver_is_compared_with_the_image_before_a_build(image_defaults: dict[str, Any]) -> None:
    requirement = "cuda>=12.8 brand=unknown,driver>=470,driver<471"
    sources = {"images": {"runtime_base": {"reference": "x:1", "environment": {"NVIDIA_REQUIRE_CUDA": requirement}}}}
    settings = {**image_defaults, "docker_engine_data_root": ""}
    old = {"engine": {}, "disk": [], "driver": {"loaded": "550.144.03", "cuda_max": "12.4"}}
    (problem,) = host_problems(old, settings, sources, missing=False)
    assert (problem.layer, problem.code) == ("userspace", "driver.too_old_for_image")
    new = {"engine": {}, "disk": [], "driver": {"loaded": "590.44.01", "cuda_max": "12.10"}}
    assert host_problems(new, settings, sources, missing=False) == []


def test_image_never_switches_its_own_condition_off(root: Path) -> None:
    for folder in ("roles", "plugins", "module_utils", "playbooks"):
        for path in (root / folder).rglob("*"):
            if path.is_file() and path.suffix in (".yml", ".py", ".j2", ".sh"):
                assert "NVIDIA_DISABLE_REQUIRE" not in path.read_text(), path


# --- build only what changed


def inputs(dockerfile: str, text: str) -> dict[str, str]:
    return build_inputs(
        dockerfile=dockerfile,
        context={"a.py": text},
        build_arguments={"A": "1"},
        base_images={"base": "sha256:1"},
        revision="1",
        target="",
        platform="linux/amd64",
    )


def test_same_content_is_the_same_build_whenever_it_was_written() -> None:
    assert build_key(inputs("FROM x", "text")) == build_key(inputs("FROM x", "text"))


def test_comment_in_the_dockerfile_is_another_build_and_is_named() -> None:
    before, after = inputs("FROM x", "text"), inputs("# why\nFROM x", "text")
    assert build_key(before) != build_key(after)
    assert changed_inputs(before, after) == ["dockerfile"]


def test_same_content_gives_the_same_digest() -> None:
    command = build_command()
    assert command[1:3] == ["buildx", "build"]
    assert {"--provenance=false", "--sbom=false"} <= set(command)


def test_context_holds_what_it_was_given_and_nothing_that_lay_around(tmp_path: Path) -> None:
    folder = tmp_path / "context"
    (folder / "ckpts").mkdir(parents=True)
    (folder / "ckpts/model.safetensors").write_text("weights of an earlier run")
    write_context(folder, "FROM x\n", {"requirements.txt": "a==1\n"})
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert found == ["Dockerfile", "requirements.txt"]
