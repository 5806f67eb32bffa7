# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import hashlib
import json
import os
import time

import pytest
from ansible.module_utils.opensora import checkpoint_state
from ansible.module_utils.opensora.checkpoint_manifest import Manifest, ManifestFile
from ansible.module_utils.opensora.checkpoint_state import CheckpointFolder, FoundFile

TEXT = b"weights"
RIGHT = hashlib.sha256(TEXT).hexdigest()
FILE = ManifestFile("sub/a.bin", len(TEXT), RIGHT)
MANIFEST = Manifest("o/n", "0" * 40, (FILE,))


@pytest.fixture
def folder(tmp_path):
    folder = CheckpointFolder(tmp_path / "ckpts")
    folder.open()
    (folder.path / "sub").mkdir()
    (folder.path / "sub/a.bin").write_bytes(TEXT)
    return folder


def read(folder, verify="changed"):
    """Read as a run of its own does, and return the file and whether its content was read."""
    said = []
    again = CheckpointFolder(folder.path)
    state = again.read(MANIFEST, verify, lambda position, file: said.append((position, file.path)))
    again.write_memory(MANIFEST)
    return state.files["sub/a.bin"], bool(said)


def alter(folder, text=b"wEights", restore_times=False):
    path = folder.path / "sub/a.bin"
    status = path.stat()
    time.sleep(0.02)  # a file system's clock ticks
    path.write_bytes(text)
    if restore_times:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_second_look_reads_nothing(folder):
    assert read(folder) == (FoundFile("file", 7, 0o644, RIGHT), True)
    assert read(folder) == (FoundFile("file", 7, 0o644, RIGHT), False)
    assert read(folder, "full") == (FoundFile("file", 7, 0o644, RIGHT), True)


@pytest.mark.parametrize("restore_times", [False, True])
def test_an_altered_file_of_the_same_size_is_found(folder, restore_times):
    read(folder)
    alter(folder, restore_times=restore_times)
    found, was_read = read(folder)
    assert was_read
    assert found.sha256 == hashlib.sha256(b"wEights").hexdigest()


def test_a_touched_file_is_read_and_is_right(folder):
    read(folder)
    os.utime(folder.path / "sub/a.bin", (1, 1))
    assert read(folder) == (FoundFile("file", 7, 0o644, RIGHT), True)


def test_damage_below_the_file_system_is_found_by_reading_all(folder):
    """What can't be made here is played: the memory says of an altered file that it is unchanged."""
    read(folder)
    alter(folder)
    state = folder.state / "state.json"
    memory = json.loads(state.read_text())
    status = (folder.path / "sub/a.bin").stat()
    memory["files"]["sub/a.bin"]["identity"] = {
        "size": 7,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "inode": status.st_ino,
    }
    state.write_text(json.dumps(memory))
    assert read(folder)[0].sha256 == RIGHT
    assert read(folder, "full")[0].sha256 == hashlib.sha256(b"wEights").hexdigest()


def test_sizes_reads_no_content_and_uses_what_is_remembered(folder):
    assert read(folder, "sizes") == (FoundFile("file", 7, 0o644, ""), False)
    read(folder)
    assert read(folder, "sizes") == (FoundFile("file", 7, 0o644, RIGHT), False)


@pytest.mark.parametrize("size", [0, 6, 8])
def test_a_file_of_another_size_is_not_read(folder, size):
    (folder.path / "sub/a.bin").write_bytes(b"x" * size)
    assert read(folder) == (FoundFile("file", size, 0o644, ""), False)


def test_links_and_folders_are_no_files(folder):
    path = folder.path / "sub/a.bin"
    path.unlink()
    assert read(folder)[0] == FoundFile()
    path.symlink_to("/etc/hostname")
    assert read(folder)[0] == FoundFile("link")
    path.unlink()
    path.mkdir()
    assert read(folder)[0].kind == "other"


def test_a_linked_folder_is_not_followed(folder, tmp_path):
    (folder.path / "sub").rename(tmp_path / "elsewhere")
    (folder.path / "sub").symlink_to(tmp_path / "elsewhere")
    assert read(folder)[0] == FoundFile(linked_parent="sub")


def test_a_file_where_a_folder_belongs(folder):
    (folder.path / "sub/a.bin").unlink()
    (folder.path / "sub").rmdir()
    (folder.path / "sub").write_text("x")
    assert read(folder)[0] == FoundFile(linked_parent="sub")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": []}', '{"files": {"sub/a.bin": {"sha256": "x"}}}'])
def test_a_broken_memory_is_no_memory(folder, text):
    (folder.state / "state.json").write_text(text)
    assert read(folder) == (FoundFile("file", 7, 0o644, RIGHT), True)


def test_a_state_of_somebody_else_is_not_believed(folder, monkeypatch):
    read(folder)
    folder.write_marker(MANIFEST)
    assert CheckpointFolder(folder.path).read(MANIFEST, "changed").marker == MANIFEST.digest
    monkeypatch.setattr(checkpoint_state.os, "geteuid", lambda: 12345)
    assert "belongs to the user" in folder.foreign_state()
    assert read(folder)[1]
    assert CheckpointFolder(folder.path).read(MANIFEST, "changed").marker == ""


def test_a_state_folder_that_is_a_link_is_not_believed(folder, tmp_path):
    folder.state.rename(tmp_path / "elsewhere")
    folder.state.symlink_to(tmp_path / "elsewhere")
    assert "is not a folder" in folder.foreign_state()


def test_the_service_reads_and_nobody_else_enters_the_parts(folder):
    part = folder.part(FILE)
    part.write_bytes(TEXT)
    part.chmod(0o600)
    folder.publish(FILE)
    status = (folder.path / "sub/a.bin").stat()
    assert status.st_mode & 0o777 == 0o644
    assert folder.parts.stat().st_mode & 0o777 == 0o700
    assert not part.exists()


def test_publishing_replaces_a_link_and_not_its_target(folder, tmp_path):
    target = tmp_path / "target"
    target.write_text("somebody's")
    path = folder.path / "sub/a.bin"
    path.unlink()
    path.symlink_to(target)
    folder.part(FILE).write_bytes(TEXT)
    folder.publish(FILE)
    assert not path.is_symlink()
    assert path.read_bytes() == TEXT
    assert target.read_text() == "somebody's"
