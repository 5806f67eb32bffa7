"""Options of a video: what the application would ignore or misunderstand is refused."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.generation import Request, build_command, failure, read_request, resolve_processes

OPTIONS = {"prompt": "raining, sea", "config": "256px", "seed": "42"}
REQUEST = Request("raining, sea", "256px", 42, None, None, offload_model=False, processes=0)


def test_reads_a_request():
    assert read_request(OPTIONS) == (REQUEST, [])


@pytest.mark.parametrize(
    ("change", "attribute", "expected"),
    [
        ({"config": "configs/diffusion/inference/768px.py"}, "config", "768px"),
        ({"config": ""}, "config", "256px"),
        ({"num_frames": "49"}, "num_frames", 49),
        ({"num_frames": 129}, "num_frames", 129),
        ({"num_frames": ""}, "num_frames", None),
        ({"aspect_ratio": "2.39:1"}, "aspect_ratio", "2.39:1"),
        ({"offload_model": "True"}, "offload_model", True),
        ({"offload_model": False}, "offload_model", False),
        ({"offload_model": ""}, "offload_model", False),
        ({"processes": "2"}, "processes", 2),
        ({"seed": 0}, "seed", 0),
        ({"prompt": "two 'quoted' words; rm -rf $HOME"}, "prompt", "two 'quoted' words; rm -rf $HOME"),
    ],
)
def test_accepts(change, attribute, expected):
    request, problems = read_request({**OPTIONS, **change})
    assert problems == []
    assert getattr(request, attribute) == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": ""}, ["prompt"]),
        ({"prompt": "  "}, ["prompt"]),
        ({"prompt": "--offload"}, ["prompt", "begin with '-'"]),
        ({"prompt": "none"}, ["prompt", "one word"]),
        ({"prompt": "True"}, ["prompt", "one word"]),
        ({"prompt": "42"}, ["prompt", "number"]),
        ({"prompt": "[1, 2]"}, ["prompt", "list"]),
        ({"prompt": "two\nlines"}, ["prompt", "one line"]),
        ({"config": "512px"}, ["config", "'512px'", "256px, 768px"]),
        ({"seed": "two"}, ["seed", "'two'"]),
        ({"seed": -1}, ["seed"]),
        ({"num_frames": "20"}, ["num_frames", "4k+1"]),
        ({"num_frames": "133"}, ["num_frames", "129"]),
        ({"num_frames": "many"}, ["num_frames"]),
        ({"num_frames": "1"}, ["num_frames", "picture"]),
        ({"aspect_ratio": "4:3"}, ["aspect_ratio", "16:9"]),
        ({"offload_model": "perhaps"}, ["offload_model", "true or false"]),
        ({"processes": "all"}, ["processes"]),
    ],
)
def test_refuses(change, words):
    request, problems = read_request({**OPTIONS, **change})
    assert request is None
    assert len(problems) == 1
    assert all(word in problems[0].message for word in words), problems[0].message
    assert "-e " in problems[0].next_action


@pytest.mark.parametrize(
    ("config", "processes", "gpus", "expected", "is_refused"),
    [
        ("256px", 0, 4, 1, False),
        ("256px", 2, 4, 2, False),
        ("256px", 5, 4, 5, True),
        ("256px_tp", 0, 4, 4, False),
        ("256px_tp", 0, 5, 5, True),
        ("768px", 0, 4, 4, False),
        ("768px", 1, 4, 1, True),
        ("t2i2v_768px", 0, 2, 2, False),
        ("256px", 0, 0, 1, True),
    ],
)
def test_processes(config, processes, gpus, expected, is_refused):
    request, _ = read_request({**OPTIONS, "config": config, "processes": processes})
    count, problems = resolve_processes(request, gpus)
    assert count == expected
    assert bool(problems) == is_refused


def test_command():
    request, _ = read_request(
        {**OPTIONS, "num_frames": 17, "aspect_ratio": "1:1", "offload_model": "true", "config": "t2i2v_256px"}
    )
    command = build_command(request, 2, "samples/one")
    assert command[:5] == ["torchrun", "--nproc_per_node", "2", "--standalone", "scripts/diffusion/inference.py"]
    assert command[5] == "configs/diffusion/inference/t2i2v_256px.py"
    options = dict(zip(command[6::2], command[7::2]))  # the application reads them in pairs
    assert options == {
        "--prompt": "raining, sea",
        "--save-dir": "samples/one",
        "--sampling_option.seed": "42",
        "--seed": "42",
        "--num_frames": "17",
        "--aspect_ratio": "1:1",
        "--offload_model": "True",
    }


@pytest.mark.parametrize(
    ("output", "code", "expected"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", 1, "generation.out_of_memory"),
        ("huggingface_hub.errors.HFValidationError: Repo id must be", 1, "generation.weights_missing"),
        ("File process_group_mesh.py, line 44\nAssertionError", 1, "generation.processes"),
        ("RuntimeError: CUDA error: no kernel image is available", 1, "generation.no_kernel"),
        ("ModuleNotFoundError: No module named 'opensora'", 1, "generation.module_missing"),
        ("anything else", 1, "generation.failed"),
        ("", 124, "generation.failed"),
    ],
)
def test_failure(output, code, expected):
    problem = failure(output, code)
    assert problem.code == expected
    assert f"exit code {code}" in problem.message
