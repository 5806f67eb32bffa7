# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The module against a real web server that speaks the hub's protocol."""

from __future__ import annotations

import hashlib
import importlib.util
import threading

import opensora_checkpoint_manifest
import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SECRET = "hf_planted-token-0123456789"  # noqa: S105 (of nobody)


@pytest.fixture
def server(root, tmp_path):
    place = root / "molecule/checkpoint/files/weights_server.py"
    spec = importlib.util.spec_from_file_location("weights_server", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path / "served"
    (folder / "google").mkdir(parents=True)
    (folder / "flux1-dev.safetensors").write_bytes(b"f" * 3000)
    (folder / "Open_Sora_v2.safetensors").write_bytes(b"w" * 3000)
    (folder / "google/config.json").write_bytes(b"{}")
    server = module.WeightsServer(folder, commit=COMMIT)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def make(server, run_module):
    def run(**different):
        arguments = {
            "repository": "hpcai-tech/Open-Sora-v2",
            "revision": "main",
            "endpoint": server.url,
            "exclude": ["flux1-dev.safetensors"],
            **different,
        }
        return run_module(opensora_checkpoint_manifest, **arguments)

    return run


EXPECTED = {
    "repository": "hpcai-tech/Open-Sora-v2",
    "revision": COMMIT,
    "files": [
        {
            "path": "Open_Sora_v2.safetensors",
            "size": 3000,
            "sha256": hashlib.sha256(b"w" * 3000).hexdigest(),
        },
        {"path": "google/config.json", "size": 2, "sha256": hashlib.sha256(b"{}").hexdigest()},
    ],
}


def test_the_hub_is_asked_and_large_files_are_not_fetched(make, server):
    result = make()
    assert (result["manifest"], result["bytes"]) == (EXPECTED, 3002)
    assert [entry["path"] for entry in server.served] == ["google/config.json"]


def test_a_folder_is_read(make, server):
    result = make(folder=str(server.folder), revision=COMMIT)
    assert result["manifest"] == EXPECTED
    assert server.served == []


def test_a_folder_has_no_branch(make, server):
    result = make(folder=str(server.folder))
    assert "revision is 'main', allowed is a full commit id" in result["msg"]


def test_a_small_file_is_compared_with_git(make, server):
    server.behave(corrupt=["google/config.json"])
    result = make()
    assert [problem["code"] for problem in result["problems"]] == ["checkpoint.digest_differs"]


@pytest.mark.parametrize(
    ("behaviour", "different", "says"),
    [
        ({"token": SECRET}, {}, "wants a token"),
        ({"token": SECRET}, {"token": "hf_other"}, "refuses the token"),
        ({}, {"revision": "absent"}, "does not exist"),
        ({"statuses": [500]}, {}, "HTTP 500"),
        ({}, {"exclude": ["*"]}, "files is [], allowed is a list"),
        ({}, {"folder": "/absent", "revision": COMMIT}, "/absent"),
    ],
)
def test_a_refusal_is_named(make, server, behaviour, different, says):
    server.behave(**behaviour)
    result = make(**different)
    assert result["failed"] is True
    assert says in result["msg"]
    assert SECRET not in repr(result)


def test_a_token_opens(make, server):
    server.behave(token=SECRET)
    result = make(token=SECRET)
    assert result["manifest"] == EXPECTED
    assert SECRET not in repr(result)
    # The listing's server sends on to one of another name, which is shown no token.
    assert [entry["authorized"] for entry in server.served] == [False]
