# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

from types import SimpleNamespace

import pytest

from plugins.callback.opensora_failures import CallbackModule


@pytest.fixture
def shown(monkeypatch):
    """Return a callback and what it shows."""
    callback, lines = CallbackModule(), []
    monkeypatch.setattr(callback._display, "display", lambda text, **_: lines.append(text))
    return callback, lines


def failure(host, message, role="docker_engine", **result):
    return SimpleNamespace(
        host=SimpleNamespace(get_name=lambda: host),
        task=SimpleNamespace(
            name="Do it", action="ansible.builtin.apt", _role=SimpleNamespace(get_name=lambda: role) if role else None
        ),
        result={"failed": True, "msg": message, **result},
    )


def stats(*failed, lost=()):
    return SimpleNamespace(failures=dict.fromkeys(failed, 1), dark=dict.fromkeys(lost, 1))


def test_the_layer_is_named_after_the_recap(shown):
    callback, lines = shown
    callback.v2_runner_on_failed(failure("gpu01", "E: Failed to fetch it"))
    callback.v2_runner_on_unreachable(failure("gpu02", "Connection refused", unreachable=True))
    assert lines == []
    callback.v2_playbook_on_stats(stats("gpu01", lost=["gpu02"]))
    assert "gpu01: [network] 'Do it' failed: E: Failed to fetch it" in lines[0]
    assert "gpu02: [connection] The host can't be reached over SSH" in lines[0]


def test_a_failure_that_was_rescued_or_ignored_is_none(shown):
    callback, lines = shown
    callback.v2_runner_on_failed(failure("gpu01", "E: Failed to fetch it"))
    callback.v2_runner_on_failed(failure("gpu02", "it failed"), ignore_errors=True)
    callback.v2_playbook_on_stats(stats("gpu02"))
    assert lines == []


def test_the_last_failure_of_a_host_counts(shown):
    callback, lines = shown
    callback.v2_runner_on_failed(failure("gpu01", "E: Failed to fetch it"))
    callback.v2_runner_on_failed(failure("gpu01", "[packages] the packages could not be installed"))
    callback.v2_playbook_on_stats(stats("gpu01"))
    assert lines == []


def test_a_task_of_a_playbook_has_no_role(shown):
    callback, lines = shown
    callback.v2_runner_on_failed(failure("gpu01", "it failed", role=""))
    callback.v2_playbook_on_stats(stats("gpu01"))
    assert "gpu01: [configuration]" in lines[0]
