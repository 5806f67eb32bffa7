# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Every finding by a Dockerfile that has it, and none for Dockerfiles that are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible.module_utils.opensora.dockerfile_findings import SEVERITIES, WARNINGS
from ansible.module_utils.opensora.dockerfile_lint import lint
from ansible.module_utils.opensora.dockerfile_state import Build

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures/dockerfiles"
# What the role puts into every build.
CONTEXT = dict.fromkeys(
    (
        "build-tools.txt",
        "ca-certificates/site-authorities.txt",
        "fetch_source.sh",
        "healthcheck.py",
        "install_system_packages.sh",
        "requirements.txt",
        "uv.txt",
        "verify_stage.py",
    ),
    "",
)
GIVEN = {
    "BASE_IMAGE": "docker.io/nvidia/cuda:12.2.2-cudnn8-devel-ubuntu22.04",
    "MAX_JOBS": "4",
    "OPENSORA_COMMIT": "1" * 40,
    "PYTHON_INDEX_URL": "",
    "PYTHON_VERSION": "3.10",
    "RUNTIME_BASE_IMAGE": "docker.io/nvidia/cuda:12.2.2-base-ubuntu22.04",
    "RUNTIME_GID": "10001",
    "RUNTIME_UID": "10001",
    "TORCH_INDEX_URL": "https://download.pytorch.org/whl/cu121",
}
BUILD = Build(CONTEXT, GIVEN, has_own_files=True)

# file -> (code, line) of everything that is to be found in it, in the order of the lines
WRONG = {
    "allocator": [("allocator", 3), ("allocator", 4)],
    "apt_lists_kept": [("apt_lists_kept", 5)],
    "apt_update_alone": [("apt_update_alone", 2)],
    "argument_overridden": [("argument_overridden", 5)],
    "argument_undeclared": [("argument_undeclared", line) for line in (6, 8, 10, 10)],
    "argument_unused": [("argument_unused", 1), ("argument_unused", 3)],
    "build_isolation": [("build_isolation", line) for line in (4, 5, 6, 8, 9)],
    "cache_order": [("cache_order", 3)],
    "compiler_missing": [("compiler_missing", 5), ("compiler_missing", 6)],
    "copied_context": [("cache_order", 3), ("source_missing", 4), ("source_missing", 5)],
    "cuda_contradiction": [("cuda_contradiction", 3)],
    "entrypoint": [("entrypoint", 3)],
    "entrypoint_bash": [("entrypoint", 3)],
    "entrypoint_shell": [("entrypoint", 3)],
    "environment": [("environment", line) for line in (2, 3, 3, 4, 5)],
    "environment_twice": [("environment_twice", 4)],
    "from_undeclared": [("argument_undeclared", 2), ("argument_undeclared", 3)],
    "frontend": [("frontend", 1)],
    "moving_tag": [("moving_tag", 1), ("moving_tag", 2)],
    "no_user": [("root_user", 2)],
    "pytorch_runtime": [("compiler_missing", 2)],
    "root_user": [("root_user", 4)],
    "second_index": [("second_index", line) for line in (2, 5, 7)],
    "second_index_configured": [("second_index", 3)],
    "secret": [("secret", line) for line in (2, 3, 4, 6, 8, 9)],
    "secret_argument": [("secret_argument", 2)],
    "source_missing": [("source_missing", line) for line in (2, 5, 6, 6, 7)],
    "syntax": [("syntax", 5)],
    "torch_missing": [("torch_missing", 5), ("torch_missing", 7)],
    "torch_missing_setup": [("torch_missing", 4)],
    "torch_not_pinned": [("torch_not_pinned", line) for line in (2, 3, 4)],
    "torch_not_pinned_conda": [("torch_not_pinned", 2)],
    "torch_pinned_by_star": [("torch_not_pinned", 2)],
    "unquoted_bound": [("unquoted_bound", line) for line in (4, 6, 7, 8, 9, 12, 13, 16)],
    "variable_undefined": [("variable_undefined", line) for line in (4, 5, 6, 7)],
    "whole_context": [("whole_context", 2)],
}
BUILDS = {
    "argument_unused": Build(
        CONTEXT, GIVEN, asked=("BEFORE", "UBUNTU", "TAKEN", "NOWHERE", "HTTP_PROXY"), has_own_files=True
    ),
    "whole_context": Build(CONTEXT, GIVEN),
}


def found(text: str, build: Build = BUILD, ignored: tuple[str, ...] = ()) -> list[tuple[str, int]]:
    """Return code and line of every problem."""
    problems = lint(text, "site/Dockerfile", build, ignored)
    return [(problem.code.removeprefix("dockerfile."), int(problem.message.split(":")[1])) for problem in problems]


