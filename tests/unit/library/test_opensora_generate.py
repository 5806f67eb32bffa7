"""Videos: what is made, in which runs, what came out, and what becomes of the others when one fails."""

from __future__ import annotations

import fcntl
import hashlib
import json
from dataclasses import replace
from pathlib import Path, PurePosixPath

import opensora_generate
import opensora_generation_info
import pytest
import yaml
from ansible.module_utils.opensora import service_generation
from ansible.module_utils.opensora.service_generation import GenerationError, host_path, read_begun
from ansible.module_utils.opensora.service_state import ServiceState
from generation_container import MP4, Container

PNG = b"\x89PNG\r\n\x1a\n a picture"


@pytest.fixture
def container(tmp_path):
    return Container(tmp_path / "app")


@pytest.fixture
def client(engine, fake_client, container):
    engine.state = ServiceState(
        container_id="container1", status="running", health="healthy", image_id="sha256:one", gpus=("GPU-a", "GPU-b")
    )

    class Client(fake_client):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.api = container

        def execute(self, _, command):
            return container.execute(list(command))

        def image_labels(self, image):
            return {"org.opensora-site.build-key": f"key of {image}"}

    return Client


@pytest.fixture
def run(run_module, monkeypatch, client, tmp_path):
    for module in (opensora_generate, opensora_generation_info):
        monkeypatch.setattr(module, "DockerServiceClient", client)
    monkeypatch.setattr(service_generation, "RUN_FOLDER", tmp_path / "run")
    monkeypatch.setattr(opensora_generate, "RUN_FOLDER", tmp_path / "run")

    def call(*prompts, module=opensora_generate, **options):
        requests = [{"prompt": prompt} if isinstance(prompt, str) else prompt for prompt in prompts]
        return run_module(module, **{"requests": requests, "project_directory": "/x", **options})

    return call


def states(result):
    return [entry["state"] for entry in result["results"]]


def codes(result):
    return [entry["problem"].get("code") for entry in result["results"]]


def test_renders(run, container):
    result = run({"prompt": 'a "sea", raining', "seed": 7, "row": "p.csv:2", "name": "sea"}, at_once="1", host="gpu01")
    assert result["changed"]
    (entry,) = result["results"]
    assert (entry["state"], entry["row"], entry["problem"]) == ("rendered", "p.csv:2", {})
    folder = Path(entry["directory"])
    assert (folder / "video.mp4").read_bytes().startswith(MP4)
    record = entry["record"]
    assert json.loads((folder / "record.json").read_text()) == record
    assert {key: record[key] for key in ("prompt", "seed", "name", "image", "image_identity", "host", "gpus")} == {
        "prompt": 'a "sea", raining',
        "seed": 7,
        "name": "sea",
        "image": "sha256:one",
        "image_identity": "key of sha256:one",
        "host": "gpu01",
        "gpus": ["GPU-a"],
    }
    assert record["video"]["frames"] == 2
    assert record["video"]["sha256"] == hashlib.sha256((folder / "video.mp4").read_bytes()).hexdigest()
    assert record["seconds"] >= 0
    assert record["started"].endswith("+00:00")
    assert container.runs[0][:4] == ["timeout", "--kill-after=30", "7200", "torchrun"]
    assert container.environments[0]["CUDA_VISIBLE_DEVICES"] == "GPU-a"
    # Nothing of the run itself is left.
    assert [path.name for path in container.samples.iterdir()] == [entry["id"]]


def test_a_video_without_a_contact_sheet_is_a_video(run):
    (entry,) = run("sea")["results"]
    assert entry["record"]["sheet"] is None
    assert "PIL" in entry["record"]["sheet_missing"]


def test_equal_options_are_one_run_and_gpus_work_at_the_same_time(run, container):
    result = run("a", "b", "c", {"prompt": "d", "num_frames": 17})
    assert states(result) == ["rendered"] * 4
    assert sorted(map(sorted, container.prompts)) == [["a", "b"], ["c"], ["d"]]
    assert {environment["CUDA_VISIBLE_DEVICES"] for environment in container.environments} == {"GPU-a", "GPU-b"}
    # The runs of two GPUs begin in no certain order.
    assert sorted(int(words[2]) for words in container.runs) == [7200, 7200, 14400]


def test_768px_uses_all_gpus(run, container):
    result = run({"prompt": "a", "config": "768px"}, {"prompt": "b", "config": "768px"})
    assert states(result) == ["rendered", "rendered"]
    assert container.prompts == [["a", "b"]]
    assert container.runs[0][container.runs[0].index("--nproc_per_node") + 1] == "2"
    assert "CUDA_VISIBLE_DEVICES" not in container.environments[0]
    assert result["results"][0]["record"]["gpus"] == ["GPU-a", "GPU-b"]


def test_one_that_fails_does_not_hold_up_the_others(run, container):
    container.behaviour["b"] = "ValueError: boom"
    result = run("a", "b", "c", at_once="1")
    assert states(result) == ["rendered", "failed", "rendered"]
    assert container.prompts == [["a", "b", "c"], ["c"]]
    problem = result["results"][1]["problem"]
    assert "ValueError: boom" in problem["message"]
    assert not any("Denoising" in line for line in problem["evidence"])


def test_what_all_would_meet_is_met_once(run, container):
    container.behaviour["a"] = "torch.OutOfMemoryError: CUDA out of memory"
    result = run("a", "b", {"prompt": "c", "num_frames": 17}, at_once="1")
    assert codes(result) == ["generation.out_of_memory", "generation.out_of_memory", None]
    assert "low_memory" in result["results"][0]["problem"]["next_action"]
    assert "not tried" in result["results"][1]["problem"]["message"]
    assert container.prompts == [["a", "b"], ["c"]]


