# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils.opensora.image_archive import (
    ImageArchive,
    archive_from,
    choose_compression,
    compress,
    decompress,
    loading_fault,
    read_parts,
    room_problem,
    write_parts,
)
from ansible.module_utils.opensora.image_transfer import TransferError

DATA = os.urandom(300_000) + b"x" * 300_000
LAYERS = ("sha256:1", "sha256:2")


def chunks(data=DATA, size=7_000):
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.fixture
def archive(tmp_path):
    parts = write_parts(compress(chunks(), "gzip"), tmp_path, os.getuid(), part_bytes=100_000)
    return ImageArchive(str(tmp_path), parts, "gzip", len(DATA), "sha256:id", len(DATA), "key", LAYERS, "classic")


def test_parts_are_private_and_of_one_length(archive):
    files = sorted(Path(archive.folder).iterdir())
    assert [path.name for path in files] == [part.name for part in archive.parts]
    assert len(files) > 2
    assert {path.stat().st_size for path in files[:-1]} == {100_000}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert archive.bytes == sum(path.stat().st_size for path in files) < len(DATA)


def test_what_was_saved_comes_back(archive):
    again = archive_from(archive.as_dict())
    assert again == archive
    assert b"".join(decompress(read_parts(again), again.compression)) == DATA


def test_nothing_saved_is_no_part(tmp_path):
    assert write_parts(iter(()), tmp_path, os.getuid()) == ()


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"other"), Path.unlink])
def test_a_damaged_part_is_never_handed_on(archive, damage):
    damage(Path(archive.folder, archive.parts[1].name))
    seen = []
    with pytest.raises(TransferError, match=archive.parts[1].name):
        seen.extend(read_parts(archive))
    assert len(seen) == 1
    with pytest.raises(TransferError, match=archive.parts[1].name):
        list(decompress(read_parts(archive), "gzip"))


def test_an_archive_that_ends_too_early(archive):
    short = replace(archive, parts=archive.parts[:-1])
    with pytest.raises(TransferError, match="gzip ended with status"):
        list(decompress(read_parts(short), "gzip"))


def test_a_stream_that_breaks_off():
    def broken():
        yield b"some"
        raise TransferError("the engine went away")

    with pytest.raises(TransferError, match="the engine went away"):
        list(compress(broken(), "gzip"))


def test_who_stops_reading_leaves_no_process(archive):
    stream = compress(chunks(), "gzip")
    next(stream)
    stream.close()
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    assert not children.exists() or "gzip" not in children.read_text()


@pytest.mark.parametrize(
    ("offers", "chosen"),
    [
        ([["zstd", "gzip"], ["zstd", "gzip"]], "zstd"),
        ([["zstd", "gzip"], ["gzip"]], "gzip"),
        ([[], ["zstd"]], "gzip"),
        ([], "zstd"),
    ],
)
def test_compression(offers, chosen):
    assert choose_compression(offers) == chosen


@pytest.mark.parametrize(
    ("stores", "image_id", "layers", "fault"),
    [
        (("classic", "classic"), "sha256:id", LAYERS, ""),
        (("classic", "classic"), "sha256:other", LAYERS, "its ID is sha256:other"),
        # Another kind of image store has a name of its own for the same image.
        (("classic", "containerd"), "sha256:other", LAYERS, ""),
        (("containerd", "classic"), "sha256:other", LAYERS, ""),
        (("classic", "containerd"), "sha256:id", LAYERS[:1], "its layers are not those"),
        (("classic", "classic"), "sha256:id", (), "its layers are not those"),
    ],
)
def test_whether_the_right_image_was_loaded(archive, stores, image_id, layers, fault):
    saved = replace(archive, store=stores[0])
    found = loading_fault(saved, image_id, layers, stores[1])
    assert found.startswith(fault)
    assert bool(found) == bool(fault)


def test_room():
    assert room_problem("gpu01", "/x", 5, 5, "opensora_image_directory") is None
    problem = room_problem("the control node", "/var/tmp", 2**30, 2**33, "opensora_image_share_directory")
    assert problem.code == "image.no_room_to_share"
    assert "/var/tmp on the control node has 1.0 GiB free" in problem.message
    assert "needs 8.0 GiB" in problem.message
    assert "opensora_image_share_directory" in problem.next_action
