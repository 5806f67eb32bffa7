"""The last video: nothing that the container wrote is followed or believed."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.opensora.status_generation import (
    describe_generation,
    find_query,
    newest_record,
    read_record,
)

if TYPE_CHECKING:
    from pathlib import Path

RECORD = {"id": "256px-42-abc", "prompt": "raining, sea", "config": "256px", "seconds": 412.3}


def test_newest_record():
    text = "100.5 a/record.json\n300.25 b/record.json\n200 c/record.json\n"
    assert newest_record(text) == (300.25, "b/record.json")


@pytest.mark.parametrize(
    "text", ["", "word a/record.json", "1 record.json", "1 a/b/record.json", "1 ../record.json", "1 a/other.json", "1"]
)
def test_lines_that_name_no_record(text: str):
    assert newest_record(text) is None


def test_find_really_lists_the_records_and_no_links(tmp_path: Path):
    for name in ("a", "b c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text("{}")
    os.utime(tmp_path / "b c" / "record.json", (2_000_000_000, 2_000_000_000))
    (tmp_path / "link").mkdir()
    (tmp_path / "link/record.json").symlink_to("/etc/passwd")
    output = subprocess.run(find_query(str(tmp_path)), capture_output=True, text=True, check=True).stdout  # noqa: S603
    assert len(output.splitlines()) == 2
    assert newest_record(output) == (2_000_000_000.0, "b c/record.json")


def test_read(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/record.json").write_text("{}")
    assert read_record(tmp_path, "a/record.json") == "{}"


def link_file(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a/record.json").symlink_to("/etc/passwd")


def link_folder(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere/record.json").write_text("{}")
    (folder / "a").symlink_to("elsewhere")


def pipe(folder: Path) -> None:
    (folder / "a").mkdir()
    os.mkfifo(folder / "a/record.json")


def large(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a/record.json").write_text(" " * ((1 << 20) + 1))


def nothing(folder: Path) -> None:
    del folder


@pytest.mark.parametrize("make", [link_file, link_folder, pipe, large, nothing])
def test_what_is_no_plain_file_is_not_read(tmp_path: Path, make: Any):
    make(tmp_path)
    with pytest.raises(OSError, match=r"."):
        read_record(tmp_path, "a/record.json")


def test_generation():
    assert describe_generation(json.dumps(RECORD), 1000.9, 1900) == {
        "id": "256px-42-abc",
        "prompt": "raining, sea",
        "config": "256px",
        "seconds": 412.3,
        "finished": 1000,
        "age_seconds": 899,
    }


def test_a_long_prompt_is_cut_and_wrong_types_are_unknown():
    record = {**RECORD, "prompt": "x" * 5000, "seconds": "soon", "config": ["256px"]}
    generation = describe_generation(json.dumps(record), 1000, 900)
    assert generation is not None
    assert len(generation["prompt"]) == 300
    assert (generation["seconds"], generation["config"], generation["age_seconds"]) == (None, None, 0)


@pytest.mark.parametrize("seconds", ["-1", "true", "NaN", "Infinity", "null", "[]"])
def test_seconds_that_are_none(seconds: str):
    text = json.dumps(RECORD).replace("412.3", seconds)
    generation = describe_generation(text, 1000, 1000)
    assert generation is not None
    assert generation["seconds"] is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"id": 3}', "{", "[" * 100_000])
def test_what_is_no_record(text: str):
    assert describe_generation(text, 1, 2) is None
