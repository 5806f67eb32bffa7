# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible.module_utils.opensora import archive_carrier
from ansible.module_utils.opensora.archive_carrier import ArchiveCarrier, NoRoomError
from ansible.module_utils.opensora.image_archive import ImageArchive, write_parts
from ansible.module_utils.opensora.image_transfer import TransferError


class Connection:
    """A connection to a host that is a folder of this machine; it can break."""

    def __init__(self):
        self.breaks = 0
        self.damages = 0
        self.copies = []

    def _copy(self, source, target):
        if self.breaks:
            self.breaks -= 1
            raise OSError("connection lost")
        self.copies.append(Path(target).name)
        shutil.copyfile(source, target)
        if self.damages:
            self.damages -= 1
            Path(target).write_bytes(b"damaged")

    def fetch_file(self, source, target):
        self._copy(source, target)

    def put_file(self, source, target):
        self._copy(source, target)


class Action:
    """What the carrier needs of an action plugin."""

    def __init__(self):
        self._connection = Connection()

    def _low_level_execute_command(self, command, sudoable=True):
        found = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)  # noqa: S603, S607
        # As a connection with a terminal ends its lines.
        return {"rc": found.returncode, "stdout": found.stdout.replace("\n", "\r\n"), "stderr": found.stderr}


@pytest.fixture
def carrier(monkeypatch):
    monkeypatch.setattr(archive_carrier, "_PAUSE_SECONDS", 0)
    lines = []
    made = ArchiveCarrier(Action(), "gpu02", lines.append)
    made.lines = lines
    return made


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "host"
    folder.mkdir()
    parts = write_parts([os.urandom(1000)], folder, os.getuid(), part_bytes=250)
    return ImageArchive(str(folder), parts, "gzip", 1000, "sha256:1", 1000, "key", (), "classic")


def test_folder_of_the_host(carrier, tmp_path):
    directory = tmp_path / "a folder" / "image"
    path, free = carrier.open_folder(str(directory))
    assert Path(path).parent == directory
    assert Path(path).stat().st_mode & 0o777 == 0o700
    assert directory.stat().st_mode & 0o777 == 0o755
    assert free > 0
    old, young = directory / "opensora-image-old", directory / "opensora-image-young"
    other = directory / "context"
    for folder in (old, young, other):
        folder.mkdir()
    os.utime(old, (0, 0))
    os.utime(other, (0, 0))
    carrier.open_folder(str(directory))
    assert not old.exists()
    assert young.exists()
    assert other.exists()
    carrier.close_folder(path)
    assert not Path(path).exists()


def test_a_folder_that_can_not_be_made(carrier, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TransferError, match="on gpu02 failed"):
        carrier.open_folder(str(tmp_path / "file"))


def test_from_the_host_to_the_control_node_and_on(carrier, archive, tmp_path):
    control, target = tmp_path / "control", tmp_path / "target"
    control.mkdir()
    target.mkdir()
    fetched = carrier.fetch(archive, str(control))
    assert Path(fetched.folder).parent == control
    assert Path(fetched.folder).stat().st_mode & 0o777 == 0o700
    received = carrier.put(fetched, str(target), 10**9)
    assert received.folder == str(target)
    for part in archive.parts:
        assert (target / part.name).read_bytes() == Path(archive.folder, part.name).read_bytes()
    assert carrier.lines[0] == "fetch 25 % of 0 MiB"
    assert carrier.lines[-1] == "receive 100 % of 0 MiB"


def test_one_part_is_copied_again(carrier, archive, tmp_path):
    carrier._action._connection.breaks = 2
    carrier._action._connection.damages = 1
    with pytest.raises(TransferError, match="fetch of part-00000: part-00000 arrived damaged"):
        carrier.fetch(archive, str(tmp_path))
    carrier._action._connection.breaks = 1
    carrier._action._connection.damages = 1
    assert carrier.fetch(archive, str(tmp_path)).parts == archive.parts


def test_nothing_stays_on_the_control_node_after_a_failure(carrier, archive, tmp_path):
    carrier._action._connection.breaks = 9
    control = tmp_path / "control"
    control.mkdir()
    with pytest.raises(TransferError, match="connection lost"):
        carrier.fetch(archive, str(control))
    assert list(control.iterdir()) == []


def test_what_a_run_that_ended_left_is_removed(carrier, archive, tmp_path):
    control = tmp_path / "control"
    dead, alive = control / "opensora-image-4194999-x", control / f"opensora-image-{os.getppid()}-x"
    dead.mkdir(parents=True)
    alive.mkdir()
    carrier.fetch(archive, str(control))
    assert not dead.exists()
    assert alive.exists()


def test_no_room(carrier, archive, tmp_path, monkeypatch):
    with pytest.raises(NoRoomError, match=r"on gpu02 has 0\.0 GiB free") as caught:
        carrier.put(archive, str(tmp_path), 999)
    assert "opensora_image_directory" in caught.value.problem.next_action
    monkeypatch.setattr(archive_carrier.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 999))
    with pytest.raises(NoRoomError, match=r"the control node has 0\.0 GiB free") as caught:
        carrier.fetch(archive, str(tmp_path))
    assert "opensora_image_share_directory" in caught.value.problem.next_action
    assert carrier._action._connection.copies == []
