# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from ansible.module_utils.opensora.private_folder import (
    hide,
    login_configuration,
    private_folder,
    secret_problems,
    secret_words,
    write_client_configuration,
    write_secrets,
)
from ansible.module_utils.opensora.registry_client import stored_authorization

AUTH = base64.b64encode(b"me:pass:word").decode()


def mode(path):
    return path.stat().st_mode & 0o777


def test_folder_is_private_and_gone_afterwards(tmp_path):
    with private_folder(tmp_path) as folder:
        paths = write_secrets(folder, {"token": "value", "netrc": "machine x"})
        assert mode(folder) == 0o700
        assert {mode(path) for path in folder.iterdir()} == {0o600}
        assert Path(paths["token"]).read_text() == "value"
    assert list(tmp_path.iterdir()) == []


def test_folder_goes_after_an_error_too(tmp_path):
    with pytest.raises(KeyboardInterrupt), private_folder(tmp_path):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed_and_nothing_else(tmp_path):
    dead = tmp_path / "opensora-image-4194999-abc"
    alive = tmp_path / f"opensora-image-{os.getppid()}-abc"
    other = tmp_path / "opensora-image"
    for folder in (dead, alive, other):
        folder.mkdir()
    with private_folder(tmp_path):
        assert not dead.exists()
    assert alive.exists()
    assert other.exists()


@pytest.mark.parametrize(
    ("values", "text", "seen"),
    [
        (["s3cret-value"], "login with s3cret-value failed", "login with ******** failed"),
        (["machine git.example.org login deploy password abcdefgh1"], "x abcdefgh1 y", "x ******** y"),
        # Names of machines and everybody's words stay readable.
        (["machine git.example.org login deploy password abcdefgh1"], "git.example.org", "git.example.org"),
        (["machine git.example.org login deploy password abcdefgh1"], "login password", "login password"),
        (["", " "], "nothing", "nothing"),
        (["abcdefgh", "abcdefghij"], "abcdefghij", "********"),
        ([], "text", "text"),
    ],
)
def test_hiding(values, text, seen):
    assert hide(text, secret_words(values)) == seen


@pytest.mark.parametrize(
    ("stored", "registry", "server"),
    [
        ("", "registry.example:5000/site", "registry.example:5000"),
        ("no json", "registry.example", "registry.example"),
        ('{"auths": {"other": {"auth": "x"}}, "HttpHeaders": {}}', "registry.example", "registry.example"),
        ("{}", "docker.io/me", "https://index.docker.io/v1/"),
    ],
)
def test_login_is_added_to_the_clients_configuration(stored, registry, server):
    text = login_configuration(stored, registry, "me", "pass:word")
    found = json.loads(text)
    assert found["auths"][server] == {"auth": AUTH}
    assert "credHelpers" not in found
    if "other" in stored:
        assert found["auths"]["other"] == {"auth": "x"}
    host = "docker.io" if "docker.io" in registry else server
    assert stored_authorization(text, host) == AUTH


def test_no_login_leaves_the_configuration_alone():
    assert login_configuration("anything", "registry.example", "", "x") == "anything"


def test_a_store_of_the_user_is_not_asked_for_this_registry():
    found = json.loads(login_configuration('{"credsStore": "desktop"}', "registry.example", "me", "x"))
    assert found["credsStore"] == "desktop"
    assert found["credHelpers"] == {"registry.example": ""}


def test_plugins_of_the_user_are_still_found(tmp_path):
    folder, home = tmp_path / "private", tmp_path / "home"
    folder.mkdir()
    write_client_configuration(folder, "{}", home)
    assert json.loads((folder / "config.json").read_text()) == {}
    (home / "cli-plugins").mkdir(parents=True)
    write_client_configuration(folder, "{}", home)
    assert json.loads((folder / "config.json").read_text()) == {"cliPluginsExtraDirs": [str(home / "cli-plugins")]}
    assert mode(folder / "config.json") == 0o600


def test_ids_of_secrets():
    assert secret_problems("x", ["netrc", "pip-token", "a.b_c"]) == []
    problems = secret_problems("opensora_image_build_secrets", ["a,src=/etc/shadow", "", "a b"])
    assert len(problems) == 3
    assert "opensora_image_build_secrets is 'a,src=/etc/shadow'" in problems[0].message
