# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""A folder in memory for the secrets of one build, which nobody else can read and which is gone afterwards."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible.module_utils.opensora.image_reference import DEFAULT_REGISTRY, parse_image_reference
from ansible.module_utils.opensora.problems import Problem, invalid_value
from ansible.module_utils.opensora.registry_client import HUB_LOGIN

# A tmpfs on every system with systemd: what is written there never reaches a disk.
_PARENT = Path("/run")
_PREFIX = "opensora-image-"
_SECRET_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# Shorter words of a secret are everybody's, as are those of the netrc format; hiding them would garble the log.
_HIDDEN_LENGTH = 8
_NETRC_WORDS = frozenset({"machine", "default", "login", "password", "account", "macdef"})


@contextmanager
def private_folder(parent: Path = _PARENT) -> Iterator[Path]:
    """Make a folder that only this user can enter, and remove it with all that is in it.

    A run that was killed could not clean up: its folder is removed by the next one.

    Args:
        parent: Folder above it.
    """
    for left_over in parent.glob(f"{_PREFIX}*"):
        owner = left_over.name[len(_PREFIX) :].partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(left_over, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_secrets(folder: Path, secrets: Mapping[str, str]) -> dict[str, str]:
    """Write each secret into a file that only this user can read, and return the paths by id.

    Args:
        folder: A private folder.
        secrets: Value of each secret by its id.
    """
    paths = {}
    for name, value in secrets.items():
        path = folder / f"secret-{name}"
        path.touch(0o600)
        path.write_text(value, encoding="utf-8")
        paths[name] = str(path)
    return paths


def secret_problems(variable: str, names: Iterable[object]) -> list[Problem]:
    """Return the ids of secrets that BuildKit could not take.

    Args:
        variable: Name of the variable as the user writes it.
        names: The ids; their values are not looked at.
    """
    return [
        invalid_value(variable, str(name), "ids of letters, digits, '_', '.' and '-'")
        for name in names
        if not _SECRET_ID.fullmatch(str(name))
    ]


def secret_words(values: Iterable[str]) -> frozenset[str]:
    """Return what must not be seen of secrets: each as a whole, and the long words of which it is made.

    A ``netrc`` holds names of machines, which may be seen, and passwords, which a tool may print alone.
    """
    words: set[str] = set()
    for value in values:
        parts = value.split()
        names = {after for before, after in zip(parts, parts[1:]) if before in ("machine", "login")}
        words |= {value.strip(), *(part for part in parts if len(part) >= _HIDDEN_LENGTH and part not in names)}
    return frozenset(words - {""} - _NETRC_WORDS)


def hide(text: str, words: Iterable[str]) -> str:
    """Return a text without these words."""
    # The longest first, or a word inside another would leave the rest of it.
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, "********")
    return text


def login_configuration(configuration: str, registry: str, username: str, password: str) -> str:
    """Return the engine client's ``config.json`` with a login added.

    Args:
        configuration: The text that is there; empty when there is none.
        registry: ``host[:port][/path]``; empty leaves the configuration as it is.
        username: Name; empty leaves the configuration as it is.
        password: Password or token.
    """
    if not username or not registry:
        return configuration
    try:
        stored: Any = json.loads(configuration or "{}")
    except ValueError:
        stored = {}
    result: dict[str, Any] = dict(stored) if isinstance(stored, dict) else {}
    host = parse_image_reference(f"{registry}/image").registry
    server = HUB_LOGIN if host == DEFAULT_REGISTRY else host
    auth = base64.b64encode(f"{username}:{password}".encode()).decode()
    result["auths"] = {**(result.get("auths") or {}), server: {"auth": auth}}
    if result.get("credsStore") or result.get("credHelpers"):
        # Empty means this file: otherwise the store of the user is asked, which does not know this login.
        result["credHelpers"] = {**(result.get("credHelpers") or {}), server: ""}
    return json.dumps(result)


def write_client_configuration(folder: Path, configuration: str, home: Path) -> None:
    """Write a ``config.json`` for the engine's client, whose plugins are still found where the user has them.

    Args:
        folder: A private folder, for the environment variable DOCKER_CONFIG.
        configuration: Text of the file.
        home: The user's own folder of the client, such as ``/root/.docker``.
    """
    stored = json.loads(configuration)
    if (home / "cli-plugins").is_dir():
        plugins = [*(stored.get("cliPluginsExtraDirs") or []), str(home / "cli-plugins")]
        stored = {**stored, "cliPluginsExtraDirs": plugins}
    path = folder / "config.json"
    path.touch(0o600)
    path.write_text(json.dumps(stored), encoding="utf-8")
