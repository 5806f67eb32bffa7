# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.image_preflight import (
    host_problems,
    is_missing,
    pinned_sources,
    setting_problems,
    unread_problems,
)

COMMIT, DIGEST = "1" * 40, "sha256:" + "a" * 64


@pytest.fixture
def settings(image_defaults):
    return {**image_defaults, "docker_engine_data_root": ""}


def test_the_defaults_are_right(settings):
    assert setting_problems(settings) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("opensora_image_repository", "git@github.com:hpcaitech/Open-Sora.git"),
        ("opensora_image_repository", ""),
        ("opensora_image_torch_index_url", "/srv/wheels"),
        ("opensora_image_git_reference", "a b"),
        ("opensora_image_git_reference", "--upload-pack=x"),
        ("opensora_image_git_reference", "a..b"),
        ("opensora_image_tensornvme_commit", "main"),
        ("opensora_image_base", "UPPER:1"),
        ("opensora_image_base_digest", "sha256:12"),
        ("opensora_image_user", "root"),
        ("opensora_image_user", "0:0"),
        ("opensora_image_python_version", "3"),
        ("opensora_image_platform", "windows/amd64"),
        ("opensora_image_registry", "https://registry.example"),
        ("opensora_image_registry", "registry.example/"),
        ("opensora_image_name", "opensora:latest"),
        ("opensora_image_torch_packages", ["torch>=2.4.0"]),
        ("opensora_image_torch_packages", ["torch==2.5.0"]),
        ("opensora_image_torch_architectures", ["Hopper"]),
        ("opensora_image_accelerator_packages", ["xformers"]),
        ("opensora_image_cuda_architectures", ["sm_90"]),
        ("opensora_image_flash_attention_sha256", "short"),
        ("opensora_image_build_arguments", {"A-B": "1"}),
    ],
)
def test_values_that_can_not_be_right(settings, name, value):
    problems = setting_problems({**settings, "opensora_image_flash_attention": "source", name: value})
    assert [problem.code for problem in problems] == ["variable.invalid"]
    assert name in problems[0].message
    assert "allowed is" in problems[0].message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("opensora_image_python_index_url", "https://user:pass@mirror.example/simple"),
        ("opensora_image_build_arguments", {"HF_TOKEN": "x"}),
    ],
)
def test_secrets_that_would_end_in_the_history(settings, name, value):
    problems = setting_problems({**settings, name: value})
    assert [problem.code for problem in problems] == ["variable.secret_in_image"]
    assert "pass@" not in problems[0].message


def test_a_wheel_needs_its_address(settings):
    wanted = {**settings, "opensora_image_flash_attention": "wheel"}
    assert len(setting_problems(wanted)) == 1
    assert setting_problems({**wanted, "opensora_image_flash_attention_wheel_url": "https://x/flash.whl"}) == []


def test_sources_that_are_pinned_need_no_server(settings):
    assert pinned_sources(settings) == {}
    pinned = {
        **settings,
        "opensora_image_base_digest": DIGEST,
        "opensora_image_runtime_base": f"x.example/b:1@{DIGEST}",
    }
    found = pinned_sources(pinned)
    assert found["git"] == {"application": {"commit": settings["opensora_image_git_reference"]}}
    assert found["images"]["base"]["pinned"].endswith(f"devel-ubuntu24.04@{DIGEST}")
    assert found["images"]["runtime_base"]["digest"] == DIGEST
    assert pinned_sources({**pinned, "opensora_image_git_reference": "main"}) == {}


HOST = {
    "engine": {"data_root": "/data"},
    "disk": [{"path": "/data", "mount": "/data", "free_bytes": 1, "free_inodes": 1}],
    "driver": {"loaded": "550.144.03", "cuda_max": "12.4"},
}


def test_a_host_that_has_the_image_needs_no_room(settings):
    assert host_problems(HOST, settings, {}, missing=False) == []
    codes = [problem.code for problem in host_problems(HOST, settings, {}, missing=True)]
    assert codes == ["disk.too_few_bytes", "disk.too_few_inodes"]