def test_ends_before_the_first_video(run, container):
    container.ends_at_once = "ModuleNotFoundError: No module named 'opensora'"
    result = run("a", "b", at_once="1")
    assert codes(result) == ["generation.module_missing"] * 2
    assert len(container.runs) == 1
    assert not result["changed"]


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [("silent", "generation.no_video"), (MP4 + b"broken", "generation.undecodable"), (MP4, "generation.undecodable")],
)
def test_no_video(run, container, behaviour, code):
    container.behaviour["a"] = behaviour
    result = run("a", "b", at_once="1")
    assert codes(result) == [code, None]


def test_the_same_request_is_rendered_once(run, container):
    first, second = run("a"), run({"prompt": "a", "name": "other"}, "b")
    assert (states(first), states(second)) == (["rendered"], ["present", "rendered"])
    assert second["results"][0]["record"] == first["results"][0]["record"]
    assert not run("a", "b")["changed"]
    assert len(container.runs) == 2


def test_what_is_not_whole_or_unwanted_is_rendered_again(run, container):
    path = Path(run("a")["results"][0]["directory"]) / "video.mp4"
    path.write_bytes(path.read_bytes()[:-1])
    assert states(run("a")) == ["rendered"]
    assert states(run("a", again=True)) == ["rendered"]
    assert len(container.runs) == 3


def test_a_link_is_no_video(run, tmp_path):
    path = Path(run("a")["results"][0]["directory"]) / "video.mp4"
    secret = tmp_path / "elsewhere.mp4"
    secret.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(secret)
    assert states(run("a")) == ["rendered"]
    assert not path.is_symlink()


def test_pictures(run, container, tmp_path):
    digest = hashlib.sha256(PNG).hexdigest()
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / f"{digest}.png").write_bytes(PNG)
    result = run({"prompt": "a", "picture": digest}, pictures_directory=str(folder))
    assert states(result) == ["rendered"]
    assert container.tables[0][0]["ref"].endswith(f"pictures/{digest}.png")
    assert container.runs[0][container.runs[0].index("--cond_type") + 1] == "i2v_head"
    assert not folder.exists()
    assert states(run({"prompt": "b", "picture": digest})) == ["failed"]


def test_refuses_what_the_gpus_can_not_do(run, container):
    result = run({"prompt": "a", "config": "768px"}, processes="4")
    assert "at most 2" in result["results"][0]["problem"]["message"]
    assert container.runs == []


@pytest.mark.parametrize(
    ("request_", "word"), [({"prompt": "a", "num_frames": "20"}, "num_frames"), ({"prompt": ""}, "prompt")]
)
def test_refuses_options(run, container, request_, word):
    result = run(request_)
    assert result["failed"]
    assert word in result["msg"]
    assert container.runs == []


@pytest.mark.parametrize(
    "change", [{"status": "exited"}, {"health": "unhealthy"}, {"status": None, "container_id": None}]
)
def test_needs_a_running_service(run, engine, change):
    engine.state = replace(engine.state, **change)
    assert run("a")["problems"][0]["code"] == "service.not_running"
    info = run("a", module=opensora_generation_info)
    assert info["problems"][0]["code"] == "service.not_running"
    assert info["renderer"] == {}


def test_check_mode_renders_nothing(run, container):
    assert states(run("a", _ansible_check_mode=True)) == ["planned"]
    assert container.runs == []


def test_progress(run, tmp_path):
    path = tmp_path / "progress"
    path.write_text("")
    run("a", at_once="1", _progress_path=str(path))
    lines = [json.loads(line)["line"] for line in path.read_text().splitlines()]
    assert lines == [
        '1/1 "a" loading the model',
        '1/1 "a" 40 % (20/50 steps), 12.3 s/it, 6 min left',
        '1/1 "a" ready in 0 s',
    ]


def test_info(run):
    made = run("a")["results"][0]["id"]
    info = run("a", "b", {"prompt": ""}, module=opensora_generation_info)
    assert info["finished"] == [made]
    assert info["renderer"] == {"image": "sha256:one", "identity": "key of sha256:one", "gpus": ["GPU-a", "GPU-b"]}
    assert (info["begun"], info["problems"]) == ([], [])


def test_what_another_run_is_making_is_told(run):
    made = run("a")["results"][0]["id"]
    assert read_begun("opensora") == []
    with service_generation.lock_file("opensora").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert read_begun("opensora") == [made]
    assert read_begun("another") == []


def test_the_engine_is_away(run, engine):
    engine.is_there = False
    assert run("a")["problems"][0]["code"] == "engine.refused"
    assert run("a", module=opensora_generation_info)["problems"][0]["code"] == "engine.refused"


def test_host_path():
    mounts = [
        {"Destination": "/workspace", "Source": "/home/me/tree"},
        {"Destination": "/workspace/samples", "Source": "/srv/samples"},
    ]
    assert host_path(mounts, PurePosixPath("/workspace/samples/one")) == Path("/srv/samples/one")
    assert host_path(mounts, PurePosixPath("/workspace/other")) == Path("/home/me/tree/other")
    with pytest.raises(GenerationError):
        host_path(mounts, PurePosixPath("/workspaces/one"))


@pytest.mark.parametrize("module", [opensora_generate, opensora_generation_info])
def test_documentation_matches_the_arguments(module):
    options = yaml.safe_load(module.DOCUMENTATION)["options"]
    assert options.keys() == module.ARGUMENT_SPEC.keys()
    yaml.safe_load(module.RETURN)
