"""Who makes which video."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.generation import Execution, Request, request_identifier
from ansible.module_utils.opensora.generation_share import Renderer, share


def requests(count, **options):
    return [Request(f"prompt {number}", **{"config": "256px", "seed": 42, **options}) for number in range(count)]


def renderer(name, gpus=1, image="key", **options):
    return Renderer(
        name, image, tuple(f"{name}-{i}" for i in range(gpus)), options.pop("execution", Execution()), **options
    )


def identifiers(wanted, image="key"):
    return [request_identifier(request, image) for request in wanted]


def told(assignments):
    return [(a.host, a.action) for a in assignments]


@pytest.mark.parametrize(
    ("gpus", "count", "expected"),
    [
        ((1, 1), 4, "abab"),
        ((2, 1), 6, "ababaa"),
        ((2, 1), 5, "abaab"),
        ((8, 1), 9, "aaaaaaaab"),
        ((0, 0), 2, "ab"),
        ((1, 1, 1), 2, "ab"),
        ((1,), 3, "aaa"),
    ],
)
def test_spread_over_the_gpus(gpus, count, expected):
    hosts = [renderer(name, number) for name, number in zip("abc", gpus)]
    found = share(requests(count), hosts, {})
    counts = {name: [a.host for a in found].count(name) for name in "abc"}
    assert counts == {name: expected.count(name) for name in "abc"}
    assert found == share(requests(count), hosts, {})
    assert [a.request for a in found] == requests(count)


def test_a_host_that_offloads_makes_one_at_a_time():
    hosts = [renderer("a", 4, execution=Execution(offload_model=True)), renderer("b", 4)]
    assert [a.host for a in share(requests(5), hosts, {})].count("b") == 4


def test_long_videos_go_where_the_gpus_are():
    wanted = requests(2, num_frames=17) + requests(1, config="768px")
    found = share(wanted, [renderer("a", 1), renderer("b", 8)], {})
    assert found[2].host == "b"
    assert {a.host for a in found[:2]} == {"a"}


def test_nothing_is_made_twice():
    wanted = requests(5)
    keys = identifiers(wanted)
    hosts = [
        renderer("a", finished=frozenset({keys[1]})),
        renderer("b", finished=frozenset({keys[0], keys[1]}), begun=frozenset({keys[2], keys[3]})),
    ]
    found = share(wanted, hosts, {keys[0]: ["gone"]})
    # On the control node, though from a host that is not there any more; on a; being made on b; nowhere.
    assert told(found) == [("gone", "stored"), ("a", "fetch"), ("b", "render"), ("b", "render"), ("a", "render")]


def test_another_image_makes_other_videos():
    wanted = requests(1)
    stored = {identifiers(wanted, "old")[0]: ["a"]}
    assert told(share(wanted, [renderer("a", image="new")], stored)) == [("a", "render")]
    # As long as one host has that image, the video is one of its.
    assert told(share(wanted, [renderer("b", image="new"), renderer("c", image="old")], stored)) == [("a", "stored")]


def test_again():
    wanted = requests(1)
    key = identifiers(wanted)[0]
    host = renderer("a", finished=frozenset({key}))
    assert told(share(wanted, [host], {key: ["a"]}, again=True)) == [("a", "render")]


def test_each_host():
    wanted = requests(2)
    keys = identifiers(wanted)
    hosts = [renderer("a"), renderer("b", finished=frozenset({keys[1]}))]
    found = share(wanted, hosts, {keys[0]: ["a"]}, each_host=True)
    assert told(found) == [("a", "stored"), ("b", "render"), ("a", "render"), ("b", "fetch")]
