# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.checkpoint_decision import Item, Room, decide, room_needed
from ansible.module_utils.opensora.checkpoint_manifest import Manifest, ManifestFile
from ansible.module_utils.opensora.checkpoint_state import FoundFile, FoundState

A = ManifestFile("a.bin", 100, "a" * 64)
B = ManifestFile("sub/b.bin", 50, "b" * 64)
MANIFEST = Manifest("o/n", "0" * 40, (A, B))
PLENTY = Room(10**12, 0)
GOOD_A = FoundFile("file", 100, 0o644, "a" * 64)
GOOD_B = FoundFile("file", 50, 0o644, "b" * 64)


def found(a=GOOD_A, b=GOOD_B, parts=None, marker=MANIFEST.digest, folders=None):
    files = {"a.bin": a, "sub/b.bin": b}
    return FoundState(files, {".": 0o755, "sub": 0o755} if folders is None else folders, parts or {}, marker)


def unread(size, **more):
    return FoundFile("file", size, 0o644, **more)


@pytest.mark.parametrize(
    ("state", "action", "wanted", "fetch_bytes"),
    [
        pytest.param(found(), "none", [], 0, id="all there"),
        pytest.param(found(marker=""), "complete", [], 0, id="not noted"),
        pytest.param(found(marker="other"), "complete", [], 0, id="another manifest"),
        pytest.param(found(a=FoundFile()), "fetch", [("a.bin", "missing")], 100, id="missing"),
        pytest.param(found(a=unread(99)), "fetch", [("a.bin", "damaged")], 100, id="truncated"),
        pytest.param(found(a=unread(101)), "fetch", [("a.bin", "damaged")], 100, id="longer"),
        pytest.param(found(a=unread(100, sha256="c" * 64)), "fetch", [("a.bin", "damaged")], 100, id="altered"),
        pytest.param(found(a=unread(100)), "none", [], 0, id="not read"),
        pytest.param(found(a=FoundFile("link")), "fetch", [("a.bin", "damaged")], 100, id="link"),
        pytest.param(
            found(a=FoundFile(), b=FoundFile(), parts={"a" * 64: 60}),
            "fetch",
            [("a.bin", "missing"), ("sub/b.bin", "missing")],
            90,
            id="begun",
        ),
        pytest.param(
            found(a=FoundFile(), parts={"a" * 64: 101}), "fetch", [("a.bin", "missing")], 100, id="part too long"
        ),
        pytest.param(found(parts={"a" * 64: 60}), "none", [], 0, id="part of no use"),
        pytest.param(found(a=FoundFile("file", 100, 0o600, "a" * 64)), "repair", [], 0, id="not readable"),
        pytest.param(found(a=FoundFile("file", 100, 0o666, "a" * 64)), "repair", [], 0, id="writable"),
        pytest.param(found(folders={".": 0o755, "sub": 0o700}), "repair", [], 0, id="folder closed"),
        pytest.param(found(folders={".": 0o775, "sub": 0o755}), "none", [], 0, id="folder of a group"),
    ],
)
@pytest.mark.parametrize("source", ["hub", "mirror", "parts"])
def test_what_is_to_be_done(state, action, wanted, fetch_bytes, source):
    decision = decide(MANIFEST, state, source, "/w", PLENTY)
    assert decision.action == action
    assert [(item.file.path, item.status) for item in decision.wanted] == wanted
    assert decision.fetch_bytes == fetch_bytes
    assert decision.problems == ()


def test_permissions_are_mended_only_where_they_are_wrong():
    state = found(a=FoundFile("file", 100, 0o620, "a" * 64), folders={".": 0o750, "sub": 0o755})
    assert decide(MANIFEST, state, "hub", "/w", PLENTY).modes == {".": 0o755, "a.bin": 0o644}


@pytest.mark.parametrize(
    ("state", "codes", "evidence"),
    [
        pytest.param(found(), [], [], id="right"),
        pytest.param(found(marker=""), [], [], id="right and never noted"),
        pytest.param(
            found(a=unread(7), b=FoundFile()),
            ["checkpoint.incomplete"],
            ["a.bin: it has 7 bytes, the manifest says 100", "sub/b.bin: it is not there"],
            id="missing",
        ),
        pytest.param(
            found(a=FoundFile("file", 100, 0o600, "a" * 64)), ["checkpoint.permissions"], ["a.bin"], id="closed"
        ),
    ],
)
def test_files_of_the_users_own_are_only_judged(state, codes, evidence):
    decision = decide(MANIFEST, state, "none", "/w", Room(0, 0))
    assert decision.action == "none"
    assert [problem.code for problem in decision.problems] == codes
    assert [line for problem in decision.problems for line in problem.evidence] == evidence


@pytest.mark.parametrize(
    ("state", "code", "says"),
    [
        (found(a=FoundFile("other")), "checkpoint.not_a_file", "/w/a.bin"),
        (found(b=FoundFile(linked_parent="sub")), "checkpoint.linked_folder", "/w/sub"),
    ],
)
def test_what_must_not_be_written_over_is_refused(state, code, says):
    problems = decide(MANIFEST, state, "hub", "/w", PLENTY).problems
    assert [problem.code for problem in problems] == [code]
    assert says in problems[0].message


def item(size, there=0, collected=0):
    return Item(ManifestFile("x", size, "d" * 64), "missing", "", there, collected)


@pytest.mark.parametrize(
    ("items", "room"),
    [
        ([], 0),
        ([item(100), item(50)], 150),
        ([item(100, collected=60)], 40),
        # The old file is gone when the new one has taken its place.
        ([item(100, there=100), item(100, there=100)], 100),
        ([item(100, there=80), item(50)], 100),
        ([item(10, there=500), item(400)], 10),
    ],
)
def test_room(items, room):
    assert room_needed(items) == room


@pytest.mark.parametrize(
    ("free", "reserve", "fits"), [(100, 0, True), (99, 0, False), (110, 10, True), (109, 10, False)]
)
def test_a_disk_that_is_too_small_is_refused(free, reserve, fits):
    decision = decide(MANIFEST, found(a=FoundFile()), "mirror", "/w", Room(free, reserve))
    assert [problem.code for problem in decision.problems] == ([] if fits else ["checkpoint.no_room"])
    if not fits:
        assert f"opensora_checkpoint_reserve_bytes is {reserve}" in decision.problems[0].message


def test_a_disk_that_is_full_does_not_matter_when_all_is_there():
    assert decide(MANIFEST, found(), "mirror", "/w", Room(0, 1)).problems == ()
