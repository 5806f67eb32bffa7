"""The record before a change, and the way back to it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from ansible.module_utils.opensora.driver_history import (
    NOUVEAU_PATH,
    PIN_PATH,
    RECORD_PATH,
    REPOSITORY_FILE,
    is_driver_package,
    make_record,
    missing_versions,
    plan_rollback,
    restore_after_failure,
)

TIME = "2026-11-20 10:00:00 UTC"
SETTINGS = {"source": "vendor", "branch": "580", "version": "580.178.04", "flavour": "auto"}
PIN = "# ours\nPackage: *nvidia* libcuda1\nPin: version {}\nPin-Priority: 1001\n"
REPOSITORY = {"path": REPOSITORY_FILE, "enabled": True, "uris": ["https://mirror.test/cuda/repos/debian13/x86_64"]}
OTHER = {"path": "/etc/apt/sources.list", "enabled": True, "uris": ["http://deb.test/debian"]}


def host_with(version: str, **changes: Any) -> dict[str, Any]:
    names = ("nvidia-kernel-open-dkms", "nvidia-driver-cuda", "libcuda1") if version else ()
    packages = {name: {"version": f"{version}-1", "status": "ii"} for name in names}
    packages["nvidia-container-toolkit"] = {"version": "1.20.0-1", "status": "hi"}
    packages["linux-headers-amd64"] = {"version": "6.12.117-1", "status": "ii"}
    host: dict[str, Any] = {
        "os": {"family": "debian", "kernel": "6.12.117+deb13-amd64"},
        "packages": packages,
        "nouveau_loaded": False,
        "apt_sources": [OTHER, REPOSITORY] if version else [OTHER],
        "driver": {
            "installed": version or None,
            "loaded": version or None,
            "flavour": "open" if version else None,
            "broken_packages": [],
        },
        "driver_files": {
            NOUVEAU_PATH: {"text": "blacklist nouveau\n", "modified": 1} if version else None,
            PIN_PATH: {"text": PIN.format("580.*"), "modified": 1} if version else None,
            RECORD_PATH: None,
        },
    }
    return {**host, **copy.deepcopy(changes)}


def distributions_driver() -> dict[str, Any]:
    host = host_with("550.163.01", apt_sources=[OTHER])
    host["packages"]["nvidia-smi"] = {"version": "550.163.01-1", "status": "ii"}
    for name in ("nvidia-driver-cuda", "nvidia-kernel-open-dkms"):
        del host["packages"][name]
    return host


def recorded(host: dict[str, Any]) -> str:
    return json.dumps(make_record(host, TIME))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nvidia-kernel-open-dkms", True),
        ("libcuda1", True),
        ("libnvidia-ml1", True),
        ("kmod-nvidia-open-dkms", True),
        ("linux-modules-nvidia-580-server-open-generic", True),
        ("nvidia-fabricmanager", True),
        ("nvidia-container-toolkit", False),
        ("libnvidia-container1", False),
        ("nvidia-driver-pinning-580", False),
        ("nvidia-docker2", False),
        ("linux-headers-amd64", False),
        ("dkms", False),
    ],
)
def test_what_is_the_driver(name: str, expected: bool) -> None:
    assert is_driver_package(name) is expected


def test_record() -> None:
    record = make_record(host_with("580.159.04"), TIME)
    assert record["packages"] == dict.fromkeys(
        ["libcuda1", "nvidia-driver-cuda", "nvidia-kernel-open-dkms"], "580.159.04-1"
    )
    assert (record["source"], record["version"], record["flavour"]) == ("vendor", "580.159.04", "open")
    assert record["files"] == {NOUVEAU_PATH: "blacklist nouveau\n", PIN_PATH: PIN.format("580.*")}
    assert json.loads(json.dumps(record)) == record


@pytest.mark.parametrize(
    ("host", "source"),
    [
        (host_with(""), ""),
        (distributions_driver(), "distribution"),
        ({**distributions_driver(), "apt_sources": [{**REPOSITORY, "enabled": False}]}, "distribution"),
        ({**distributions_driver(), "apt_sources": [REPOSITORY]}, "vendor"),
        (host_with("580.159.04", apt_sources=[]), "vendor"),
        (host_with("580.159.04", os={"family": "redhat", "kernel": "5.14"}, apt_sources=[]), "vendor"),
    ],
)
def test_where_the_recorded_driver_came_from(host: dict[str, Any], source: str) -> None:
    assert make_record(host, TIME)["source"] == source


def test_rollback_to_the_version_before() -> None:
    plan = plan_rollback(host_with("580.178.04"), recorded(host_with("580.159.04")), SETTINGS)
    assert plan.refusal == ""
    assert plan.version == "580.159.04"
    assert plan.restore["install"] == [
        "libcuda1=580.159.04-1",
        "nvidia-driver-cuda=580.159.04-1",
        "nvidia-kernel-open-dkms=580.159.04-1",
    ]
    assert plan.restore["remove"] == []
    assert plan.restore["remove_repository"] is False
    assert plan.restore["initramfs"] is False
    assert plan.reboot is True
    assert plan.restore["hold"] == ["libcuda1", "nvidia-driver-cuda", "nvidia-kernel-open-dkms"]
    # The pin is rendered by the plan under these settings, not put back to that of a branch.
    assert (plan.restore["files"], plan.restore["remove_files"]) == ([], [])
    assert plan.settings == {"source": "vendor", "branch": "580", "version": "580.159.04", "flavour": "open"}
    assert plan.inventory == {
        "nvidia_driver_source": "vendor",
        "nvidia_driver_branch": "580",
        "nvidia_driver_version": "580.159.04",
        "nvidia_driver_flavour": "open",
    }
    assert 'nvidia_driver_version: "580.159.04"' in plan.advice
    for word in ("580.159.04", "libcuda1=580.159.04-1", "reboot: yes", TIME):
        assert word in plan.summary


def test_rollback_from_the_vendors_driver_to_the_distributions() -> None:
    before = distributions_driver()
    before["driver_files"][PIN_PATH] = None
    plan = plan_rollback(host_with("580.178.04"), recorded(before), SETTINGS)
    assert plan.restore["remove"] == ["nvidia-driver-cuda", "nvidia-kernel-open-dkms"]
    assert "nvidia-smi=550.163.01-1" in plan.restore["install"]
    assert plan.restore["remove_files"] == [PIN_PATH]
    assert plan.restore["remove_repository"] is True
    assert plan.restore["hold"] == []
    assert plan.inventory == {"nvidia_driver_source": "distribution", "nvidia_driver_flavour": "open"}


def test_rollback_to_no_driver() -> None:
    plan = plan_rollback(host_with("580.178.04"), recorded(host_with("")), SETTINGS)
    assert plan.refusal == ""
    assert plan.version == ""
    assert plan.restore["install"] == []
    assert plan.restore["remove"] == ["libcuda1", "nvidia-driver-cuda", "nvidia-kernel-open-dkms"]
    assert plan.restore["remove_files"] == sorted([NOUVEAU_PATH, PIN_PATH])
    assert plan.restore["initramfs"] is True
    assert plan.reboot is False
    assert "none was installed" in plan.summary
    assert plan.inventory == {"nvidia_driver_source": "preinstalled"}


def test_rollback_on_the_rhel_family() -> None:
    system = {"family": "redhat", "kernel": "5.14"}
    before, now = (host_with(version, os=system, apt_sources=[]) for version in ("580.159.04", "580.178.04"))
    for host in (before, now):
        host["driver_files"][PIN_PATH] = None
    plan = plan_rollback(now, recorded(before), SETTINGS)
    assert plan.restore["install"][0] == "libcuda1-580.159.04-1"
    assert plan.restore["files"] == []


@pytest.mark.parametrize(
    ("record", "settings", "code", "named"),
    [
        ("", {}, "rollback.no_record", RECORD_PATH),
        ("  \n", {}, "rollback.no_record", RECORD_PATH),
        ("{", {}, "rollback.damaged_record", RECORD_PATH),
        ("[]", {}, "rollback.damaged_record", "format 1"),
        ('{"format": 2}', {}, "rollback.damaged_record", "format 1"),
        ('{"format": 1, "packages": []}', {}, "rollback.damaged_record", "packages and files"),
        ('{"format": 1, "packages": {"a": 1}, "files": {}}', {}, "rollback.damaged_record", "version"),
        ('{"format": 1, "packages": {}, "files": {"a": 1}}', {}, "rollback.damaged_record", "text"),
        (recorded(host_with("580.178.04")), {}, "rollback.nothing_to_do", "580.178.04"),
        (recorded(host_with("580.159.04")), {"source": "preinstalled"}, "rollback.preinstalled", "preinstalled"),
    ],
)
def test_refusals(record: str, settings: dict[str, Any], code: str, named: str) -> None:
    plan = plan_rollback(host_with("580.178.04"), record, {**SETTINGS, **settings})
    assert [problem["code"] for problem in plan.problems] == [code]
    assert named in plan.refusal
    assert (plan.restore["install"], plan.restore["remove"], plan.restore["files"]) == ([], [], [])


def test_nothing_to_go_back_to_without_a_driver() -> None:
    plan = plan_rollback(host_with(""), recorded(host_with("")), SETTINGS)
    assert [problem["code"] for problem in plan.problems] == ["rollback.nothing_to_do"]


def test_failed_first_installation_leaves_nothing() -> None:
    after = host_with("580.178.04")
    after["driver_files"][RECORD_PATH] = {"text": "{}", "modified": 2}
    found = restore_after_failure(host_with(""), after)
    assert found["install"] == []
    assert found["remove"] == ["libcuda1", "nvidia-driver-cuda", "nvidia-kernel-open-dkms"]
    assert found["remove_files"] == sorted([NOUVEAU_PATH, PIN_PATH, RECORD_PATH])
    assert found["remove_repository"] is True


def test_failed_upgrade_brings_the_driver_of_before_back() -> None:
    before, after = host_with("580.159.04"), host_with("580.178.04")
    before["driver_files"][RECORD_PATH] = {"text": "older", "modified": 1}
    after["driver_files"][RECORD_PATH] = {"text": "newer", "modified": 2}
    found = restore_after_failure(before, after)
    assert len(found["install"]) == 3
    assert found["files"] == [{"path": RECORD_PATH, "text": "older"}]
    assert (found["remove"], found["remove_files"], found["remove_repository"]) == ([], [], False)


def test_what_was_held_is_held_again() -> None:
    before = host_with("580.159.04")
    for name in ("libcuda1", "nvidia-driver-cuda"):
        before["packages"][name]["status"] = "hi"
    untouched = copy.deepcopy(before)
    assert restore_after_failure(before, untouched)["hold"] == []
    assert restore_after_failure(before, host_with("580.178.04"))["hold"] == ["libcuda1", "nvidia-driver-cuda"]
    assert restore_after_failure(before, host_with(""))["hold"] == ["libcuda1", "nvidia-driver-cuda"]


def test_a_package_that_broke_comes_back_and_one_that_was_broken_does_not() -> None:
    before, after = host_with("580.159.04"), host_with("580.159.04")
    after["driver"]["broken_packages"] = ["nvidia-kernel-open-dkms"]
    assert restore_after_failure(before, after)["install"] == ["nvidia-kernel-open-dkms=580.159.04-1"]
    before["driver"]["broken_packages"] = ["nvidia-kernel-open-dkms"]
    assert restore_after_failure(before, after)["install"] == []


def test_nothing_changed_nothing_to_restore() -> None:
    host = host_with("580.159.04")
    found = restore_after_failure(host, host)
    assert not any(found.values())


@pytest.mark.parametrize(
    ("offered", "missing"),
    [
        ({"libcuda1": ["580.178.04-1", "580.159.04-1"]}, []),
        ({"libcuda1": ["580.178.04-1"]}, ["libcuda1: 580.178.04-1"]),
        ({}, ["libcuda1: not offered at all"]),
    ],
)
def test_versions_that_are_gone(offered: dict[str, list[str]], missing: list[str]) -> None:
    problems = missing_versions({"libcuda1": "580.159.04-1"}, offered)
    assert [line for problem in problems for line in problem.evidence] == missing
    assert all("libcuda1 580.159.04-1" in problem.message for problem in problems)
