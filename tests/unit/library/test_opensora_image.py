# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
import stat

import opensora_image
import pytest
from ansible.module_utils.opensora.build_key import BUILD_KEY_LABEL, INPUTS_LABEL
from ansible.module_utils.opensora.image_decision import LocalImage
from ansible.module_utils.opensora.image_engine import EngineError

ID, DIGEST = "sha256:" + "1" * 64, "sha256:" + "d" * 64


class FakeEngine:
    """An engine with a list of images; building, pulling and pushing add to it."""

    image_store = "classic"

    def __init__(self, images=()):
        self.listing = list(images)
        self.calls = []
        self.used = set()
        self.layers_of = {}

    def images(self):
        return list(self.listing)

    def used_images(self):
        return self.used

    def layers(self, image):
        return self.layers_of.get(image, [])

    def tag(self, image, repository, tag):
        self.calls.append(("tag", image, f"{repository}:{tag}"))

    def remove(self, image):
        self.calls.append(("remove", image.id))
        self.listing.remove(image)
        return ""

    def pull(self, repository, digest, tag, say):
        self.calls.append(("pull", repository, digest))
        self.listing.insert(0, LocalImage(ID, 9, (f"{repository}@{digest}",), {BUILD_KEY_LABEL: tag}))

    def push(self, image, repository, tag, say):
        self.calls.append(("push", repository, tag))
        found = next(entry for entry in self.listing if entry.id == image)
        self.listing.insert(0, LocalImage(image, 9, (f"{repository}@{DIGEST}",), found.labels))


@pytest.fixture
def engine(monkeypatch, tmp_path):
    fake = FakeEngine()
    fake.data_root = str(tmp_path)
    monkeypatch.setattr(opensora_image, "ImageEngine", lambda _: fake)
    return fake


@pytest.fixture
def registry(monkeypatch):
    held = {}
    monkeypatch.setattr(opensora_image.RegistryClient, "digest", lambda _, reference: held.get(reference.tag))
    return held


@pytest.fixture
def run(run_module, tmp_path):
    def start(**arguments):
        return run_module(
            opensora_image,
            name="opensora",
            dockerfile="FROM x\n",
            context={"a.txt": "1"},
            directory=str(tmp_path / "image"),
            log_directory=str(tmp_path / "logs"),
            **arguments,
        )

    return start


def key_of(run):
    return run(_ansible_check_mode=True)["build_key"]


def docker(tmp_path, monkeypatch, script):
    command = tmp_path / "bin" / "docker"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")


def test_nothing_to_do(run, engine):
    key = key_of(run)
    engine.listing = [LocalImage(ID, 1, (), {BUILD_KEY_LABEL: key})]
    result = run()
    assert (result["changed"], result["action"], result["reference"], result["id"]) == (False, "none", ID, ID)
    assert result["changed_inputs"] == []


def test_check_mode_names_the_inputs_that_changed_and_touches_nothing(run, engine, tmp_path):
    inputs = {"dockerfile": "sha256:old", "platform": "linux/amd64", "revision": "", "target": ""}
    engine.listing = [LocalImage(ID, 1, (), {BUILD_KEY_LABEL: "old", INPUTS_LABEL: json.dumps(inputs)})]
    result = run(_ansible_check_mode=True, _ansible_diff=True)
    assert (result["changed"], result["action"], result["reference"]) == (True, "build", None)
    assert result["changed_inputs"] == ["context/a.txt", "dockerfile"]
    assert "dockerfile: sha256:old" in result["diff"]["before"]
    assert list(tmp_path.iterdir()) == []


def test_check_mode_on_a_host_without_engine_predicts(run, monkeypatch):
    def missing(_):
        raise EngineError("the Docker SDK for Python is not installed")

    monkeypatch.setattr(opensora_image, "ImageEngine", missing)
    result = run(_ansible_check_mode=True)
    assert (result["changed"], result["action"]) == (True, "build")
    assert "not installed" in result["reason"]
    result = run()
    assert result["failed"]
    assert result["problems"][0]["code"] == "engine.unreachable"


