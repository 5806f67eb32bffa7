# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora import image_transfer
from ansible.module_utils.opensora.image_transfer import (
    CountedStream,
    TransferError,
    TransferProgress,
    follow_transfer,
    size_text,
)

MIB = 1024**2


def step(layer, current, total, status="Downloading"):
    return {"id": layer, "status": status, "progressDetail": {"current": current * MIB, "total": total * MIB}}


def test_a_line_for_every_tenth():
    messages = [{"status": "Pulling from x"}, step("a", 0, 100), *(step("a", part, 100) for part in range(1, 100, 3))]
    messages += [{"id": "a", "status": "Download complete"}]
    lines = list(follow_transfer(messages, "pull"))
    assert len(lines) == 11
    assert lines[0] == "pull 0 % of 100 MiB"
    assert lines[-1] == "pull 100 % of 100 MiB"


def test_small_layers_and_unpacking_say_nothing():
    messages = [
        {"id": "a", "status": "Downloading", "progressDetail": {"current": 10, "total": 20}},
        step("b", 5, 10, "Extracting"),
        {"status": "Digest: sha256:x"},
        {"id": "c", "status": "Pull complete"},
    ]
    assert list(follow_transfer(messages, "pull")) == []


@pytest.mark.parametrize("error", [{"errorDetail": {"message": "denied"}}, {"error": "denied"}])
def test_errors_of_the_engine(error):
    with pytest.raises(TransferError, match="denied"):
        list(follow_transfer([error], "push"))


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 MiB"), (100 * MIB, "100 MiB"), (5 * 1024 * MIB + 103 * MIB, "5.1 GiB")]
)
def test_sizes_for_people(size, text):
    assert size_text(size) == text


def test_progress_by_bytes():
    progress = TransferProgress("receive")
    said = [progress.line(done * 5 * MIB, 500 * MIB) for done in (0, 5, 39, 41, 42, 100)]
    assert said == [
        "receive 0 % of 500 MiB",
        None,
        "receive 39 % of 500 MiB",
        "receive 41 % of 500 MiB",
        None,
        "receive 100 % of 500 MiB",
    ]
    assert TransferProgress("load").line(0, 0) == "load 100 % of 0 MiB"


def test_a_long_silence_is_broken(monkeypatch):
    progress = TransferProgress("save")
    assert progress.line(1, 100) == "save 1 % of 0 MiB"
    assert progress.line(2, 100) is None
    later = image_transfer.time.monotonic() + image_transfer.SILENCE_SECONDS + 1
    monkeypatch.setattr(image_transfer.time, "monotonic", lambda: later)
    assert progress.line(2, 100) == "save 2 % of 0 MiB"


def test_a_stream_is_counted_while_it_passes():
    said = []
    stream = CountedStream(iter([b"12345", b"67890"]), 10, "save", said.append)
    assert b"".join(stream) == b"1234567890"
    assert stream.bytes == 10
    assert said == ["save 50 % of 0 MiB", "save 100 % of 0 MiB"]
