"""The deployment: read, decide, act, prove, go back; against an engine that lives in memory."""

from __future__ import annotations

import os
from dataclasses import replace

import opensora_service
import pytest
import yaml

GOOD = "image: sha256:one\ngpus: GPU-a\n"
BETTER = "image: sha256:two\ngpus: GPU-a\n"
BAD = "image: sha256:bad\ngpus: GPU-a\n"


@pytest.fixture
def deploy(run_module, monkeypatch, engine, fake_client, tmp_path):
    monkeypatch.setattr(opensora_service, "DockerServiceClient", fake_client)

    def run(definition=GOOD, **options):
        arguments = {
            "project_directory": str(tmp_path / "service"),
            "definition": definition,
            "image": definition.split()[1],
            "gpus": ["GPU-a"],
            "proof_command": ["prove"],
            **options,
        }
        return run_module(opensora_service, **arguments)

    return run


def ups(engine):
    return [call for call in engine.calls if call[0] == "up"]


def test_create_then_nothing(deploy, engine, tmp_path):
    first = deploy()
    assert (first["changed"], first["action"], first["changed_keys"]) == (True, "create", ["container"])
    assert first["service"]["health"] == "healthy"
    file = tmp_path / "service/compose.yaml"
    assert file.read_text() == GOOD
    assert file.stat().st_mode & 0o777 == 0o640
    second = deploy()
    assert (second["changed"], second["action"]) == (False, "none")
    assert all(part["before"] == part["after"] for part in second["diff"])
    assert len(ups(engine)) == 1


def test_check_mode_predicts_the_same(deploy, engine, tmp_path):
    predicted = deploy(_ansible_check_mode=True)
    assert (predicted["changed"], predicted["action"]) == (True, "create")
    assert engine.calls == []
    assert not (tmp_path / "service").exists()
    assert deploy()["action"] == predicted["action"]
    assert not deploy(_ansible_check_mode=True)["changed"]
    assert deploy(BETTER, _ansible_check_mode=True)["action"] == "replace"


def test_check_mode_on_a_bare_host(deploy, engine):
    engine.is_there = False
    predicted = deploy(_ansible_check_mode=True)
    assert (predicted["changed"], predicted["action"]) == (True, "create")
    refused = deploy()
    assert refused["failed"]
    assert refused["problems"][0]["code"] == "engine.unreachable"


def test_replace(deploy, engine, tmp_path):
    deploy()
    result = deploy(BETTER)
    assert (result["action"], result["changed_keys"]) == ("replace", ["definition", "image"])
    assert result["service"]["image"] == "sha256:two"
    assert (tmp_path / "service/compose.previous.yaml").read_text() == GOOD
    assert "container1" in result["diff"][1]["before"]
    assert "container2" in result["diff"][1]["after"]


@pytest.mark.parametrize(
    ("state", "action", "forced"),
    [
        ({"status": "exited"}, "start", False),
        ({"health": "unhealthy"}, "replace", True),
        ({"status": "paused"}, "replace", True),
        ({"gpus": ()}, "replace", True),
    ],
)
def test_repairs_what_someone_did(deploy, engine, state, action, forced):
    deploy()
    engine.state = replace(engine.state, **state)
    result = deploy()
    assert (result["changed"], result["action"]) == (True, action)
    assert ("--force-recreate" in ups(engine)[-1]) == forced


def test_writes_a_compose_file_that_someone_changed(deploy, engine, tmp_path):
    deploy()
    (tmp_path / "service/compose.yaml").write_text("image: sha256:two\n")
    result = deploy()
    assert (result["changed"], result["action"], result["changed_keys"]) == (True, "none", ["file"])
    assert len(ups(engine)) == 1


def test_goes_back_when_the_new_version_is_unhealthy(deploy, engine, tmp_path):
    deploy()
    result = deploy(BAD)
    assert result["failed"]
    assert [problem["code"] for problem in result["problems"]] == ["service.not_healthy", "service.rolled_back"]
    assert all(word in result["msg"] for word in ("unhealthy", "no GPU", "Traceback: boom", "exit codes"))
    assert engine.state.image == "sha256:one"
    assert (tmp_path / "service/compose.yaml").read_text() == GOOD
    assert not deploy()["changed"]


