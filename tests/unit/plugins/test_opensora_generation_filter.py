"""What playbooks/generate.yml asks for, who makes it, and what became of it."""

from __future__ import annotations

import hashlib
import json

import pytest

from plugins.filter import opensora_generation as filters

PNG = b"\x89PNG\r\n\x1a\n a picture"
DIGEST = hashlib.sha256(PNG).hexdigest()
SETTINGS = {
    "directory": "/opt/service",
    "environment_profile": "performance",
    "samples_directory": "/srv/samples",
    "cache_directory": "/srv/cache",
    "gpus": "[*]",
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "one.png").write_bytes(PNG)
    (tmp_path / "text.png").write_text("no picture")
    return tmp_path


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["prompt", "seed", "ansible_prompts", "opensora_service_gpus", "seeds", "promotion"], []),
        (["promt"], ["promt", "-e prompt="]),
        (["num_frame"], ["-e num_frames="]),
        (["aspect_ration"], ["-e aspect_ratio="]),
        (["offload"], ["offload", "-e offload_model="]),
        (["ref"], ["-e image="]),
        (["time_limits", "proces"], ["-e time_limit="]),
    ],
)
def test_misspelt(names, words):
    options = ["prompt", "prompts", "image", "seed", "num_frames", "aspect_ratio", "offload_model", "time_limit"]
    text = filters.opensora_generation_misspelt(names, options)
    assert bool(text) == bool(words)
    assert all(word in text for word in words)


def test_a_prompt():
    found = filters.opensora_generation_requests({"prompt": "sea", "prompts": "", "seed": "7", "image": ""})
    assert found["errors"] == ""
    assert [(r["prompt"], r["seed"], r["row"]) for r in found["requests"]] == [("sea", 7, "prompt")]
    assert found["pictures"] == {}


def test_a_table_with_pictures(folder):
    (folder / "p.csv").write_text("prompt,image\nsea,one.png\nfog,\n")
    found = filters.opensora_generation_requests({"prompts": str(folder / "p.csv"), "num_frames": 17})
    assert found["errors"] == ""
    assert [(r["picture"], r["num_frames"], r["row"]) for r in found["requests"]] == [
        (DIGEST, 17, "p.csv:2"),
        ("", 17, "p.csv:3"),
    ]
    assert found["pictures"] == {DIGEST: str(folder / "one.png")}
    assert filters.opensora_generation_picture_name(DIGEST, str(folder / "one.png")) == f"{DIGEST}.png"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["prompt", "-e prompts=FILE.csv"]),
        ({"prompt": "sea", "prompts": "p.csv"}, ["'both'"]),
        ({"prompts": "FOLDER/gone.csv"}, ["gone.csv", "No such file"]),
        ({"prompt": "sea", "image": "FOLDER/gone.png"}, ["gone.png", "No such file"]),
        ({"prompt": "sea", "image": "FOLDER/text.png"}, ["text.png", "is not PNG, JPEG"]),
        ({"prompt": "sea", "image": "FOLDER/one.png", "config": "t2i2v_256px"}, ["t2i2v_256px makes its own"]),
        ({"prompt": "sea", "seed": "two"}, ["seed", "'two'"]),
    ],
)
def test_refuses(folder, options, words):
    given = {name: value.replace("FOLDER", str(folder)) for name, value in options.items()}
    errors = filters.opensora_generation_requests(given)["errors"]
    assert all(word in errors for word in words), errors


@pytest.mark.parametrize(
    ("instances", "name", "change", "expected"),
    [
        ({}, "", {}, ("opensora", "/opt/service", False)),
        ({}, "", {"environment_profile": "low_memory"}, ("opensora", "/opt/service", True)),
        ({"one": {}}, "", {}, ("opensora-one", "/opt/service/one", False)),
        (
            {"one": {}, "two": {"environment_profile": "low_memory"}},
            "two",
            {},
            ("opensora-two", "/opt/service/two", True),
        ),
        ({"one": {}, "two": {}}, "", {}, "one, two"),
        ({"one": {}, "two": {}}, "three", {}, "'three'"),
    ],
)
def test_service(instances, name, change, expected):
    found = filters.opensora_generation_service({**SETTINGS, **change}, instances, name, {"offload_model": ""})
    if isinstance(expected, str):
        assert expected in found["errors"]
    else:
        assert (found["project"], found["directory"], found["execution"]["offload_model"]) == expected


