# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
from pathlib import Path

import opensora_image_archive
import pytest
from ansible.module_utils.opensora.build_key import BUILD_KEY_LABEL
from ansible.module_utils.opensora.image_archive import archive_from, decompress, read_parts
from ansible.module_utils.opensora.image_decision import LocalImage
from ansible.module_utils.opensora.image_engine import EngineError
from ansible.module_utils.opensora.image_transfer import TransferError

DATA = b"an image " * 1000


class Engine:
    """An engine that has one image."""

    image_store = "classic"
    size = len(DATA)

    def __init__(self, _):
        pass

    def images(self):
        return [LocalImage("sha256:1", 1, (), {BUILD_KEY_LABEL: "key"}, (), self.size)]

    def layers(self, image):
        return ["sha256:l"]

    def save(self, image):
        assert image == "sha256:1"
        yield DATA[:5000]
        yield DATA[5000:]


@pytest.fixture
def save(run_module, monkeypatch, tmp_path):
    def start(engine=Engine, build_key="key"):
        monkeypatch.setattr(opensora_image_archive, "ImageEngine", engine)
        return run_module(
            opensora_image_archive,
            build_key=build_key,
            directory=str(tmp_path),
            control_directory="/var/tmp",
            folder=str(tmp_path),
            _progress_path=str(tmp_path / "progress"),
        )

    return start


def test_the_image_is_saved_in_parts(save, tmp_path):
    result = save()
    assert result["changed"] is False
    archive = archive_from(result["archive"])
    assert (archive.image_id, archive.layers, archive.unpacked_bytes) == ("sha256:1", ("sha256:l",), len(DATA))
    assert b"".join(decompress(read_parts(archive), "gzip")) == DATA
    assert Path(archive.folder) == tmp_path
    lines = [json.loads(line)["line"] for line in (tmp_path / "progress").read_text().splitlines()]
    assert lines == ["save 55 % of 0 MiB", "save 100 % of 0 MiB"]


def test_an_image_that_is_not_there(save):
    result = save(build_key="other")
    assert result["failed"]
    assert result["problems"][0]["code"] == "image.not_there"


def test_no_room_for_the_archive(save):
    class Large(Engine):
        size = 2**60

    result = save(Large)
    assert result["failed"]
    assert result["problems"][0]["code"] == "image.no_room_to_share"


@pytest.mark.parametrize("error", [TransferError("the engine went away"), EngineError("no engine")])
def test_an_engine_that_fails(save, error):
    class Broken(Engine):
        def images(self):
            raise error

    assert str(error) in save(Broken)["msg"]
