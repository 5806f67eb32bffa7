# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import base64

import opensora_sources_info
import pytest
from ansible.module_utils.opensora.registry_client import stored_authorization

COMMIT, DIGEST = "1" * 40, "sha256:" + "a" * 64
GIT = {
    "name": "application",
    "repository": "http://127.0.0.1:9/app",
    "reference": COMMIT,
    "variable": "opensora_image_repository",
    "reference_variable": "opensora_image_git_reference",
}
IMAGE = {"name": "base", "reference": "localhost:9/cuda:1", "variable": "opensora_image_base"}
URL = {"url": "http://127.0.0.1:9/whl", "variable": "opensora_image_torch_index_url"}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_everything_that_can_not_be_reached_is_named_at_once(run_module, tmp_path):
    result = run_module(
        opensora_sources_info, git=[GIT], images=[IMAGE], urls=[URL], docker_host=f"unix://{tmp_path}/none"
    )
    assert result["changed"] is False
    assert result["asked"] is True
    assert [problem["code"] for problem in result["problems"]] == ["source.unreachable"] * 3
    assert {problem["layer"] for problem in result["problems"]} == {"network"}
    for name, problem in zip((GIT["variable"], IMAGE["variable"], URL["variable"]), result["problems"], strict=True):
        assert name in problem["message"]
        assert "refused the connection" in problem["message"]


def test_no_server_is_asked_when_the_host_has_the_image_of_what_is_pinned(run_module, monkeypatch):
    images = [{"Labels": {"org.opensora-site.build-key": "k"}}, {"Labels": None}]
    monkeypatch.setattr(opensora_sources_info, "labelled_images", lambda *_: images)
    pinned = {**IMAGE, "digest": DIGEST}
    result = run_module(opensora_sources_info, git=[GIT], images=[pinned], urls=[URL], build_key="k")
    assert result["asked"] is False
    assert result["problems"] == []
    assert result["git"] == {"application": {"commit": COMMIT}}
    assert result["images"]["base"]["pinned"] == f"localhost:9/cuda:1@{DIGEST}"
    assert "k" in result["local_build_keys"]


def test_a_reference_that_is_none(run_module, tmp_path):
    wrong = {**IMAGE, "reference": "UPPER"}
    result = run_module(opensora_sources_info, images=[wrong], docker_host=f"unix://{tmp_path}/none")
    assert [problem["code"] for problem in result["problems"]] == ["variable.invalid"]


def test_certificates_that_are_none(run_module):
    result = run_module(opensora_sources_info, ca_certificates=["no PEM"])
    assert result["failed"]
    assert "ca_certificates" in result["msg"]


def test_the_login_of_the_registry_is_used_and_not_shown(run_module, monkeypatch, tmp_path):
    given = []

    class Client:
        def __init__(self, _, configuration):
            given.append(configuration)

        def digest(self, _):
            return DIGEST

    monkeypatch.setattr(opensora_sources_info, "RegistryClient", Client)
    planted = "planted-pass-1"
    result = run_module(
        opensora_sources_info,
        images=[IMAGE],
        registry="localhost:9/site",
        registry_username="me",
        registry_password=planted,
        docker_host=f"unix://{tmp_path}/none",
    )
    assert result["problems"] == []
    assert base64.b64decode(stored_authorization(given[0], "localhost:9")).decode() == f"me:{planted}"
    assert planted not in str(result)
