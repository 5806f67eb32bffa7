# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import json

import pytest

from plugins.filter.opensora_checkpoint import FilterModule

GOOD = {"repository": "o/n", "revision": "0" * 40, "files": [{"path": "a", "size": 1, "sha256": "a" * 64}]}
FILTERS = FilterModule().filters()


def settings(**different):
    wish = {"source": "mirror", "mirror_url": "https://m/", "endpoint": "https://h", "token": "", "manifest": ""}
    return {**wish, **different}


def read(**different):
    return FILTERS["opensora_checkpoint_read"](settings(**different))


def test_json_and_yaml_are_read(tmp_path):
    (tmp_path / "m.json").write_text(json.dumps(GOOD))
    (tmp_path / "m.yml").write_text(
        f"repository: o/n\nrevision: '{'0' * 40}'\nfiles:\n  - {{path: a, size: 1, sha256: {'a' * 64}}}\n"
    )
    assert read(manifest=str(tmp_path / "m.json")) == read(manifest=str(tmp_path / "m.yml"))
    assert read(manifest=str(tmp_path / "m.json")) == {"manifest": GOOD, "problems": []}


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        (None, "checkpoint.manifest_unreadable", "No such file"),
        ("a: [", "checkpoint.manifest_unreadable", "can't be read"),
        ("{}", "checkpoint.manifest_incomplete", "lacks repository"),
        ("", "variable.invalid", "is None, allowed is a mapping"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, code, says):
    path = tmp_path / "m.json"
    if text is not None:
        path.write_text(text)
    found = read(manifest=str(path))
    assert found["manifest"] == {}
    assert found["problems"][0]["code"] == code
    assert str(path) in found["problems"][0]["message"]
    assert says in found["problems"][0]["message"]


def test_a_warning_is_no_reason_to_do_nothing(tmp_path):
    (tmp_path / "m.json").write_text(json.dumps(GOOD))
    found = read(manifest=str(tmp_path / "m.json"), mirror_url="http://m/", token="t")  # noqa: S106 (of nobody)
    assert found["manifest"] == GOOD
    assert [problem["severity"] for problem in found["problems"]] == ["warning"]


def test_nothing_is_asked_for():
    assert read(source="none") == {"manifest": {}, "problems": []}


def test_the_server_is_asked():
    urls = FILTERS["opensora_checkpoint_urls"](settings(manifest="/m"), [])
    assert [entry["url"] for entry in urls] == ["https://m/"]
