"""What may be set about a status."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.status_settings import find_problems

GOOD = {"samples": 5, "interval": 1, "history_length": 200, "directory": "status"}


@pytest.mark.parametrize(
    "settings",
    [GOOD, {"samples": "1", "interval": "0.5", "history_length": "1", "directory": "/x"}, {**GOOD, "interval": 0}],
)
def test_allowed(settings: dict):
    assert find_problems(settings) == []


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("samples", "two", "a whole number from 1 to 60"),
        ("samples", 0, "a whole number from 1 to 60"),
        ("samples", "61", "a whole number from 1 to 60"),
        ("samples", 1.5, "a whole number from 1 to 60"),
        ("interval", "fast", "a number of seconds from 0 to 60"),
        ("interval", -1, "a number of seconds from 0 to 60"),
        ("interval", "nan", "a number of seconds from 0 to 60"),
        ("interval", True, "a number of seconds from 0 to 60"),
        ("history_length", 0, "a whole number from 1 to 100000"),
        ("directory", " ", "a folder of this machine that this user can write to"),
    ],
)
def test_refused(name: str, value: object, allowed: str):
    (problem,) = find_problems({**GOOD, name: value})
    assert problem.message == f"opensora_status_{name} is {value!r}, allowed is {allowed}"
