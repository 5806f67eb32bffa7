# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Two folders of this machine play two hosts; the commands are run by a real shell."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible.module_utils.opensora import checkpoint_carrier
from ansible.module_utils.opensora.checkpoint_carrier import CarryError, ChunkCarrier
from ansible.module_utils.opensora.checkpoint_share import Chunk

M = 1024**2
CONTENT = hashlib.shake_128(b"weights").digest(2 * M + 7)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
CHUNKS = [Chunk("sub/a b.bin", DIGEST, len(CONTENT), at, min(M, len(CONTENT) - at)) for at in range(0, len(CONTENT), M)]


class Action:
    """An action plugin whose host is this machine; ``breaks`` is how many copies fail first."""

    def __init__(self):
        self._connection = self
        self.breaks = 0

    def _low_level_execute_command(self, command, sudoable=True):
        argv = ["/bin/sh", "-c", command]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603 (our own commands)
        return {"rc": done.returncode, "stdout": done.stdout, "stderr": done.stderr}

    def fetch_file(self, there, here):
        self._copy(there, here)

    def put_file(self, here, there):
        self._copy(here, there)

    def _copy(self, source, target):
        if self.breaks:
            self.breaks -= 1
            raise OSError("the connection broke")
        shutil.copyfile(source, target)


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_carrier.time, "sleep", lambda _: None)
    (tmp_path / "one/sub").mkdir(parents=True)
    (tmp_path / "one/sub/a b.bin").write_bytes(CONTENT)
    return Action(), tmp_path


def carry(hosts, chunks):
    action, folder = hosts
    for chunk in chunks:
        place = folder / "between" / str(chunk.offset)
        ChunkCarrier(action, "one", str(folder / "one")).take(chunk, place)
        ChunkCarrier(action, "two", str(folder / "two")).put(chunk, place)


def received(hosts):
    return hosts[1] / f"two/.opensora-checkpoint/parts/{DIGEST}.part"


def test_a_file_arrives_whole_and_leaves_nothing(hosts):
    carry(hosts, CHUNKS)
    assert received(hosts).read_bytes() == CONTENT
    assert [path.name for path in (hosts[1] / "two/.opensora-checkpoint").iterdir()] == ["parts"]
    assert [path.name for path in (hosts[1] / "one/.opensora-checkpoint").iterdir()] == ["parts"]
    assert received(hosts).parent.stat().st_mode & 0o777 == 0o700
    assert received(hosts).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("there", [0, 1, M, M + 1, 2 * M, len(CONTENT)])
def test_what_is_there_is_gone_on_with(hosts, there):
    received(hosts).parent.mkdir(parents=True)
    received(hosts).write_bytes(CONTENT[:there])
    carry(hosts, CHUNKS)
    assert received(hosts).read_bytes() == CONTENT


def test_a_piece_without_the_one_before_is_refused(hosts):
    with pytest.raises(CarryError, match="a command on two failed"):
        carry(hosts, CHUNKS[1:])


def test_a_connection_that_breaks_is_made_again(hosts):
    hosts[0].breaks = 2
    carry(hosts, CHUNKS)
    assert received(hosts).read_bytes() == CONTENT


def test_a_connection_that_stays_broken(hosts):
    hosts[0].breaks = 3
    with pytest.raises(CarryError, match="one: the connection broke"):
        carry(hosts, CHUNKS)
    assert [path.name for path in (hosts[1] / "one/.opensora-checkpoint").iterdir()] == ["parts"]


def test_a_file_that_became_shorter_is_refused(hosts):
    (hosts[1] / "one/sub/a b.bin").write_bytes(CONTENT[:5])
    with pytest.raises(CarryError, match="is not as long as it was"):
        carry(hosts, CHUNKS[:1])


def test_no_room_on_the_control_node(hosts, monkeypatch):
    monkeypatch.setattr(checkpoint_carrier.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 5))
    with pytest.raises(CarryError, match="on the control node has 5 bytes free"):
        carry(hosts, CHUNKS)


def test_no_path_leads_out(hosts):
    with pytest.raises(CarryError, match="leads out"):
        ChunkCarrier(hosts[0], "one", "/").take(Chunk("../etc/passwd", DIGEST, 1, 0, 1), Path("/nowhere"))