def test_the_data_root_of_a_host_without_engine(settings):
    host = {"engine": None, "disk": [{"path": "/x", "mount": "/", "free_bytes": 1, "free_inodes": None}]}
    assert "/var/lib/docker (on /)" in host_problems(host, settings, {}, missing=True)[0].message
    wanted = {**settings, "docker_engine_data_root": "/big"}
    assert "/big (on /)" in host_problems(host, wanted, {}, missing=True)[0].message


@pytest.mark.parametrize(
    ("requirement", "codes"), [("cuda>=12.2", []), ("cuda>=12.8", ["driver.too_old_for_image"]), ("", [])]
)
def test_driver_and_image(settings, requirement, codes):
    image = {"reference": "x", "environment": {"NVIDIA_REQUIRE_CUDA": requirement}}
    problems = host_problems(HOST, settings, {"images": {"runtime_base": image}}, missing=False)
    assert [problem.code for problem in problems] == codes


@pytest.mark.parametrize(("key", "keys", "missing"), [("a", ["a"], False), ("a", ["b"], True), ("", ["a"], True)])
def test_missing(key, keys, missing):
    assert is_missing(key, keys) is missing


def test_other_versions_need_no_lock(settings):
    wanted = {**settings, "opensora_image_torch_packages": ["torch==2.5.0"]}
    assert "opensora_image_torch_locked: false" in setting_problems(wanted)[0].message
    assert setting_problems({**wanted, "opensora_image_torch_locked": False}) == []


def test_code_for_the_cards_of_some_hosts_only(settings):
    wanted = {**settings, "opensora_image_flash_attention": "source"}
    (problem,) = unread_problems(wanted, ["gpu03", "gpu02"])
    assert problem.code == "image.architectures_unknown"
    assert "gpu02, gpu03" in problem.message
    assert unread_problems(wanted, []) == []
    assert unread_problems({**wanted, "opensora_image_cuda_architectures": ["9.0"]}, ["gpu02"]) == []
    assert unread_problems({**wanted, "opensora_image_dockerfile": "own/Dockerfile"}, ["gpu02"]) == []
    assert unread_problems(settings, ["gpu02"]) == []


@pytest.mark.parametrize(
    ("card", "stack", "codes"),
    [
        ("12.0", "upstream", ["image.no_kernels_for_card"]),
        ("12.0", "current", []),
        ("9.0", "upstream", []),
        ("6.1", "current", ["image.no_kernels_for_card"]),
    ],
)
def test_card_and_torch(settings, image_stacks, card, stack, codes):
    host = {**HOST, "gpus": [{"name": "a card", "compute_capability": card}]}
    wanted = {
        **settings,
        "opensora_image_torch_architectures": image_stacks[stack]["torch_architectures"],
        "opensora_image_torch_packages": image_stacks[stack]["torch_packages"],
    }
    assert [problem.code for problem in host_problems(host, wanted, {}, missing=False)] == codes
    own = {**wanted, "opensora_image_dockerfile": "Dockerfile"}
    assert host_problems(host, own, {}, missing=False) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("opensora_image_keep", 0),
        ("opensora_image_cache_from", ["type=inline"]),
        ("opensora_image_cache_to", ["type=s3,bucket=x"]),
        ("opensora_image_build_secrets", {"a b": "value-that-is-secret"}),
    ],
)
def test_values_of_the_build(settings, name, value):
    problems = setting_problems({**settings, name: value})
    assert [problem.code for problem in problems] == ["variable.invalid"]
    assert name in problems[0].message
    assert "value-that-is-secret" not in str(problems)


def test_a_login_needs_its_registry(settings):
    wanted = {**settings, "opensora_image_registry_username": "me"}
    assert [problem.code for problem in setting_problems(wanted)] == ["variable.invalid"]
    assert setting_problems({**wanted, "opensora_image_registry": "registry.example"}) == []
