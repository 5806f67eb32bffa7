"""A folder that stands for a host: nothing of the real machine leaks in, and no command can hold the module."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from ansible.module_utils.opensora.command_runner import command_runner, find_command
from ansible.module_utils.opensora.host_probe import NOT_RUN, CommandResult, HostProbe

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


@pytest.fixture
def probe(tmp_path: Path) -> HostProbe:
    return HostProbe(str(tmp_path), command_runner(str(tmp_path), {}, {"slow": 0.3}, 5.0))


def test_absolute_links_stay_inside(probe: HostProbe, tmp_path: Path) -> None:
    write(tmp_path / "usr/lib/os-release", "ID=recorded\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").symlink_to("/usr/lib/os-release")
    (tmp_path / "etc/up").symlink_to("../../../../usr/lib/os-release")
    (tmp_path / "etc/loop").symlink_to("loop")
    (tmp_path / "etc/outside").symlink_to("/proc/version")
    assert probe.text("/etc/os-release") == "ID=recorded"
    assert probe.text("/etc/up") == "ID=recorded"
    assert probe.text("/etc/loop") is None
    assert probe.text("/etc/outside") is None
    assert probe.resolve("/etc/os-release") == "/usr/lib/os-release"


def test_what_is_not_there(probe: HostProbe) -> None:
    assert probe.text("/nope") is None
    assert probe.octets("/nope") is None
    assert probe.names("/nope") == []
    assert probe.modified("/nope") is None
    assert probe.link_name("/nope") is None
    assert probe.nearest_existing("/srv/a/b") == "/"


def test_what_cannot_be_looked_at_does_not_exist(probe: HostProbe) -> None:
    # Longer than any file system allows: the system answers with an error other than "not found".
    name = "x" * 300
    assert probe.exists(f"/srv/{name}") is False
    assert probe.nearest_existing(f"/{name}/below") == "/"
    assert probe.text(f"/{name}") is None
    assert probe.link_name(f"/{name}") is None
    assert probe.exists("/nul\0byte") is False


def test_commands_come_from_the_folder_alone(probe: HostProbe, tmp_path: Path) -> None:
    assert find_command(str(tmp_path), "sh") is None
    assert probe.run(("sh", "-c", "echo leaked")) == NOT_RUN
    write(tmp_path / "usr/bin/tool", "#!/bin/sh\necho $1; echo bad >&2; exit 3\n", 0o755)
    write(tmp_path / "bin/not-executable", "#!/bin/sh\n")
    assert probe.run(("tool", "x")) == CommandResult(3, "x\n", "bad\n")
    assert probe.run(("not-executable",)) == NOT_RUN


def test_broken_command(probe: HostProbe, tmp_path: Path) -> None:
    write(tmp_path / "usr/bin/tool", "#!/no/such/interpreter\n", 0o755)
    assert probe.run(("tool",)).rc == 126


def test_time_limit_holds_for_grandchildren(probe: HostProbe, tmp_path: Path) -> None:
    write(tmp_path / "usr/bin/slow", "#!/bin/sh\necho begun\nsleep 30 &\nsleep 30\n", 0o755)
    start = time.monotonic()
    result = probe.run(("slow",))
    assert time.monotonic() - start < 3
    assert (result.ran, result.timed_out, result.stdout) == (False, True, "begun\n")


def test_commands_run_at_the_same_time(probe: HostProbe, tmp_path: Path) -> None:
    write(tmp_path / "usr/bin/tool", "#!/bin/sh\nsleep 0.4\necho $1\n", 0o755)
    start = time.monotonic()
    results, _ = probe.run_while({name: ("tool", name) for name in ("a", "b", "c")}, lambda: None)
    assert time.monotonic() - start < 1.1
    assert {name: result.stdout for name, result in results.items()} == {"a": "a\n", "b": "b\n", "c": "c\n"}
    assert probe.run_while({}, lambda: 1) == ({}, 1)


def test_work_is_done_while_commands_run(probe: HostProbe, tmp_path: Path) -> None:
    write(tmp_path / "usr/bin/tool", "#!/bin/sh\nwhile [ ! -e $1 ]; do sleep 0.02; done\necho seen\n", 0o755)
    mark = tmp_path / "mark"
    results, done = probe.run_while({"wait": ("tool", str(mark))}, lambda: mark.write_text("here"))
    assert (results["wait"].stdout, done) == ("seen\n", 4)
    assert probe.run_while({}, lambda: "alone") == ({}, "alone")
