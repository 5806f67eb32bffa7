"""Profiles hold only what their own check lets through; everything else is refused with a reason."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.environment_profiles import PROFILES, check, check_allocator, render


@pytest.mark.parametrize("profile", list(PROFILES))
def test_profiles_pass_their_own_check(profile):
    environment, problems = render(profile, {})
    assert problems == []
    for setting in PROFILES[profile].variables:
        assert check(setting.name, setting.value, profile) == []
        assert setting.reason
        assert setting.source
    assert len(environment) == len(PROFILES[profile].variables)
    assert environment["PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:True"


@pytest.mark.parametrize(
    "value",
    [
        "expandable_segments:True",
        "expandable_segments:False,max_split_size_mb:128",
        "max_split_size_mb:21",
        "garbage_collection_threshold:0.8,max_split_size_mb:512",
        "backend:cudaMallocAsync",
        "roundup_power2_divisions:[256:1,512:2,>:4],max_split_size_mb:64",
        "roundup_power2_divisions:4",
        " max_split_size_mb: 128 ",
        "garbage_collection_threshold:0.8, max_split_size_mb:128",
    ],
)
def test_allocator_accepts(value):
    assert check_allocator(value) == []


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("max_split_size_mb:8", "from 21"),  # the guide's
        ("max_split_size_mb:4", "from 21"),
        ("max_split_size_mb:10", "from 21"),
        ("max_split_size_mb:20", "from 21"),
        ("max_split_size_mb:-1", "from 21"),
        ("max_split_size_mb:128.5", "from 21"),
        ("max_split_size_mb: 8", "from 21"),
        ('"max_split_size_mb:128"', "quotes"),
        ("'max_split_size_mb:128'", "quotes"),
        ("max_split_size_mb=128", "max_split_size_mb:128"),
        ("backend=cudaMallocAsync", "backend:cudaMallocAsync"),
        ("max_split_size_mb", "KEY:VALUE"),
        ("", "KEY:VALUE"),
        ("expandable_segments:True,", "KEY:VALUE"),
        ("max_split_size:128", "doesn't know"),
        ("expandable_segments:true", "True or False"),
        ("expandable_segments:1", "True or False"),
        ("garbage_collection_threshold:1.5", "between 0 and 1"),
        ("garbage_collection_threshold:0", "between 0 and 1"),
        ("backend:fast", "native"),
        ("max_split_size_mb:64,max_split_size_mb:128", "twice"),
        ("expandable_segments:True,max_split_size_mb:128", "together with"),
    ],
)
def test_allocator_refuses(value, word):
    reasons = check_allocator(value)
    assert any(word in reason for reason in reasons), reasons


@pytest.mark.parametrize(
    ("profile", "name", "value", "word"),
    [
        ("performance", "PYTORCH_NO_CUDA_MEMORY_CACHING", "1", "37 % slower"),
        ("performance", "CUDA_LAUNCH_BLOCKING", "1", "11 % slower"),
        ("low_memory", "CUDA_LAUNCH_BLOCKING", "1", "debug"),
        ("debug", "CUDA_MEMORY_FRACTION", "0.4", "nothing reads it"),
        ("multi_node", "NCCL_P2P_DISABLE", "1", "debugging only"),
        ("performance", "NCCL_IB_DISABLE", "1", "debugging only"),
        ("performance", "NCCL_BLOCKING_WAIT", "1", "TORCH_NCCL_BLOCKING_WAIT"),
        ("performance", "CUDA_VISIBLE_DEVICES", "0", "opensora_service_gpus"),
        ("performance", "NVIDIA_VISIBLE_DEVICES", "all", "opensora_service_gpus"),
        ("performance", "TORCH_USE_CUDA_DSA", "1", "compiling"),
        ("performance", "PYTORCH_ALLOC_CONF", "max_split_size_mb:8", "from 21"),
        ("performance", "OMP_NUM_THREADS", "many", "number of threads"),
        ("performance", "OMP_NUM_THREADS", "0", "number of threads"),
        ("performance", "NOTE", "two\nlines", "line break"),
        ("performance", "HF_TOKEN", "hf_abc", "secret"),
        ("performance", "OPENAI_API_KEY", "sk", "secret"),
        ("performance", "AWS_SECRET_ACCESS_KEY", "x", "secret"),
        ("performance", "db_password", "x", "secret"),
        ("performance", "1ST", "x", "not a valid name"),
        ("performance", "A-B", "x", "not a valid name"),
        ("performance", "FLAG", True, "in quotes"),
        ("performance", "LIST", ["a"], "in quotes"),
        ("performance", "EMPTY", None, "in quotes"),
    ],
)
def test_refuses_with_variable_and_reason(profile, name, value, word):
    _, problems = render(profile, {name: value})
    assert len(problems) == 1
    assert f"opensora_service_environment.{name}" in problems[0].message
    assert word in problems[0].message
    assert problems[0].severity == "error"


def test_never_shows_a_secret():
    _, problems = render("performance", {"HF_TOKEN": "hf_abcdef"})
    assert "hf_abcdef" not in str(problems)


@pytest.mark.parametrize(
    ("profile", "overrides", "name", "expected"),
    [
        ("performance", {"NCCL_DEBUG": "INFO"}, "NCCL_DEBUG", "INFO"),
        ("performance", {"OMP_NUM_THREADS": 4}, "OMP_NUM_THREADS", "4"),
        ("performance", {"OMP_NUM_THREADS": "4"}, "OMP_NUM_THREADS", "4"),
        ("debug", {"NCCL_P2P_DISABLE": "1"}, "NCCL_P2P_DISABLE", "1"),
        ("performance", {"TOKENIZERS_PARALLELISM": "false"}, "TOKENIZERS_PARALLELISM", "false"),
        ("performance", {"MONKEY": "1"}, "MONKEY", "1"),  # not every KEY is a secret
    ],
)
def test_overrides_win(profile, overrides, name, expected):
    environment, problems = render(profile, overrides)
    assert problems == []
    assert environment[name] == expected
