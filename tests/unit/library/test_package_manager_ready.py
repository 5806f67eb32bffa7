"""Waiting for locks that another process really holds."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import package_manager_ready
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOLD = """
import fcntl, sys, time
handle = open(sys.argv[1], "r+")
fcntl.lockf(handle, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[[float], tuple[Path, subprocess.Popen[str]]]]:
    started: list[subprocess.Popen[str]] = []

    def start(seconds: float) -> tuple[Path, subprocess.Popen[str]]:
        lock = tmp_path / "lock-frontend"
        lock.touch()
        argv = [sys.executable, "-c", HOLD, str(lock), str(seconds)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)  # noqa: S603  all words are ours
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return lock, process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def no_cloud_init(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_manager_ready, "_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(package_manager_ready.AnsibleModule, "get_bin_path", lambda *_, **__: None)


def test_free_locks(run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "free").touch()
    result = run_module(package_manager_ready, locks=[str(tmp_path / "free"), str(tmp_path / "absent")])
    assert (result["changed"], result["waited_seconds"]) == (False, 0)


def test_waits_until_the_holder_is_done(run_module: Callable[..., dict[str, Any]], hold: Any) -> None:
    lock, _ = hold(1.2)
    begin = time.monotonic()
    result = run_module(package_manager_ready, locks=[str(lock)], lock_timeout=20)
    assert not result.get("failed")
    assert time.monotonic() - begin > 0.8


def test_names_the_holder_and_leaves_it_alone(run_module: Callable[..., dict[str, Any]], hold: Any) -> None:
    lock, process = hold(60)
    result = run_module(package_manager_ready, locks=[str(lock)], lock_timeout=0)
    (problem,) = result["problems"]
    assert (result["failed"], problem["code"]) == (True, "packages.lock_held")
    assert f"process {process.pid}" in problem["message"]
    assert "time.sleep" in problem["message"]  # the command line
    assert process.poll() is None
    assert lock.exists()


def test_check_mode_waits_for_nothing(run_module: Callable[..., dict[str, Any]], hold: Any) -> None:
    lock, _ = hold(60)
    result = run_module(package_manager_ready, locks=[str(lock)], configure=True, _ansible_check_mode=True)
    assert (result["changed"], result["waited_seconds"]) == (True, 0)


@pytest.mark.parametrize(
    ("status", "uptime", "failed"),
    [
        ("done", 9, False),
        ("error", 9, False),
        ("disabled", 9, False),
        ("running", 9000, True),
        ("not started", 9, True),
        ("not run", 9000, False),  # switched off on this host
    ],
)
def test_first_boot(
    run_module: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    status: str,
    uptime: int,
    failed: bool,
) -> None:
    (tmp_path / "uptime").write_text(f"{uptime}.25 1.00\n")
    monkeypatch.setattr(package_manager_ready, "_UPTIME", tmp_path / "uptime")
    monkeypatch.setattr(package_manager_ready.AnsibleModule, "get_bin_path", lambda *_, **__: "/usr/bin/cloud-init")
    monkeypatch.setattr(
        package_manager_ready.AnsibleModule, "run_command", lambda *_, **__: (0, f"status: {status}\n", "")
    )
    result = run_module(package_manager_ready, locks=[], wait_timeout=0)
    assert bool(result.get("failed")) == failed
    assert not failed or "cloud-init" in result["problems"][0]["message"]


@pytest.mark.parametrize(
    ("left", "tolerated", "failed"),
    [
        ([], [], False),
        (["nvidia-kernel-dkms"], ["nvidia-kernel-dkms"], False),
        (["nvidia-kernel-dkms", "postfix"], ["nvidia-kernel-dkms"], True),
    ],
)
def test_an_interrupted_change_is_finished(
    run_module: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    left: list[str],
    tolerated: list[str],
    failed: bool,
) -> None:
    (tmp_path / "status").write_text(
        "Package: bash\nStatus: install ok installed\n\n"
        + "".join(f"Package: {name}\nStatus: install ok half-configured\nVersion: 1\n\n" for name in left)
    )
    commands: list[list[str]] = []

    def run_command(_: Any, argv: list[str], **options: Any) -> tuple[int, str, str]:
        assert options["environ_update"]["DEBIAN_FRONTEND"] == "noninteractive"
        commands.append(argv)
        return (1, "", "dpkg: error processing package postfix (--configure):\n") if left else (0, "", "")

    monkeypatch.setattr(package_manager_ready, "_DPKG_STATUS", tmp_path / "status")
    monkeypatch.setattr(package_manager_ready.AnsibleModule, "run_command", run_command)
    result = run_module(package_manager_ready, locks=[], configure=True, tolerated=tolerated)
    assert [command[-2:] for command in commands] == [["--configure", "-a"]]
    assert bool(result.get("failed")) is failed
    assert [problem["code"] for problem in result["problems"]] == (["packages.broken"] if failed else [])
    assert not failed or ("left postfix" in result["msg"] and "error processing package" in result["msg"])


@pytest.mark.parametrize("mended", [True, False])
def test_a_package_that_is_there_in_part_is_installed_again(
    run_module: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, mended: bool
) -> None:
    status = tmp_path / "status"
    status.write_text("Package: containerd.io\nStatus: install reinstreq half-installed\nVersion: 1\n\n")
    commands: list[list[str]] = []

    def run_command(_: Any, argv: list[str], **_options: Any) -> tuple[int, str, str]:
        commands.append(argv)
        if argv[0] == "apt-get" and mended:
            status.write_text("Package: containerd.io\nStatus: install ok installed\nVersion: 1\n\n")
        return (0, "", "") if mended or argv[0] == "dpkg" else (100, "", "E: no archive for it\n")

    monkeypatch.setattr(package_manager_ready, "_DPKG_STATUS", status)
    monkeypatch.setattr(package_manager_ready.AnsibleModule, "run_command", run_command)
    result = run_module(package_manager_ready, locks=[], configure=True)
    assert [command[0] for command in commands] == ["dpkg", "apt-get"]
    assert commands[1][-3:] == ["install", "--reinstall", "containerd.io"]
    assert bool(result.get("failed")) is not mended
    assert mended or ("left containerd.io" in result["msg"] and "no archive" in result["msg"])


def test_a_file_that_names_a_process(run_module: Callable[..., dict[str, Any]], tmp_path: Path, hold: Any) -> None:
    lock = tmp_path / "download_lock.pid"
    lock.write_text(f"{2**22 + 1}")
    assert not run_module(package_manager_ready, locks=[str(lock)], lock_timeout=0).get("failed")
    _, process = hold(60)
    lock.write_text(f"{process.pid}")
    result = run_module(package_manager_ready, locks=[str(lock)], lock_timeout=0)
    assert f"process {process.pid}" in result["problems"][0]["message"]


def test_command_of_this_process() -> None:
    assert package_manager_ready.command_of(os.getpid()) == " ".join(sys.orig_argv)
    assert package_manager_ready.command_of(2**22 + 1) == "unknown command"
