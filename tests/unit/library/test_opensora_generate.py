"""A video: refused options, the command, what came out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import opensora_generate
import pytest
import yaml
from ansible.module_utils.opensora.service_generation import GenerationError, host_path
from ansible.module_utils.opensora.service_state import ServiceState

MP4 = b"\x00\x00\x00\x18ftypisom"


@pytest.fixture
def generate(run_module, monkeypatch, engine, fake_client, tmp_path):
    samples = tmp_path / "samples"
    samples.mkdir()
    engine.state = ServiceState(
        container_id="container1", status="running", health="healthy", image_id="sha256:one", gpus=("GPU-a", "GPU-b")
    )
    engine.outcome = (0, "")
    engine.files = {"video_256px/0000.mp4": MP4}

    class Client(fake_client):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            mounts = [{"Destination": "/opt/open-sora/samples", "Source": str(samples)}]
            inspected = {"Config": {"WorkingDir": "/opt/open-sora"}, "Mounts": mounts}
            self.api = SimpleNamespace(inspect_container=lambda _: inspected, timeout=0)

        def execute(self, container_id, command):
            engine.calls.append(tuple(command))
            folder = samples.parent / command[command.index("--save-dir") + 1]
            for name, content in engine.files.items():
                (folder / name).parent.mkdir(parents=True)
                (folder / name).write_bytes(content)
            return engine.outcome

    monkeypatch.setattr(opensora_generate, "DockerServiceClient", Client)

    def run(**options):
        return run_module(opensora_generate, **{"prompt": "sea", "project_directory": "/x", **options})

    return run


def test_renders(generate, engine):
    result = generate(seed="7")
    assert result["changed"]
    assert Path(result["videos"][0]).read_bytes() == MP4
    record = result["record"]
    assert (record["prompt"], record["seed"], record["image"]) == ("sea", 7, "sha256:one")
    assert record["gpus"] == ["GPU-a", "GPU-b"]
    assert record["videos"] == ["video_256px/0000.mp4"]
    assert engine.calls[0][:4] == ("timeout", "--kill-after=30", "7200", "torchrun")


@pytest.mark.parametrize(
    ("files", "outcome", "code"),
    [
        ({}, (0, "done"), "generation.no_video"),
        ({"video_256px/0000.mp4": b"not a video at all"}, (0, "done"), "generation.no_video"),
        ({}, (1, "CUDA out of memory"), "generation.out_of_memory"),
    ],
)
def test_fails_without_a_video(generate, engine, files, outcome, code):
    engine.files, engine.outcome = files, outcome
    result = generate()
    assert result["failed"]
    assert result["problems"][0]["code"] == code


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"num_frames": "20"}, "num_frames"),
        ({"config": "768px", "processes": "1"}, "processes"),
        ({"prompt": ""}, "prompt"),
    ],
)
def test_refuses_options(generate, engine, options, word):
    result = generate(**options)
    assert result["failed"]
    assert word in result["msg"]
    assert engine.calls == []


@pytest.mark.parametrize(
    "change", [{"status": "exited"}, {"health": "unhealthy"}, {"status": None, "container_id": None}]
)
def test_needs_a_running_service(generate, engine, change):
    engine.state = replace(engine.state, **change)
    assert generate()["problems"][0]["code"] == "service.not_running"


def test_check_mode_renders_nothing(generate, engine):
    result = generate(_ansible_check_mode=True)
    assert result["videos"] == []
    assert engine.calls == []


def test_host_path():
    mounts = [
        {"Destination": "/workspace", "Source": "/home/me/tree"},
        {"Destination": "/workspace/samples", "Source": "/srv/samples"},
    ]
    assert host_path(mounts, PurePosixPath("/workspace/samples/one")) == Path("/srv/samples/one")
    assert host_path(mounts, PurePosixPath("/workspace/other")) == Path("/home/me/tree/other")
    with pytest.raises(GenerationError):
        host_path(mounts, PurePosixPath("/workspaces/one"))


def test_documentation_matches_the_arguments():
    options = yaml.safe_load(opensora_generate.DOCUMENTATION)["options"]
    assert options.keys() == opensora_generate.ARGUMENT_SPEC.keys()
