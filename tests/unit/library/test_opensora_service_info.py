"""Verification finds problems and changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import opensora_service
import opensora_service_info
import pytest
import yaml

DEFINITION = "image: sha256:one\ngpus: GPU-a\n"


@pytest.fixture
def look(run_module, monkeypatch, engine, fake_client, tmp_path):
    monkeypatch.setattr(opensora_service, "DockerServiceClient", fake_client)
    monkeypatch.setattr(opensora_service, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(opensora_service_info, "DockerServiceClient", fake_client)
    folder = str(tmp_path / "service")
    run_module(opensora_service, project_directory=folder, definition=DEFINITION, image="sha256:one", gpus=["GPU-a"])

    def run(**options):
        result = run_module(opensora_service_info, project_directory=folder, **options)
        assert not result["changed"]
        return result["service"], [problem["code"] for problem in result["problems"]]

    return run


WANTED = {
    "gpus": ["GPU-a"],
    "image": "sha256:one",
    "build_key": "key of sha256:one",
    "user": "10001:10001",
    "proof_command": ["prove"],
}


def test_all_is_well(look):
    service, codes = look(**WANTED)
    assert codes == []
    assert service["build_key"] == "key of sha256:one"
    assert look()[1] == []


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ({"gpus": ["GPU-b"]}, ["proof.reservation_differs"]),
        ({"image": "sha256:two"}, ["service.differs"]),
        ({"image": "sha256:elsewhere"}, ["service.differs"]),
        ({"build_key": "another"}, ["service.differs"]),
        ({"user": "0:0"}, ["service.differs"]),
    ],
)
def test_other_wishes(look, change, codes):
    assert look(**{**WANTED, **change})[1] == codes


@pytest.mark.parametrize(
    ("state", "codes"),
    [
        ({"health": "unhealthy"}, ["service.not_healthy"]),
        ({"health": "starting"}, ["service.not_healthy"]),
        ({"status": "exited"}, ["service.not_healthy"]),
        ({"container_id": None}, ["service.absent"]),
    ],
)
def test_a_service_that_is_not_well(look, engine, state, codes):
    engine.state = replace(engine.state, **state)
    assert look(**WANTED)[1] == codes


def test_gpus_inside(look, engine):
    engine.sees = ()
    assert look(**WANTED)[1] == ["proof.gpus_differ"]


def test_a_compose_file_that_someone_changed(look, tmp_path):
    Path(tmp_path / "service/compose.yaml").write_text("image: other\n", encoding="utf-8")
    assert look(**WANTED)[1] == ["service.differs"]


def test_no_engine(look, engine):
    engine.is_there = False
    assert look(**WANTED) == ({"state": "absent"}, ["engine.unreachable"])


def test_documentation_matches_the_arguments():
    options = yaml.safe_load(opensora_service_info.DOCUMENTATION)["options"]
    assert options.keys() == opensora_service_info.ARGUMENT_SPEC.keys()
