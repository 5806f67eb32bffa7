"""Options of a video: what the application would ignore or misunderstand is refused."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.generation import (
    Execution,
    Request,
    build_command,
    concerns_options,
    failure,
    file_stem,
    places,
    read_execution,
    read_request,
    request_identifier,
    resolve_processes,
)

OPTIONS = {"prompt": "raining, sea", "config": "256px", "seed": "42"}
REQUEST = Request("raining, sea", "256px", 42)
PICTURE = "a" * 64


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
        ({"seed": ""}, "seed", 42),
        ({"picture": PICTURE}, "picture", PICTURE),
        ({"picture": PICTURE, "config": "768px"}, "config", "768px"),
        ({"config": "high_compression", "num_frames": "128"}, "num_frames", 128),
        ({"config": "high_compression", "num_frames": "17"}, "num_frames", 17),
        ({"name": "sea_1.first-try"}, "name", "sea_1.first-try"),
        ({"prompt": "--offload"}, "prompt", "--offload"),
        ({"prompt": "[1, 2]"}, "prompt", "[1, 2]"),
        ({"prompt": "two\nlines"}, "prompt", "two\nlines"),
        ({"prompt": 'a "quoted" word'}, "prompt", 'a "quoted" word'),
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
        ({"prompt": "none"}, ["prompt", "one word"]),
        ({"prompt": "True"}, ["prompt", "one word"]),
        ({"prompt": "42"}, ["prompt", "number"]),
        ({"prompt": "1e5"}, ["prompt", "number"]),
        ({"prompt": "inf"}, ["prompt", "number"]),
        ({"prompt": "N/A"}, ["prompt", "one word"]),
        ({"prompt": "sea\0"}, ["prompt", "null"]),
        ({"prompt": "x" * 4001}, ["prompt", "4000"]),
        ({"config": "high_compression", "num_frames": "130"}, ["num_frames", "128"]),
        ({"config": "high_compression", "num_frames": "18"}, ["num_frames", "4k"]),
        ({"num_frames": "128"}, ["num_frames", "4k+1"]),
        ({"picture": PICTURE, "config": "t2i2v_256px"}, ["config", "256px, 768px, 256px_tp"]),
        ({"picture": "/etc/passwd"}, ["picture"]),
        ({"name": "../sea"}, ["name"]),
        ({"name": ".sea"}, ["name"]),
        ({"config": "512px"}, ["config", "'512px'", "256px, 768px"]),
        ({"seed": "two"}, ["seed", "'two'"]),
        ({"seed": -1}, ["seed"]),
        ({"num_frames": "20"}, ["num_frames", "4k+1"]),
        ({"num_frames": "133"}, ["num_frames", "129"]),
        ({"num_frames": "many"}, ["num_frames"]),
        ({"num_frames": "1"}, ["num_frames", "picture"]),
        ({"aspect_ratio": "4:3"}, ["aspect_ratio", "16:9"]),
    ],
)
def test_refuses(change, words):
    request, problems = read_request({**OPTIONS, **change})
    assert request is None
    assert len(problems) == 1
    assert all(word in problems[0].message for word in words), problems[0].message
    assert "-e " in problems[0].next_action


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, Execution()),
        ({"offload_model": "True"}, Execution(offload_model=True)),
        ({"offload_model": False}, Execution()),
        ({"offload_model": ""}, Execution()),
        ({"processes": "2", "at_once": 3}, Execution(processes=2, at_once=3)),
        ({"offload_model": "perhaps"}, "offload_model"),
        ({"processes": "all"}, "processes"),
        ({"processes": -1}, "processes"),
        ({"at_once": "two"}, "at_once"),
    ],
)
def test_execution(raw, expected):
    execution, problems = read_execution(raw)
    if isinstance(expected, Execution):
        assert (execution, problems) == (expected, [])
    else:
        assert execution is None
        assert expected in problems[0].message


@pytest.mark.parametrize(
    ("config", "processes", "gpus", "expected", "is_refused"),
    [
        ("256px", 0, 4, 1, False),
        ("256px", 1, 4, 1, False),
        ("256px", 2, 4, 2, True),  # two processes would render the same video twice
        ("256px_tp", 0, 4, 4, False),
        ("256px_tp", 0, 5, 4, False),  # neither the model's heads nor the autoencoder's channels can be divided by 5
        ("256px_tp", 5, 5, 5, True),
        ("256px_tp", 0, 3, 2, False),  # 3 divides the heads, but not the channels
        ("256px_tp", 3, 4, 3, True),
        ("768px", 0, 3, 2, False),
        ("768px", 0, 7, 4, False),
        ("768px", 6, 8, 6, True),
        ("768px", 0, 0, 1, True),
        ("768px", 0, 4, 4, False),
        ("768px", 1, 4, 1, False),
        ("768px", 8, 4, 8, True),
        ("768px", 0, 16, 8, False),
        ("768px", 16, 16, 16, True),
        ("t2i2v_768px", 0, 2, 2, False),
        ("high_compression", 0, 8, 1, False),
        ("256px", 0, 0, 1, True),
    ],
)
def test_processes(config, processes, gpus, expected, is_refused):
    count, problems = resolve_processes(config, processes, gpus)
    assert count == expected
    assert bool(problems) == is_refused


@pytest.mark.parametrize(
    ("gpus", "processes", "execution", "expected"),
    [
        ("abcd", 1, Execution(), ["a", "b", "c", "d"]),
        ("abcd", 4, Execution(), ["abcd"]),
        ("abcde", 2, Execution(), ["ab", "cd"]),
        ("abcd", 1, Execution(at_once=2), ["a", "b"]),
        ("abcd", 1, Execution(offload_model=True), ["a"]),
        ("abcd", 1, Execution(offload_model=True, at_once=2), ["a", "b"]),
        ("ab", 1, Execution(at_once=9), ["a", "b"]),
    ],
)
def test_places(gpus, processes, execution, expected):
    assert places(tuple(gpus), processes, execution) == [tuple(place) for place in expected]


@pytest.mark.parametrize(
    ("other", "image", "is_same"),
    [
        (Request("raining, sea", "256px", 42, name="sea", row="a.csv:2"), "key", True),
        (Request("raining", "256px", 42), "key", False),
        (Request("raining, sea", "768px", 42), "key", False),
        (Request("raining, sea", "256px", 43), "key", False),
        (Request("raining, sea", "256px", 42, num_frames=17), "key", False),
        (Request("raining, sea", "256px", 42, aspect_ratio="1:1"), "key", False),
        (Request("raining, sea", "256px", 42, picture=PICTURE), "key", False),
        (REQUEST, "another key", False),
    ],
)
def test_identifier(other, image, is_same):
    assert (request_identifier(other, image) == request_identifier(REQUEST, "key")) == is_same
    assert request_identifier(other, image).startswith(f"{other.config}-{other.seed}-")


def test_file_stem():
    assert file_stem(REQUEST, "256px-42-0") == "256px-42-0"
    assert file_stem(Request("x", "256px", 42, name="sea"), "256px-42-0") == "sea-256px-42-0"


def test_command():
    request = Request("raining, sea", "256px", 7, 17, "1:1", picture=PICTURE)
    command = build_command(request, Execution(offload_model=True), 2, "samples/run-1")
    assert command[:5] == ["torchrun", "--nproc_per_node", "2", "--standalone", "samples/run-1/launch.py"]
    assert command[5:7] == ["scripts/diffusion/inference.py", "configs/diffusion/inference/256px.py"]
    options = dict(zip(command[7::2], command[8::2]))  # the application reads them in pairs
    assert options == {
        "--dataset.data-path": "samples/run-1/prompts.csv",
        "--save-dir": "samples/run-1",
        "--sampling_option.seed": "7",
        "--seed": "7",
        "--cond_type": "i2v_head",
        "--num_frames": "17",
        "--aspect_ratio": "1:1",
        "--offload_model": "True",
    }
    assert "--cond_type" not in build_command(REQUEST, Execution(), 1, "samples/run-1")


@pytest.mark.parametrize(
    ("output", "code", "expected"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", 1, "generation.out_of_memory"),
        ("huggingface_hub.errors.HFValidationError: Repo id must be", 1, "generation.weights_missing"),
        ("File process_group_mesh.py, line 44\nAssertionError", 1, "generation.processes"),
        ("RuntimeError: CUDA error: no kernel image is available", 1, "generation.no_kernel"),
        ("ModuleNotFoundError: No module named 'opensora'", 1, "generation.module_missing"),
        ("OSError: [Errno 28] No space left on device", 1, "generation.disk_full"),
        ("PIL.UnidentifiedImageError: cannot identify image file", 1, "generation.picture_unreadable"),
        ("anything else", 1, "generation.failed"),
        ("", 124, "generation.failed"),
    ],
)
def test_failure(output, code, expected):
    problem = failure(output, code)
    assert problem.code == expected
    assert f"exit code {code}" in problem.message


def test_failure_names_the_error():
    assert "ValueError: boom" in failure("Traceback\n  File x\nValueError: boom\nW1125 closing", 1).message


def test_concerns_options():
    assert concerns_options(failure("CUDA out of memory", 1))
    assert not concerns_options(failure("RuntimeError: x", 1))
    assert not concerns_options(failure("cannot identify image file", 1))