@pytest.mark.parametrize(
    ("sees", "proof", "code"),
    [
        (("GPU-a", "GPU-b"), (0, ""), "proof.gpus_differ"),
        ((), (0, ""), "proof.gpus_differ"),
        (None, (1, "cpu"), "proof.failed"),
    ],
)
def test_refuses_a_service_without_its_gpus(deploy, engine, sees, proof, code):
    engine.sees, engine.proof = sees, proof
    result = deploy()
    assert result["failed"]
    assert [problem["code"] for problem in result["problems"]] == [code, "service.stopped"]
    assert engine.state.status == "exited"


def test_goes_back_when_compose_fails(deploy, engine):
    deploy()
    engine.up_fails = "sha256:two"
    result = deploy(BETTER)
    assert [problem["code"] for problem in result["problems"]] == ["port.taken", "service.rolled_back"]
    assert engine.state.image == "sha256:one"


def test_says_when_the_old_version_is_not_well_either(deploy, engine):
    deploy()
    engine.proof = (1, "no cuda")
    result = deploy(BETTER)
    assert [problem["code"] for problem in result["problems"]] == ["proof.failed", "service.rollback_failed"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_leaves_foreign_objects_alone(deploy, engine, check_mode):
    engine.owners = ["port 7860 is published by container other (compose project old)"]
    result = deploy(_ansible_check_mode=check_mode)
    assert result["failed"]
    assert "compose project old" in result["msg"]
    assert engine.calls == []


def test_a_running_service_is_not_asked_about_others(deploy, engine):
    deploy()
    engine.owners = ["something"]
    assert not deploy()["changed"]


def test_waits_for_a_service_that_someone_else_started(deploy, engine):
    deploy()
    engine.state = replace(engine.state, status="exited")
    # Status "restarting" with the same definition: nothing to decide, but it will not become healthy.
    engine.state = replace(engine.state, status="restarting", health="unhealthy")
    result = deploy(health_wait=0)
    assert result["failed"]
    assert result["problems"][0]["code"] == "service.not_healthy"


def folder(path, **options):
    return {"path": str(path), "uid": os.getuid(), "gid": os.getgid(), **options}


def test_makes_missing_folders_and_leaves_others(deploy, tmp_path):
    existing, missing = tmp_path / "existing", tmp_path / "a/b"
    existing.mkdir(mode=0o700)
    directories = [folder(existing), folder(missing, writable=True)]
    assert deploy(directories=directories, _ansible_check_mode=True)["changed_keys"] == ["container", "directories"]
    assert not missing.exists()
    deploy(directories=directories)
    assert missing.is_dir()
    assert existing.stat().st_mode & 0o777 == 0o700
    assert not deploy(directories=directories)["changed"]


def test_refuses_a_folder_that_the_user_cant_write(deploy, engine, tmp_path):
    samples = tmp_path / "samples"
    samples.mkdir(mode=0o755)
    result = deploy(directories=[{"path": str(samples), "uid": 65533, "gid": 65533, "writable": True}])
    assert result["failed"]
    assert result["problems"][0]["code"] == "directory.not_writable"
    assert "chown 65533:65533" in result["problems"][0]["next_action"]
    assert engine.calls == []


def test_absent(deploy, engine, tmp_path):
    deploy()
    assert deploy(state="absent", _ansible_check_mode=True)["changed"]
    assert engine.state.container_id
    result = deploy(state="absent")
    assert result["changed"]
    assert not (tmp_path / "service").exists()
    assert not deploy(state="absent")["changed"]
    assert ("remove_images",) not in engine.calls
    deploy(state="absent", remove_image=True)
    assert ("remove_images",) in engine.calls


def test_absent_refuses_a_foreign_project(deploy, engine):
    deploy()
    engine.owners = ["the project name opensora is used by container other"]
    assert deploy(state="absent")["failed"]
    assert engine.state.container_id


def test_documentation_matches_the_arguments():
    options = yaml.safe_load(opensora_service.DOCUMENTATION)["options"]
    assert options.keys() == opensora_service.ARGUMENT_SPEC.keys()
    for name, spec in opensora_service.ARGUMENT_SPEC.items():
        assert options[name]["type"] == spec["type"]
        assert options[name].get("default") == spec.get("default")