@pytest.mark.parametrize("name", sorted(path.stem for path in (FIXTURES / "wrong").iterdir()))
def test_what_is_wrong_is_found_in_its_line(name: str) -> None:
    text = (FIXTURES / f"wrong/{name}.Dockerfile").read_text()
    assert found(text, BUILDS.get(name, BUILD)) == WRONG[name]


@pytest.mark.parametrize("path", sorted((FIXTURES / "right").iterdir()), ids=lambda path: path.stem)
def test_what_is_right_gives_nothing(path: Path) -> None:
    assert [problem.message for problem in lint(path.read_text(), path.name, BUILD)] == []


def test_every_finding_has_a_wrong_dockerfile_and_every_wrong_one_a_finding() -> None:
    assert {code for findings in WRONG.values() for code, _ in findings} == set(SEVERITIES)
    assert all(WRONG.values())


@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_finding_says_file_line_reason_and_fix(name: str) -> None:
    text = (FIXTURES / f"wrong/{name}.Dockerfile").read_text()
    lines = text.splitlines()
    for problem in lint(text, "site/Dockerfile", BUILDS.get(name, BUILD)):
        code = problem.code.removeprefix("dockerfile.")
        line = int(problem.message.split(":")[1])
        assert problem.severity == SEVERITIES[code]
        assert problem.message.startswith(f"site/Dockerfile:{line}: ")
        assert problem.next_action.endswith(".")
        assert problem.evidence == (() if code == "secret" else (f"{line} | {lines[line - 1].strip()}",))


def test_a_secret_is_named_and_never_shown() -> None:
    text = (FIXTURES / "wrong/secret.Dockerfile").read_text()
    told = str([problem.as_dict() for problem in lint(text, "Dockerfile", BUILD)])
    assert "HF_TOKEN" in told
    for secret in ("correct-horse", "some-long-value", "s3cret", "abcdefghijklmnop", "hf_aaaa"):
        assert secret in text
        assert secret not in told


def test_a_secret_in_a_line_with_another_fault_is_not_shown_either() -> None:
    text = "FROM python:3.10\nRUN pip install torch -i https://u:s3cret@mirror.example/simple\nUSER 1\n"
    problems = lint(text, "Dockerfile", BUILD)
    assert {problem.code for problem in problems} == {"dockerfile.torch_not_pinned", "dockerfile.secret"}
    assert "s3cret" not in str(problems)


@pytest.mark.parametrize("code", WARNINGS)
def test_a_warning_can_be_ignored(code: str) -> None:
    name = next(name for name, findings in WRONG.items() if code in {other for other, _ in findings})
    text = (FIXTURES / f"wrong/{name}.Dockerfile").read_text()
    kept = [finding for finding in WRONG[name] if finding[0] != code]
    assert found(text, BUILDS.get(name, BUILD), (code,)) == kept


@pytest.mark.parametrize("code", ["unquoted_bound", "no_such_code"])
def test_an_error_can_not_be_ignored(code: str) -> None:
    text = (FIXTURES / "wrong/unquoted_bound.Dockerfile").read_text()
    problems = lint(text, "Dockerfile", BUILD, (code,))
    assert [problem.code for problem in problems[:2]] == ["variable.invalid", "dockerfile.unquoted_bound"]
    assert (
        f"opensora_image_dockerfile_ignored_findings is '{code}', allowed is codes of warnings" in problems[0].message
    )


def test_only_what_the_target_needs_is_looked_at() -> None:
    text = "FROM ubuntu:22.04 AS good\nUSER 1\nFROM ubuntu:22.04 AS bad\nRUN pip install torch>=2.4.0\nUSER 1\n"
    assert [code for code, _ in found(text)] == ["unquoted_bound", "torch_not_pinned"]
    assert found(text, Build(CONTEXT, GIVEN, target="good")) == []
    assert found(text, Build(CONTEXT, GIVEN, target="GOOD")) == []


def test_a_target_that_is_no_stage() -> None:
    problems = lint("FROM ubuntu:22.04 AS good\nUSER 1\n", "Dockerfile", Build(CONTEXT, GIVEN, target="runtime"))
    assert [problem.code for problem in problems] == ["variable.invalid"]
    assert "opensora_image_target is 'runtime', allowed is a stage of Dockerfile: good" in problems[0].message


