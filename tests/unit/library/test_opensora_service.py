"""The deployment: read, decide, act, prove, go back; against an engine that lives in memory."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace

import opensora_service
import pytest
import yaml
from ansible.module_utils.opensora.engine_api import EngineLostError
from ansible.module_utils.opensora.host_lock import Reporter, exclusive
from ansible.module_utils.opensora.host_occupancy import ComputeProcess

GOOD = "image: sha256:one\ngpus: GPU-a\n"
BETTER = "image: sha256:two\ngpus: GPU-a\n"
BAD = "image: sha256:bad\ngpus: GPU-a\n"


@pytest.fixture
def deploy(run_module, monkeypatch, engine, fake_client, tmp_path):
    monkeypatch.setattr(opensora_service, "DockerServiceClient", fake_client)
    monkeypatch.setattr(opensora_service, "LOCK", tmp_path / "run/lock")

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


def test_the_old_version_is_judged_by_what_it_was_proven_with(deploy, engine):
    deploy()
    engine.proofs = {"wrong": (1, "no such check")}
    result = deploy(BETTER, proof_command=["wrong"])
    assert [problem["code"] for problem in result["problems"]] == ["proof.failed", "service.rolled_back"]


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


def releases(tmp_path):
    return sorted((tmp_path / "service/releases").glob("*.json"))


def test_back_to_the_release_before(deploy, engine, tmp_path):
    deploy()
    deploy(BETTER)
    assert len(releases(tmp_path)) == 2
    predicted = deploy(BETTER, state="previous", _ansible_check_mode=True)
    assert (predicted["changed"], engine.state.image) == (True, "sha256:two")
    result = deploy(BETTER, state="previous")
    assert result["changed"]
    assert result["release"].endswith(hashlib.sha256(GOOD.encode()).hexdigest()[:8])
    assert engine.state.image == "sha256:one"
    assert (tmp_path / "service/compose.yaml").read_text() == GOOD
    # It was a release already, and before it there is none.
    assert len(releases(tmp_path)) == 2
    refused = deploy(BETTER, state="previous")
    assert refused["problems"][0]["code"] == "service.no_release"
    assert result["release"] in refused["msg"]
    # The inventory still says what it said.
    assert deploy(BETTER)["action"] == "replace"


def test_a_release_by_its_name(deploy, engine):
    deploy()
    deploy(BETTER)
    name = deploy(BETTER, state="previous")["release"]
    deploy(BETTER)
    assert deploy(BETTER, state="previous", release=name)["release"] == name
    assert "there is no release 'x'" in deploy(BETTER, state="previous", release="x")["msg"]


def test_a_failed_deployment_is_no_release(deploy, tmp_path):
    deploy()
    deploy(BAD)
    assert len(releases(tmp_path)) == 1


def test_the_image_of_a_release_is_gone(deploy, monkeypatch, fake_client):
    deploy()
    deploy(BETTER)
    monkeypatch.setattr(fake_client, "image_id", lambda self, image: image if image == "sha256:two" else None)
    result = deploy(BETTER, state="previous")
    assert result["problems"][0]["code"] == "image.missing"
    assert "opensora_image_keep" in result["msg"]


def test_releases_are_few(deploy, tmp_path):
    assert "keep_releases is 1, allowed is 2 or more" in deploy(keep_releases=1)["msg"]
    for definition in (GOOD, BETTER, GOOD + "a: b\n"):
        deploy(definition, image=definition.split()[1], keep_releases=2)
    assert len(releases(tmp_path)) == 2


def test_gpus_that_others_use(deploy, engine):
    engine.processes = [ComputeProcess("GPU-a", 77, "python", 512), ComputeProcess("GPU-b", 78, "python", None)]
    result = deploy()
    assert [problem["code"] for problem in result["problems"]] == ["gpus.in_use"]
    assert "GPU-a is in use by python (process 77) with 512 MiB" in result["msg"]
    assert engine.calls == []
    assert deploy(_ansible_check_mode=True)["failed"]
    assert deploy(share_gpus=True)["changed"]


def test_gpus_that_the_service_itself_uses(deploy, engine):
    engine.processes, engine.own = [ComputeProcess("GPU-a", 77, "python", 512)], {77}
    assert deploy()["changed"]


def test_a_port_that_a_program_of_the_host_has(deploy, engine):
    engine.listener = "nginx (process 5) on 127.0.0.1:8080"
    result = deploy(ports=["127.0.0.1:8080:8000"])
    assert "port 8080 is in use by nginx (process 5)" in result["msg"]
    assert result["problems"][0]["code"] == "service.collision"
    assert engine.calls == []


def test_ownership_is_taken_only_when_asked(deploy, tmp_path):
    checkpoints = tmp_path / "ckpts"
    checkpoints.mkdir()
    (checkpoints / "weights").write_text("x")
    (checkpoints / "weights").chmod(0o600)
    directories = [{"path": str(checkpoints), "uid": 65533, "gid": 65533}]
    refused = deploy(directories=directories)
    assert refused["problems"][0]["code"] == "directory.not_readable"
    assert "opensora_service_take_ownership" in refused["msg"]
    assert (checkpoints / "weights").stat().st_uid == os.getuid()
    predicted = deploy(directories=directories, take_ownership=True, _ansible_check_mode=True)
    assert "ownership" in predicted["changed_keys"]
    deploy(directories=directories, take_ownership=True)
    assert (checkpoints / "weights").stat().st_uid == 65533
    assert checkpoints.stat().st_uid == os.getuid()
    assert not deploy(directories=directories, take_ownership=True)["changed"]


def test_secrets_are_files(deploy, tmp_path):
    options = {"secrets": {"token": "hidden-word"}, "secrets_uid": os.getuid(), "secrets_gid": os.getgid()}
    result = deploy(**options)
    file = tmp_path / "service/secrets/token"
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("hidden-word", 0o400)
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert "hidden-word" not in str(result)
    assert not deploy(**options)["changed"]
    inode = file.stat().st_ino
    changed = deploy(**{**options, "secrets": {"token": "another-word"}})
    assert (changed["changed"], changed["action"], changed["changed_keys"]) == (True, "none", ["secrets"])
    # The container has this very file mounted.
    assert (file.read_text(), file.stat().st_ino) == ("another-word", inode)
    deploy()
    assert not file.exists()


def test_another_run_holds_the_lock(deploy, engine, tmp_path):
    with exclusive(tmp_path / "run/lock", time.monotonic() + 60, Reporter(None)):
        result = deploy(lock_wait=0)
        assert deploy(_ansible_check_mode=True)["changed"]
    assert result["problems"][0]["code"] == "service.locked"
    assert f"another deployment (process {os.getpid()})" in result["msg"]
    assert engine.calls == []


def test_services_that_are_not_wanted_any_more(deploy, engine, tmp_path):
    engine.projects = {"opensora": str(tmp_path / "service"), "opensora-large": "/x/large", "opensora-old": "/x/old"}
    result = deploy(services_directory=str(tmp_path / "service"), other_projects=["opensora-large"])
    assert result["unwanted"] == [{"project": "opensora-old", "directory": "/x/old"}]


def test_absent_takes_all_services_of_the_host(deploy, engine, tmp_path):
    root = tmp_path / "service"
    deploy()
    deploy(project_name="opensora-large", project_directory=str(root / "large"))
    result = deploy(state="absent", services_directory=str(root))
    assert result["changed"]
    assert not root.exists()


def test_documentation_matches_the_arguments():
    options = yaml.safe_load(opensora_service.DOCUMENTATION)["options"]
    assert options.keys() == opensora_service.ARGUMENT_SPEC.keys()
    for name, spec in opensora_service.ARGUMENT_SPEC.items():
        assert options[name]["type"] == spec["type"]
        assert options[name].get("default") == spec.get("default")


def test_the_engine_goes_away_while_the_service_starts(deploy, monkeypatch, fake_client):
    def gone(self, *_, **__):
        raise EngineLostError("the engine stopped answering: reset")

    monkeypatch.setattr(fake_client, "execute", gone)
    result = deploy()
    assert result["failed"]
    assert result["msg"].startswith("[engine] the engine stopped answering: reset (engine.lost)")


def test_a_deployment_that_was_cut_off_is_proven_and_recorded_by_the_next_run(deploy, engine, tmp_path):
    deploy()
    (record,) = (tmp_path / "service/releases").glob("*.json")
    record.unlink()  # the host lost its power before the service was healthy
    predicted = deploy(_ansible_check_mode=True)
    assert (predicted["changed"], predicted["action"], predicted["changed_keys"]) == (True, "none", ["release"])
    again = deploy()
    assert (again["changed"], again["action"], again["changed_keys"]) == (True, "none", ["release"])
    assert len(list((tmp_path / "service/releases").glob("*.json"))) == 1
    assert deploy()["changed"] is False
    assert len(ups(engine)) == 1


def test_a_deployment_that_was_cut_off_and_can_not_be_proven(deploy, engine, monkeypatch, fake_client, tmp_path):
    deploy()
    for record in (tmp_path / "service/releases").glob("*.json"):
        record.unlink()
    monkeypatch.setattr(fake_client, "execute", lambda *_, **__: (1, "no GPU"))
    result = deploy()
    assert result["failed"]
    assert "nvidia-smi" in result["msg"]
    assert list((tmp_path / "service/releases").glob("*.json")) == []