def test_the_command_line_wins_over_the_profile():
    settings = {**SETTINGS, "environment_profile": "low_memory"}
    found = filters.opensora_generation_service(settings, {}, "", {"offload_model": "false"})
    assert found["execution"]["offload_model"] is False
    assert "offload_model" in filters.opensora_generation_service(settings, {}, "", {"offload_model": "x"})["errors"]


def host(gpus=1, finished=(), problems=(), errors=""):
    service = {"execution": {"offload_model": False, "processes": 0, "at_once": 0}, "errors": errors}
    renderer = {"image": "i", "identity": "k", "gpus": [f"GPU-{n}" for n in range(gpus)]} if not problems else {}
    info = {"renderer": renderer, "finished": list(finished), "begun": [], "problems": list(problems)}
    return {"__opensora_service_generation_service": service, "__opensora_service_generation_info": info}


STOPPED = {
    "layer": "compose",
    "code": "service.not_running",
    "severity": "error",
    "message": "the service is exited",
    "next_action": "Run playbooks/service.yml.",
}


def requests_of(*prompts, **options):
    found = [filters.opensora_generation_requests({"prompt": prompt, **options}) for prompt in prompts]
    return [entry["requests"][0] for entry in found]


def share(hostvars, requests, samples, **options):
    return filters.opensora_generation_share(
        hostvars, list(hostvars), requests, str(samples), **{"each_host": False, "again": False, **options}
    )


def test_share_and_outcome(tmp_path):
    hostvars = {"gpu01": host(), "gpu02": host(), "gpu03": host(problems=[STOPPED]), "gpu04": {}}
    shared = share(hostvars, requests_of("a", "b", "c"), tmp_path)
    assert [a["host"] for a in shared["assignments"]] == ["gpu01", "gpu02", "gpu01"]
    assert set(shared["left_out"]) == {"gpu03", "gpu04"}
    assert shared["errors"] == ""

    content = b"a video"
    for assignment, digest in zip(shared["assignments"], [hashlib.sha256(content).hexdigest(), "another"]):
        record = {
            "id": assignment["identifier"],
            "seconds": 3.0,
            "video": {"bytes": len(content), "sha256": digest, "seconds": 1.0},
        }
        stem = tmp_path / assignment["host"] / assignment["stem"]
        stem.parent.mkdir(exist_ok=True)
        stem.with_suffix(".mp4").write_bytes(content)
        stem.with_suffix(".json").write_text(json.dumps(record))
        hostvars[assignment["host"]]["__opensora_service_generation"] = {
            "results": [{"id": assignment["identifier"], "state": "rendered", "problem": {}}]
        }
    found = filters.opensora_generation_outcome(hostvars, shared, str(tmp_path), is_check=False)
    rows = found["table"].splitlines()
    assert "rendered" in rows[2]
    assert "failed: generation.not_fetched" in rows[3]  # it is not what the host described
    assert "not known: generation.host_lost" in rows[4]
    assert "gpu03" in found["table"]
    assert "the service is exited" in found["table"]
    assert list(found["errors"]) == ["gpu01", "gpu02"]
    assert '"c" on gpu01' in found["errors"]["gpu01"]
    assert '"a" on gpu01' not in found["errors"]["gpu01"]

    again = share(hostvars, requests_of("a"), tmp_path)
    assert again["assignments"][0]["action"] == "stored"
    done = filters.opensora_generation_outcome(hostvars, again, str(tmp_path), is_check=False)
    assert done["errors"] == {}
    (tmp_path / "gpu01" / f"{again['assignments'][0]['stem']}.mp4").write_bytes(b"half")
    assert share(hostvars, requests_of("a"), tmp_path)["assignments"][0]["action"] == "render"


def test_a_host_that_refused_all(tmp_path):
    hostvars = {"gpu01": host()}
    shared = share(hostvars, requests_of("a"), tmp_path)
    hostvars["gpu01"]["__opensora_service_generation"] = {"msg": "[application] another generation holds the lock"}
    found = filters.opensora_generation_outcome(hostvars, shared, str(tmp_path), is_check=False)
    assert "another generation holds the lock" in found["errors"]["gpu01"]


def test_no_host(tmp_path):
    assert "the service is exited" in share({"gpu01": host(problems=[STOPPED])}, requests_of("a"), tmp_path)["errors"]


def test_too_many_processes(tmp_path):
    hostvars = {"gpu01": host()}
    hostvars["gpu01"]["__opensora_service_generation_service"]["execution"]["processes"] = 4
    errors = share(hostvars, requests_of("a", config="768px"), tmp_path)["errors"]
    assert "gpu01" in errors
    assert "at most 1" in errors
