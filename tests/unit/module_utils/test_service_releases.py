# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.service_releases import (
    ReleaseError,
    earlier,
    keep,
    new_release,
    read_releases,
    record,
)


def release(definition, at):
    return new_release(definition, f"image of {definition}", ["GPU-a"], ["127.0.0.1:80:80"], now=at)


ONE, TWO, THREE = (release(name, at) for at, name in enumerate(("one", "two", "three"), 1))


def test_name_says_when_and_what():
    assert release("one", 1_764_000_000).name == "20251124T160000Z-7692c3ad"


@pytest.mark.parametrize(
    ("there", "current", "number", "kept", "removed"),
    [
        ([], ONE, 3, [ONE], []),
        ([ONE, TWO], THREE, 3, [ONE, TWO, THREE], []),
        ([ONE, TWO], THREE, 2, [TWO, THREE], [ONE]),
        # Deployed once more: now it is the youngest.
        ([ONE, TWO], release("one", 9), 3, [TWO, release("one", 9)], [ONE]),
    ],
)
def test_what_is_kept(there, current, number, kept, removed):
    assert keep(there, current, number) == (kept, removed)


@pytest.mark.parametrize(
    ("definition", "name", "expected"),
    [
        ("three", "", TWO),
        ("two", "", ONE),
        # What is there was never proven: the youngest that was.
        ("unknown", "", THREE),
        (None, "", THREE),
        ("three", ONE.name, ONE),
    ],
)
def test_what_to_go_back_to(definition, name, expected):
    assert earlier([ONE, TWO, THREE], definition, name) == expected


@pytest.mark.parametrize(("there", "definition", "name"), [([], "one", ""), ([ONE], "one", ""), ([ONE], "one", "x")])
def test_nothing_to_go_back_to(there, definition, name):
    with pytest.raises(ReleaseError, match="there are: "):
        earlier(there, definition, name)


def test_releases_on_disk(tmp_path):
    for one in (ONE, TWO, THREE):
        record(tmp_path, one, 2)
    (tmp_path / "releases/broken.json").write_text("{")
    assert read_releases(tmp_path) == [TWO, THREE]
    assert (tmp_path / f"releases/{THREE.name}.json").stat().st_mode & 0o777 == 0o640
    assert not list(tmp_path.glob("releases/*.new"))
