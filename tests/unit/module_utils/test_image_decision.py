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
    of_repository,
    recorded_inputs,
    removable_images,
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


@pytest.mark.parametrize(
    ("images", "force", "action"),
    [
        ([], False, "receive"),
        ([image(OTHER)], False, "receive"),
        ([image()], False, "none"),
        ([image()], True, "receive"),
    ],
)
def test_decision_with_an_archive(images, force, action):
    assert decide(KEY, images, "", None, force=force, archive=True).action == action


@pytest.mark.parametrize(
    ("images", "pinned", "action"),
    [
        ([image(KEY, REPOSITORY)], DIGEST, "none"),
        ([image(KEY, REPOSITORY)], "sha256:" + "e" * 64, "pull"),
        ([image(KEY)], DIGEST, "pull"),
        ([], DIGEST, "pull"),
    ],
)
def test_decision_with_a_digest_that_was_just_pushed(images, pinned, action):
    assert decide(KEY, images, REPOSITORY, None, pinned=pinned).action == action


def test_names_and_size_of_the_listing():
    listing = [{"Id": "sha256:1", "RepoTags": ["opensora:1", "<none>:<none>"], "RepoDigests": [], "Size": 7}]
    (found,) = local_images(listing)
    assert (found.tags, found.size) == (("opensora:1",), 7)
    assert found.repositories == {"docker.io/library/opensora"}
    assert of_repository([found], "opensora") == [found]
    assert of_repository([found], REPOSITORY) == []


def hosts(*answers):
    """Hosts gpu01, gpu02, ... from (key, action) and anything that differs from the ordinary."""
    return [
        HostAnswer(f"gpu0{number}", key, action, **dict(zip(rest[::2], rest[1::2])))
        for number, (key, action, *rest) in enumerate(answers, 1)
    ]


BUILD, HAS, PULL, PUSH = (KEY, "build"), (KEY, "none"), (KEY, "pull"), (KEY, "push")
NEVER = ("shares", False)


@pytest.mark.parametrize(
    ("answers", "registry", "rebuild", "tasks"),
    [
        # Without a registry: one builds, the others get it, and the first of these has it fetched.
        ([BUILD], False, False, ["build"]),
        ([BUILD, BUILD, BUILD], False, False, ["build", "receive gpu01 gpu02", "receive gpu01 gpu02"]),
        # A host that has it gives it away, wherever it stands.
        ([BUILD, HAS, BUILD], False, False, ["receive gpu02 gpu01", "none", "receive gpu02 gpu01"]),
        ([HAS, HAS], False, False, ["none", "none"]),
        # Another platform is another key.
        ([BUILD, (OTHER, "build"), BUILD], False, False, ["build", "build", "receive gpu01 gpu03"]),
        (
            [BUILD, (OTHER, "build"), BUILD, (OTHER, "build")],
            False,
            False,
            ["build", "build", "receive gpu01 gpu03", "receive gpu02 gpu04"],
        ),
        # Who does not share builds, and may still be the source of others.
        ([(*BUILD, *NEVER), (*BUILD, *NEVER)], False, False, ["build", "build"]),
        ([(*BUILD, *NEVER), BUILD], False, False, ["build", "receive gpu01 gpu02"]),
        ([BUILD, (*BUILD, *NEVER)], False, False, ["build", "build"]),
        # A rebuild takes nothing that was there before it.
        ([HAS, HAS], False, True, ["build", "receive gpu01 gpu02"]),
        ([BUILD, HAS], False, True, ["build", "receive gpu01 gpu02"]),
        # Earlier batches: one that was given its image in this run is a source, one that failed is not in the list.
        ([(*BUILD, "in_batch", False, "provided", True), BUILD], False, False, [None, "receive gpu01 gpu02"]),
        ([(*HAS, "in_batch", False), BUILD], False, False, [None, "receive gpu01 gpu02"]),
        ([(*HAS, "in_batch", False, "provided", True), HAS], False, True, [None, "receive gpu01 gpu02"]),
        # With a registry.
        ([BUILD, BUILD], True, False, ["build", "pull"]),
        ([PULL, PULL], True, False, ["pull", "pull"]),
        ([HAS, PUSH, BUILD], True, False, ["none", "build", "pull"]),
        ([BUILD, (OTHER, "build")], True, False, ["build", "build"]),
        ([HAS, HAS], True, True, ["build", "pull"]),
    ],
)
def test_who_builds(answers, registry, rebuild, tasks):
    asked = hosts(*answers)
    for host, expected in zip(asked, tasks):
        if expected is None:
            continue
        found = assign(asked, host.name, registry=registry, rebuild=rebuild)
        text = f"receive {found.source} {found.fetcher}" if found.task == "receive" else found.task
        assert text == expected, host.name


def named(number, *names, created=None, key=OTHER):
    tags = tuple(names or (f"opensora:{number}",))
    return LocalImage(f"id{number}", number if created is None else created, (), {BUILD_KEY_LABEL: key}, tags)


OLD = [named(number) for number in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("images", "used", "keep", "provided", "removed"),
    [
        (OLD, (), 2, "id4", ["id1"]),
        (OLD, (), 1, "id4", ["id1", "id2"]),
        (OLD, (), 3, "id4", []),
        (OLD, (), 9, "id4", []),
        # The image in use is the one to go back to; it also counts.
        (OLD, ("id1",), 1, "id4", ["id2", "id3"]),
        (OLD, ("id1", "id2", "id3"), 1, "id4", []),
        # The provided one stays although it is the oldest, as after a return to former inputs.
        (OLD, (), 1, "id1", ["id2", "id3"]),
        # Only predicted: the one to come is none of these.
        (OLD, (), 2, "", ["id1", "id2"]),
        # Never less than the previous one.
        (OLD, (), 0, "id4", ["id1", "id2"]),
        # Somebody else's name, another image of the project, and one without a name.
        ([named(1, "opensora:1", "backup:1"), *OLD[1:]], (), 1, "id4", ["id2"]),
        ([named(1, "registry.example/opensora:1"), *OLD[1:]], (), 1, "id4", ["id2"]),
        ([LocalImage("id1", 1, (), {BUILD_KEY_LABEL: OTHER}), *OLD[1:]], (), 1, "id4", ["id2"]),
        # Without a name and of the same build key: what a rebuild replaced.
        ([LocalImage("id1", 1, (), {BUILD_KEY_LABEL: KEY}), *OLD[1:]], (), 1, "id4", ["id1", "id2"]),
        ([], (), 1, "", []),
    ],
)
def test_images_that_are_too_many(images, used, keep, provided, removed):
    found = removable_images(images, "opensora", KEY, used=used, keep=keep, provided=provided)
    assert [entry.id for entry in found] == removed
