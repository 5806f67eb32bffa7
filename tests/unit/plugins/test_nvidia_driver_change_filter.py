"""The filters around a change of the driver hand plain data on and return plain data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.opensora.command_runner import command_runner
from ansible.module_utils.opensora.gpu_host import read_gpu_host
from ansible.module_utils.opensora.host_probe import HostProbe
from filter import nvidia_driver_change

if TYPE_CHECKING:
    from pathlib import Path

FILTERS = nvidia_driver_change.FilterModule().filters()


@pytest.fixture
def host(root: Path) -> dict[str, Any]:
    folder = str(root / "tests/fixtures/hosts/h100-debian13")
    probe = HostProbe(folder, command_runner(folder, {}, {}, 10.0))
    return read_gpu_host(probe, wanted={}, paths=[], sdk_directory=None)


def test_a_record_made_now_leads_nowhere(host: dict[str, Any]) -> None:
    record = FILTERS["nvidia_driver_record"](host, "now")
    plan = FILTERS["nvidia_driver_rollback"](host, json.dumps(record), {"source": "vendor"})
    assert json.loads(json.dumps(plan))["problems"][0]["code"] == "rollback.nothing_to_do"
    assert not any(FILTERS["nvidia_driver_restore"](host, host).values())


def test_reboot(host: dict[str, Any]) -> None:
    (problem,) = FILTERS["nvidia_driver_rebooted"](host, host, {"action": "reboot"}, 5.0, "no answer")
    assert (problem["code"], problem["evidence"]) == ("reboot.did_not_happen", ["no answer"])
    (problem,) = FILTERS["nvidia_driver_never_came_back"]("gpu01", "60", "timed out")
    assert problem["code"] == "reboot.never_came_back"


def test_packages() -> None:
    plan = {"source": "vendor", "version": "", "branch": "580", "unwanted_packages": [], "pin": None, "packages": ["a"]}
    assert FILTERS["nvidia_driver_specifications"](plan, "apt") == ["a"]
    (problem,) = FILTERS["nvidia_driver_simulated"]("Remv docker-ce [1]\n", plan)
    assert problem["code"] == "packages.would_be_removed"
    assert FILTERS["nvidia_driver_not_offered"]({"a": "1"}, " a | 1 | source\n", "apt") == []
    (problem,) = FILTERS["nvidia_driver_not_offered"]({"a": "2"}, " a | 1 | source\n", "apt")
    assert problem["code"] == "rollback.version_not_offered"
