"""What a reboot has to bring about; each thing that it did not is a problem of its own."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible.module_utils.opensora.reboot_result import check_reboot, expected_kernel, never_came_back

RUNNING = "6.12.117+deb13-amd64"
BEFORE: dict[str, Any] = {
    "boot_id": "one",
    "uptime_seconds": 90000,
    "nouveau_loaded": True,
    "os": {"kernel": RUNNING},
    "kernels": [{"release": RUNNING, "running": True, "next_boot": True}],
    "driver": {"on_disk": "580.159.04", "loaded": None, "flavour": "open", "modules": []},
}
AFTER: dict[str, Any] = {
    "boot_id": "two",
    "uptime_seconds": 40,
    "nouveau_loaded": False,
    "os": {"kernel": RUNNING},
    "driver": {
        "on_disk": "580.159.04",
        "loaded": "580.159.04",
        "flavour": "open",
        "modules": [{"kernel": RUNNING, "version": "580.159.04", "flavour": "open"}],
    },
}
PLAN = {"action": "reboot"}
NEXT = "6.12.120+deb13-amd64"


def changed(host: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    host = copy.deepcopy(host)
    host["driver"].update(changes.pop("driver", {}))
    return {**host, **changes}


@pytest.mark.parametrize(
    ("before", "after", "seconds", "codes"),
    [
        ({}, {}, 120.0, []),
        ({}, {}, None, []),
        ({}, {"boot_id": "one"}, 120.0, ["reboot.did_not_happen"]),
        # One cause, one error: what else is wrong follows from it.
        ({}, {"boot_id": "one", "nouveau_loaded": True, "uptime_seconds": 91000}, 1.0, ["reboot.did_not_happen"]),
        ({}, {"uptime_seconds": 5000}, 120.0, ["reboot.older_than_the_order"]),
        ({}, {"uptime_seconds": 5000}, None, []),
        ({}, {"uptime_seconds": None}, 120.0, []),
        ({}, {"uptime_seconds": 140}, 120.0, []),
        ({}, {"os": {"kernel": NEXT}}, 120.0, ["reboot.other_kernel"]),
        ({"kernels": [{"release": NEXT, "next_boot": True}]}, {"os": {"kernel": NEXT}}, 120.0, []),
        ({"kernels": [{"release": NEXT, "next_boot": True}]}, {}, 120.0, ["reboot.other_kernel"]),
        ({"kernels": [{"release": RUNNING, "next_boot": False}]}, {"os": {"kernel": NEXT}}, 120.0, []),
        ({"kernels": None}, {"os": {"kernel": NEXT}}, 120.0, []),
        ({}, {"nouveau_loaded": True, "driver": {"loaded": None}}, 120.0, ["reboot.nouveau_remains"]),
        ({}, {"driver": {"loaded": None}}, 120.0, ["reboot.module_not_loaded"]),
        ({}, {"driver": {"loaded": "550.163.01"}}, 120.0, ["reboot.other_module"]),
        ({}, {"driver": {"flavour": "proprietary"}}, 120.0, ["reboot.other_flavour"]),
        ({}, {"driver": {"on_disk": None, "modules": []}}, 120.0, []),
        (
            {},
            {"os": {"kernel": NEXT}, "driver": {"loaded": None}},
            9.0,
            ["reboot.other_kernel", "reboot.module_not_loaded"],
        ),
        # A host that does not tell its boot id is judged by the rest.
        ({"boot_id": None}, {"boot_id": None, "uptime_seconds": 5000}, 9.0, ["reboot.older_than_the_order"]),
    ],
)
def test_check(before: dict[str, Any], after: dict[str, Any], seconds: float | None, codes: list[str]) -> None:
    after = {"uptime_seconds": 5, **after} if seconds == 9.0 else after
    problems = check_reboot(changed(BEFORE, dict(before)), changed(AFTER, dict(after)), PLAN, seconds)
    assert [problem.code for problem in problems] == codes
    assert all(problem.next_action and problem.severity == "error" for problem in problems)


def test_what_the_order_answered_is_shown() -> None:
    problem = check_reboot(
        BEFORE, {**AFTER, "boot_id": "one"}, PLAN, 5.0, "Timed out waiting for last boot time check"
    )[0]
    assert problem.evidence == ("Timed out waiting for last boot time check",)
    assert "boot id is one" in problem.message


def test_without_a_driver_wanted_the_module_does_not_count() -> None:
    after = changed(AFTER, {"driver": {"loaded": None}})
    assert check_reboot(BEFORE, after, {"action": "none"}, 120.0) == []


def test_expected_kernel() -> None:
    assert expected_kernel(BEFORE) == RUNNING
    assert expected_kernel({}) is None


def test_the_host_that_never_comes_back_is_another_error() -> None:
    problem = never_came_back("gpu01", 1200, "Connection timed out")
    assert (problem.layer, problem.code) == ("connection", "reboot.never_came_back")
    assert "gpu01" in problem.message
    assert "1200" in problem.message
    assert "nvidia_driver_reboot_timeout" in problem.next_action
    assert problem.evidence == ("Connection timed out",)
    assert never_came_back("gpu01", 5).evidence == ()
