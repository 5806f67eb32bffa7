"""Wrong values of the role's variables, each with name, value and what is allowed, and impossible wishes."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.opensora.driver_settings import cuda_problem, settings_problems, text_of

GOOD: dict[str, Any] = {
    "source": "vendor",
    "branch": "580",
    "version": "",
    "flavour": "auto",
    "missing_gpu": "fail",
    "repository_url": "https://mirror.test/{distribution}/{machine}",
    "repository_key_url": "",
    "repository_key_fingerprint": "",
    "kernel_headers": [],
    "persistence": True,
    "fabric_manager": "auto",
    "guard_upgrades": True,
    "reboot": True,
    "reboot_at_once": 0,
}

# setting, value, a word of what is allowed
BAD = [
    ("source", "nvidia", "preinstalled"),
    ("source", None, "vendor"),
    ("flavour", "closed", "proprietary"),
    ("missing_gpu", "ignore", "skip"),
    ("fabric_manager", "yes", "off"),
    ("reboot", "perhaps", "true or false"),
    ("persistence", "perhaps", "true or false"),
    ("guard_upgrades", 2, "true or false"),
    ("version", "latest", "580.159.04"),
    ("version", "580", "580.159.04"),
    ("version", "595.71.05", "nvidia_driver_branch, which is 580"),
    ("branch", "five", "three digits"),
    ("branch", "581", "580 (long term, until June 2028)"),
    ("branch", "", "580 (long term"),
    ("reboot_at_once", "two", "0 for all"),
    ("reboot_at_once", -1, "0 for all"),
    ("kernel_headers", "linux-headers-custom", "a list"),
    ("kernel_headers", [""], "a list"),
    ("repository_url", "mirror.test/cuda", "https://"),
    ("repository_url", "ftp://mirror.test/cuda", "https://"),
    ("repository_url", "https://mirror.test/{codename}", "{distribution} and {machine}"),
    ("repository_key_url", "/etc/key.asc", "https://"),
    ("repository_key_fingerprint", "8793F200", "40 hex digits"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), BAD)
def test_wrong_value(name: str, value: Any, allowed: str) -> None:
    found = settings_problems({**GOOD, name: value})
    assert [problem.code for problem in found] == ["variable.invalid"]
    assert f"nvidia_driver_{name} is {value!r}" in found[0].message.replace("None", repr(value))
    assert allowed in found[0].message
    assert found[0].severity == "error"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"branch": 580},
        {"version": "580.159.04"},
        {"branch": "", "version": "595.71.05"},
        {"branch": "700"},
        {"reboot_at_once": "2"},
        {"repository_key_fingerprint": "0218 2E60 104F CDC2 6EAE 1B85 97A5 D4CB 8793 F200"},
        {"source": "distribution", "branch": "581", "version": "550.163.01"},
        {"source": "preinstalled", "branch": ""},
    ],
)
def test_right_values(changes: dict[str, Any]) -> None:
    assert settings_problems({**GOOD, **changes}) == []


def test_older_callers_leave_settings_out() -> None:
    old = {name: GOOD[name] for name in ("source", "branch", "version", "flavour", "missing_gpu")}
    assert settings_problems(old) == []


def test_all_wrong_values_are_named_at_once() -> None:
    found = settings_problems({**GOOD, "flavour": "closed", "branch": "five", "reboot_at_once": "two"})
    assert len(found) == 3


@pytest.mark.parametrize(("value", "text"), [(None, ""), (580, "580"), (" 580 ", "580"), ("", "")])
def test_settings_as_text(value: Any, text: str) -> None:
    assert text_of({"branch": value}, "branch") == text


@pytest.mark.parametrize(
    ("offered", "needed", "fits"),
    [
        ("12.10", "12.8", True),
        ("12.8", "12.10", False),
        ("12.2", "12.2.2", True),
        ("12.4", "12.8", False),
        ("13.0", "12.8", True),
        (None, "12.8", True),
        ("12.4", "", True),
    ],
)
def test_cuda(offered: str | None, needed: str, fits: bool) -> None:
    host = {"driver": {"cuda_max": offered, "loaded": "550.144.03"}}
    problem = cuda_problem(host, {"image_cuda_version": needed}, None)
    assert (problem is None) is fits
    if needed == "12.8" and problem:
        assert "570" in problem.next_action
