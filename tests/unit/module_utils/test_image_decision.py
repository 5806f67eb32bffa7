# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.build_key import BUILD_KEY_LABEL, INPUTS_LABEL
from ansible.module_utils.opensora.image_decision import (
    HostAnswer,
    LocalImage,
    assign,
    decide,
    local_images,
    recorded_inputs,
    surplus,
)

KEY, OTHER = "k" * 64, "o" * 64
REPOSITORY = "registry.example/site/opensora"
DIGEST = "sha256:" + "d" * 64


def image(key=KEY, *repositories, created=1):
    digests = tuple(f"{name}@{DIGEST}" for name in repositories)
    return LocalImage(f"sha256:{key}{created}", created, digests, {BUILD_KEY_LABEL: key})


@pytest.mark.parametrize(
    ("images", "repository", "registry_digest", "force", "action"),
    [
        ([], "", None, False, "build"),
        ([image(OTHER)], "", None, False, "build"),
        ([image()], "", None, False, "none"),
        ([image()], "", None, True, "build"),
        ([], REPOSITORY, None, False, "build"),
        ([], REPOSITORY, DIGEST, False, "pull"),
        ([image(OTHER, REPOSITORY)], REPOSITORY, DIGEST, False, "pull"),
        ([image()], REPOSITORY, None, False, "push"),
        # Two hosts built at the same time: the one that the registry took counts for all.
        ([image()], REPOSITORY, DIGEST, False, "pull"),
        ([image(KEY, REPOSITORY)], REPOSITORY, None, False, "none"),
        ([image(KEY, "registry.example/site/other")], REPOSITORY, None, False, "push"),
        ([image(created=2), image(KEY, REPOSITORY)], REPOSITORY, None, False, "none"),
    ],
)
def test_decision(images, repository, registry_digest, force, action):
    decision = decide(KEY, images, repository, registry_digest, force=force)
    assert decision.action == action
    assert decision.reason
    assert (decision.image is not None) == (action in ("none", "push"))


def test_listing_of_the_engine():
    listing = [
        {"Id": "sha256:1", "Created": 1, "RepoDigests": None, "Labels": None},
        {"Id": "sha256:2", "Created": 2, "RepoDigests": [f"opensora@{DIGEST}", "<none>@<none>"], "Labels": {"a": "b"}},
    ]
    found = local_images(listing)
    assert [entry.id for entry in found] == ["sha256:2", "sha256:1"]
    assert found[0].digest_in("opensora") == DIGEST
    assert found[0].digest_in(REPOSITORY) is None


@pytest.mark.parametrize(
    ("label", "expected"),
    [('{"a":"1"}', {"a": "1"}), ("no json", {}), ("[]", {}), (None, {})],
)
def test_recorded_inputs(label, expected):
    labels = {} if label is None else {INPUTS_LABEL: label}
    assert recorded_inputs(LocalImage("i", 0, (), labels)) == expected
    assert recorded_inputs(None) == {}


def named(number, *tags, label=True):
    labels = {BUILD_KEY_LABEL: f"key{number}"} if label else {}
    return LocalImage(f"id{number}", number, (), labels, tags)


OURS = [named(number, f"opensora:key{number}") for number in (5, 4, 3, 2, 1)]


@pytest.mark.parametrize(
    ("images", "keep", "current", "removed"),
    [
        (OURS, 3, "id5", ["id2", "id1"]),
        (OURS, 2, "id5", ["id3", "id2", "id1"]),
        (OURS, 9, "id5", []),
        # Back to an old one: it counts first, the newest of the others is the previous one.
        (OURS, 2, "id1", ["id4", "id3", "id2"]),
        # Predicted while the wanted one is still to come.
        (OURS, 3, None, ["id3", "id2", "id1"]),
        # Another project's, and one that has a second name of somebody else's.
        ([*OURS[:2], named(3, "other:key3"), named(2, "opensora:key2", "theirs:1")], 2, "id5", []),
        # One that lost its name to a newer build of the same key.
        ([*OURS[:2], named(3)], 2, "id5", ["id3"]),
        ([*OURS[:2], named(3, "opensora:key3", label=False)], 2, "id5", []),
    ],
)
def test_surplus(images, keep, current, removed):
    assert [image.id for image in surplus(images, "opensora", keep, current)] == removed


def said(text):
    """Read hosts written as ``name:key:action``; a leading ``-`` is one of an earlier batch."""
    return [
        HostAnswer(word.lstrip("-").split(":")[0], *word.split(":")[1:], not word.startswith("-"))
        for word in text.split()
    ]


@pytest.mark.parametrize(
    ("hosts", "name", "options", "expected"),
    [
        # Without a registry: the first builds, the others are given what it has.
        ("a:k:build b:k:build c:k:build", "c", {}, ("a", "a", ["b", "c"])),
        ("a:k:build", "a", {}, ("a", "a", [])),
        # One has it: nobody builds.
        ("a:k:build b:k:none c:k:build", "a", {}, ("", "b", ["a", "c"])),
        # It may be of an earlier batch, where it has built it or had it.
        ("-a:k:none b:k:build", "b", {}, ("", "a", ["b"])),
        ("-a:k:build b:k:build c:k:build", "c", {}, ("", "a", ["b", "c"])),
        ("-a:k:build b:k:none", "b", {"rebuild": True}, ("", "a", ["b"])),
        # Other images are other groups.
        ("a:k:build b:x:build c:x:build", "c", {}, ("b", "b", ["c"])),
        ("a:k:none b:x:build", "b", {}, ("b", "b", [])),
        # Built anew although it is there.
        ("a:k:none b:k:none", "b", {"rebuild": True}, ("a", "a", ["b"])),
        ("a:k:build b:k:build", "b", {"share": False}, ("b", "", [])),
        # With a registry: one builds or makes up for a push, the others pull.
        ("a:k:pull b:k:build c:k:build", "c", {"registry": True}, ("b", "", [])),
        ("a:k:none b:k:push", "a", {"registry": True}, ("b", "", [])),
        ("a:k:pull b:k:pull", "a", {"registry": True}, ("", "", [])),
        ("a:k:none b:k:pull", "b", {"registry": True, "rebuild": True}, ("a", "", [])),
    ],
)
def test_assignment(hosts, name, options, expected):
    found = assign(said(hosts), name, **{"registry": False, "share": True, "rebuild": False} | options)
    assert (found.builder, found.donor, list(found.receivers)) == expected
