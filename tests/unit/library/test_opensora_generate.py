"""A video: refused options, the command, what came out."""

from __future__ import annotations

import json
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
    engine.undecodable = False

    class Client(fake_client):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            mounts = [{"Destination": "/opt/open-sora/samples", "Source": str(samples)}]
            inspected = {"Config": {"WorkingDir": "/opt/open-sora"}, "Mounts": mounts}
            self.api = SimpleNamespace(inspect_container=lambda _: inspected, timeout=0)

        def execute(self, container_id, command):
            engine.calls.append(tuple(command))
            if command[0] == "cat":
                record = samples.parent / command[1]
                return (0, record.read_text()) if record.exists() else (1, "No such file")
            if command[:2] == ["python", "-c"]:
                return self._examine(samples.parent / command[3], json.loads(command[4]))
            folder = samples.parent / command[command.index("--save-dir") + 1]
            for name, content in engine.files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            return engine.outcome

        @staticmethod
        def _examine(folder, record):
            if engine.undecodable:
                return 1, "Traceback\nav.error.InvalidDataError"
            files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.mp4"))
            record["videos"] = [{"file": file, "frames": 2, "seconds": 0.1, "width": 4, "height": 4} for file in files]
            (folder / "record.json").write_text(json.dumps(record))
            return 0, json.dumps(record)

    monkeypatch.setattr(opensora_generate, "DockerServiceClient", Client)

    def run(**options):
        return run_module(opensora_generate, **{"prompt": "sea", "project_directory": "/x", **options})

    return run


def rendered(engine):
    return [call for call in engine.calls if call[0] == "timeout"]


def test_renders(generate, engine):
    result = generate(seed="7")
    assert result["changed"]
    assert Path(result["videos"][0]).read_bytes() == MP4
    record = result["record"]
    assert (record["prompt"], record["seed"], record["image"]) == ("sea", 7, "sha256:one")
    assert record["gpus"] == ["GPU-a", "GPU-b"]
    assert [video["file"] for video in record["videos"]] == ["video_256px/0000.mp4"]
    assert rendered(engine)[0][:4] == ("timeout", "--kill-after=30", "7200", "torchrun")


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


def test_the_same_request_is_rendered_once(generate, engine):
    first = generate(seed="7")
    second = generate(seed="7")
    assert first["changed"]
    assert not second["changed"]
    assert second["videos"] == first["videos"]
    assert second["record"] == first["record"]
    assert len(rendered(engine)) == 1


def test_a_lost_video_another_seed_and_the_wish_render_again(generate, engine):
    first = generate(seed="7")
    Path(first["videos"][0]).unlink()
    assert generate(seed="7")["changed"]
    assert generate(seed="8")["changed"]
    assert generate(seed="7", again=True)["changed"]
    assert len(rendered(engine)) == 4


def test_a_link_is_no_video(generate, engine, tmp_path):
    secret = tmp_path / "elsewhere.mp4"
    secret.write_bytes(MP4)
    first = generate(seed="7")
    video = Path(first["videos"][0])
    video.unlink()
    video.symlink_to(secret)
    engine.files = {}
    assert generate(seed="7")["problems"][0]["code"] == "generation.no_video"


def test_fails_with_a_video_that_does_not_decode(generate, engine):
    engine.undecodable = True
    result = generate()
    assert result["problems"][0]["code"] == "generation.undecodable"
    assert "InvalidDataError" in result["msg"]


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