@pytest.mark.parametrize(
    ("requirements", "codes"),
    [
        ("flash-attn==2.7.4.post1\n", ["build_isolation"]),
        ("torch==2.4.0\n# flash-attn\n", []),
        ("torch==2.4.0 \\\n  --hash=sha256:1\nflash-attn @ https://example.org/flash_attn-2.7.4-cp310.whl\n", []),
    ],
)
def test_requirement_files_of_the_context_are_read(requirements: str, codes: list[str]) -> None:
    text = (
        "FROM nvidia/cuda:12.2.2-devel-ubuntu22.04\nWORKDIR /app\nCOPY own/ ./own/\n"
        "RUN pip install -r own/requirements.txt\nUSER 1\n"
    )
    build = Build({**CONTEXT, "own/requirements.txt": requirements}, GIVEN, has_own_files=True)
    assert [code for code, _ in found(text, build)] == codes


def test_a_requirement_file_brings_torch_into_the_stage() -> None:
    head = "FROM nvidia/cuda:12.2.2-devel-ubuntu22.04\nCOPY requirements.txt /app/\n"
    tail = "RUN pip install --no-build-isolation flash-attn==2.7.4.post1\nUSER 1\n"
    install = "RUN pip install -r /app/requirements.txt\n"
    with_torch = Build({**CONTEXT, "requirements.txt": "torch==2.4.0\n"}, GIVEN)
    without = Build({**CONTEXT, "requirements.txt": "numpy==1.26.4\n"}, GIVEN)
    assert found(head + install + tail, with_torch) == []
    assert found(head + install + tail, without) == [("torch_missing", 4)]
    assert found(head + tail, with_torch) == [("torch_missing", 3)]


@pytest.mark.parametrize(
    ("ignore", "codes"),
    [
        ("", []),
        ("*.txt\n", ["source_missing"]),
        ("# all\n*\n!requirements.txt\n", []),
        ("/requirements.txt", ["source_missing"]),
    ],
)
def test_a_dockerignore_of_the_context_counts(ignore: str, codes: list[str]) -> None:
    build = Build({**CONTEXT, ".dockerignore": ignore}, GIVEN, has_own_files=True)
    assert [code for code, _ in found("FROM ubuntu:22.04\nCOPY requirements.txt /\nUSER 1\n", build)] == codes


@pytest.mark.parametrize(
    ("image", "codes"),
    [
        ("nvidia/cuda:12.2.2-runtime-ubuntu22.04", ["compiler_missing"]),
        ("mirror.example:5000/nvidia/cuda:12.2.2-base-ubuntu22.04", ["compiler_missing"]),
        ("nvidia/cuda:12.2.2-cudnn8-devel-ubuntu22.04", []),
        ("debian:12", ["compiler_missing"]),
        ("registry.example/site/base-runtime:1", []),
    ],
)
def test_where_a_compiler_is_missing_goes_by_the_base_image(image: str, codes: list[str]) -> None:
    text = f"FROM {image}\nRUN pip install torch==2.4.0\nRUN pip install --no-build-isolation flash-attn\nUSER 1\n"
    assert [code for code, _ in found(text)] == codes


def test_an_image_that_the_role_pins_does_not_move() -> None:
    build = Build(CONTEXT, {**GIVEN, "BASE_IMAGE": "registry.example/base:latest"}, has_own_files=True)
    assert found("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nUSER 1\n", build) == []
    assert found("FROM registry.example/base:latest\nUSER 1\n", build) == [("moving_tag", 1)]


@pytest.mark.parametrize("image", ["ubuntu", "ubuntu:latest", "docker.io/library/ubuntu:rolling"])
def test_a_stage_by_a_variable_is_a_stage(image: str) -> None:
    text = f"ARG KIND=small\nFROM {image} AS small-image\nFROM ${{KIND}}-image\nUSER 1\n"
    assert found(text) == [("moving_tag", 2)]


def test_allocator_values_that_pytorch_takes_are_no_error() -> None:
    text = "FROM ubuntu:22.04\nENV PYTORCH_CUDA_ALLOC_CONF=max_split_size_mb:{}\nUSER 1\n"
    assert found(text.format(20)) == [("allocator", 2)]
    assert found(text.format(21)) == []


def test_a_source_package_on_a_base_image_without_compiler() -> None:
    text = "FROM nvidia/cuda:12.2.0-base-ubuntu22.04\nRUN pip install flash-attn==2.7.4.post1\nUSER 10001\n"
    assert found(text) == [("build_isolation", 2), ("compiler_missing", 2)]


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "FROM\n", "FROM a b\n", "RUN true\nFROM x\n", "ENV A\nFROM x\n"]
)
def test_a_file_that_no_builder_takes(text: str) -> None:
    assert [code for code, _ in found(text)] == ["syntax"]


def test_every_code_is_explained(root: Path) -> None:
    text = (root / "docs/dockerfile.md").read_text()
    told = re.findall(r"^\| `([a-z_]+)` \| (error|warning) \|", text, re.MULTILINE)
    assert told == list(SEVERITIES.items())