def test_a_build_reads_again_what_it_made(run, engine, tmp_path, monkeypatch):
    key = key_of(run)
    docker(tmp_path, monkeypatch, 'echo "$@" > "$(dirname "$0")/arguments"')
    engine.images = lambda: (
        [LocalImage(ID, 1, (), {BUILD_KEY_LABEL: key})] if (tmp_path / "bin/arguments").exists() else []
    )
    result = run(build_arguments={}, effort_arguments={"MAX_JOBS": 2}, proxies={"http_proxy": "http://u:p@x:1"})
    assert (result["changed"], result["action"], result["reference"]) == (True, "build", ID)
    arguments = (tmp_path / "bin" / "arguments").read_text()
    assert f"{BUILD_KEY_LABEL}={key}" in arguments
    assert "MAX_JOBS=2" in arguments
    assert "--build-arg http_proxy" in arguments
    assert "u:p@x" not in arguments
    assert (tmp_path / "image/context/Dockerfile").read_text() == "FROM x\n"


def test_effort_does_not_change_the_key(run, engine):
    assert key_of(run) == run(_ansible_check_mode=True, effort_arguments={"MAX_JOBS": 64})["build_key"]
    assert key_of(run) != run(_ansible_check_mode=True, build_arguments={"MAX": 64})["build_key"]


def test_a_failed_build_says_where_why_and_what_next(run, engine, tmp_path, monkeypatch):
    docker(tmp_path, monkeypatch, 'echo "ERROR: failed to solve: no space left on device" >&2; exit 1')
    result = run()
    assert result["failed"]
    assert "the disk is full" in result["msg"]
    assert result["cause"]["code"] == "disk_full"
    assert result["problems"][0]["layer"] == "disk"
    assert result["log"].startswith(str(tmp_path / "logs/build-"))


def test_a_build_that_leaves_no_image_is_a_failure(run, engine, tmp_path, monkeypatch):
    docker(tmp_path, monkeypatch, "exit 0")
    result = run()
    assert result["failed"]
    assert result["problems"][0]["code"] == "image.not_provided"


def test_too_small_a_disk_is_told_before_the_build(run, engine, tmp_path, monkeypatch):
    docker(tmp_path, monkeypatch, "exit 0")
    result = run(minimum_free_bytes=10**18)
    assert result["failed"]
    assert result["problems"][0]["code"] == "disk.too_few_bytes"
    assert not (tmp_path / "image/context").exists()


def test_the_registry_has_it(run, engine, registry):
    key = key_of(run)
    registry[key] = DIGEST
    result = run(registry="registry.example/site", build="never")
    assert (result["action"], result["reference"]) == ("pull", f"registry.example/site/opensora@{DIGEST}")
    assert result["digest"] == DIGEST
    assert engine.calls == [("pull", "registry.example/site/opensora", DIGEST)]


def test_an_interrupted_push_is_made_up_for(run, engine, registry):
    key = key_of(run)
    engine.listing = [LocalImage(ID, 1, (), {BUILD_KEY_LABEL: key})]
    result = run(registry="registry.example")
    assert (result["changed"], result["action"], result["digest"]) == (True, "push", DIGEST)
    assert engine.calls == [("push", "registry.example/opensora", key)]


def test_a_host_that_shall_not_build_says_so(run, engine, registry):
    result = run(registry="registry.example", build="never")
    assert result["failed"]
    assert result["problems"][0]["code"] == "image.not_built"
    assert engine.calls == []


@pytest.mark.parametrize("name", ["UPPER", "a b", ""])
def test_names_that_are_none(run_module, name):
    result = run_module(opensora_image, name=name, dockerfile="FROM x\n")
    assert result["failed"]


def test_a_context_that_leaves_its_folder(run_module):
    result = run_module(opensora_image, name="a", dockerfile="FROM x\n", context={"../x": ""})
    assert result["failed"]
    assert "build context" in result["msg"]
