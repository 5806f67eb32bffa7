"""The module itself: argument spec, result shape and that it never claims a change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import gpu_host_info
import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEYS = {
    "apt_sources",
    "apt_unreadable",
    "site_trust",
    "boot_id",
    "clock_ahead_seconds",
    "cloud_init",
    "cpu_count",
    "disk",
    "driver",
    "driver_files",
    "engine",
    "fabric",
    "firewall",
    "gpus",
    "kernels",
    "memory_total_bytes",
    "nouveau_loaded",
    "os",
    "package_manager",
    "packages",
    "pci_gpu_count",
    "pci_gpus",
    "persistence",
    "problems",
    "python",
    "reboot_required",
    "secure_boot",
    "services",
    "session",
    "signing_key",
    "toolkit",
    "uptime_seconds",
    "uvm_available",
}


def test_recorded_host(run_module: Callable[..., dict[str, Any]], root: Path) -> None:
    folder = str(root / "tests/fixtures/hosts/h100-debian13")
    result = run_module(gpu_host_info, probe_root=folder, wanted={"driver_branch": 580, "driver_source": "vendor"})
    assert result["changed"] is False
    assert set(result["gpu_host"]) == KEYS
    assert result["gpu_host"]["driver"]["action"] == "none"


def test_wish_decides(run_module: Callable[..., dict[str, Any]], root: Path) -> None:
    folder = str(root / "tests/fixtures/hosts/h100-debian13")
    result = run_module(gpu_host_info, probe_root=folder, wanted={"driver_branch": "595", "driver_source": "vendor"})
    assert result["gpu_host"]["driver"]["action"] == "upgrade"


def test_minimum_memory(run_module: Callable[..., dict[str, Any]], root: Path) -> None:
    folder = str(root / "tests/fixtures/hosts/h100-debian13")
    assert (
        run_module(gpu_host_info, probe_root=folder, wanted={"minimum_memory_mib": "80000"})["gpu_host"]["problems"]
        == []
    )
    host = run_module(gpu_host_info, probe_root=folder, wanted={"minimum_memory_mib": 100000})["gpu_host"]
    assert [problem["code"] for problem in host["problems"]] == ["gpu.too_little_memory"]


def test_check_mode_reads_the_same(run_module: Callable[..., dict[str, Any]], root: Path) -> None:
    folder = str(root / "tests/fixtures/hosts/loaded-differs")
    normal = run_module(gpu_host_info, probe_root=folder)
    assert run_module(gpu_host_info, probe_root=folder, _ansible_check_mode=True) == normal


def test_this_machine(run_module: Callable[..., dict[str, Any]]) -> None:
    host = run_module(gpu_host_info, paths=["/srv/not/there"])["gpu_host"]
    assert set(host) == KEYS
    assert host["boot_id"]
    assert host["disk"][-1]["path"] == "/srv/not/there"
    assert host["disk"][-1]["free_bytes"] is not None


def test_unknown_wish_is_refused(run_module: Callable[..., dict[str, Any]]) -> None:
    result = run_module(gpu_host_info, wanted={"driver_colour": "green"})
    assert result["failed"] is True
    assert "driver_colour" in result["msg"]


def test_empty_folder_is_a_host_without_anything(run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    host = run_module(gpu_host_info, probe_root=str(tmp_path))["gpu_host"]
    assert host["os"]["id"] is None
    assert host["boot_id"] is None
    assert (host["packages"], host["gpus"], host["apt_sources"]) == ({}, [], [])
    assert host["engine"]["kind"] == "none"


def test_every_key_is_documented() -> None:
    (returned,) = yaml.safe_load(gpu_host_info.RETURN).values()
    assert set(returned["contains"]) == KEYS


def test_every_wish_is_documented() -> None:
    documented = yaml.safe_load(gpu_host_info.DOCUMENTATION)["options"]["wanted"]["suboptions"]
    options = gpu_host_info.ARGUMENT_SPEC["wanted"]["options"]
    assert {name: option["type"] for name, option in documented.items()} == {
        name: option["type"] for name, option in options.items()
    }


def test_units_are_shown_in_utc(run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    command = tmp_path / "usr/bin/systemctl"
    command.parent.mkdir(parents=True)
    command.write_text(
        "#!/bin/sh\nprintf 'Id=docker.service\\nActiveState=active\\nActiveEnterTimestamp='\n"
        "date -d @1764062400 '+%a %Y-%m-%d %H:%M:%S %Z'\n"
    )
    command.chmod(0o755)
    with patch.dict("os.environ", {"TZ": "Europe/Berlin"}):
        host = run_module(gpu_host_info, probe_root=str(tmp_path))["gpu_host"]
    assert host["services"]["docker.service"]["since"] == 1764062400


@pytest.mark.parametrize(("offset", "ahead"), [(0, 0), (-86400, 86400), (31536000, -31536000)])
def test_the_clock_is_compared_with_the_control_nodes(monkeypatch, run_module, offset, ahead):
    monkeypatch.setattr(gpu_host_info, "read_gpu_host", lambda *_, **__: {})
    found = run_module(gpu_host_info, control_time=time.time() + offset)["gpu_host"]["clock_ahead_seconds"]
    assert abs(found - ahead) <= 5


def test_a_folder_has_no_clock(run_module: Callable[..., dict[str, Any]], root: Path) -> None:
    folder = str(root / "tests/fixtures/hosts/h100-debian13")
    result = run_module(gpu_host_info, probe_root=folder, control_time=1.0)
    assert result["gpu_host"]["clock_ahead_seconds"] is None
