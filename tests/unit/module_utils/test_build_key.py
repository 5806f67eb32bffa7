# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.build_key import build_inputs, build_key, changed_inputs, check_context_path

BUILD = {
    "dockerfile": "FROM x\n",
    "context": {"a.txt": "1", "b/c.txt": "2"},
    "build_arguments": {"PYTHON_VERSION": "3.10", "EMPTY": ""},
    "base_images": {"base": "sha256:" + "a" * 64},
    "revision": "f" * 40,
    "target": "",
    "platform": "linux/amd64",
}


def inputs(**changes):
    return build_inputs(**{**BUILD, **changes})


def test_key_is_stable_across_runs_hosts_and_order():
    reordered = inputs(context=dict(reversed(list(BUILD["context"].items()))))
    assert build_key(inputs()) == build_key(reordered)
    # The value itself: a change of it makes every site build again, so it must be meant.
    assert build_key(inputs()) == "8606ed613b60e88b0cdcf953379a3433afdb66070dd0a4470be3215b47781401"


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"dockerfile": "FROM x\n#\n"}, ["dockerfile"]),
        ({"context": {"a.txt": "1 ", "b/c.txt": "2"}}, ["context/a.txt"]),
        ({"context": {"a.txt": "1"}}, ["context/b/c.txt"]),
        ({"build_arguments": {"PYTHON_VERSION": "3.11", "EMPTY": ""}}, ["build-argument/PYTHON_VERSION"]),
        ({"build_arguments": {"PYTHON_VERSION": "3.10"}}, ["build-argument/EMPTY"]),
        ({"base_images": {"base": "sha256:" + "b" * 64}}, ["base-image/base"]),
        ({"revision": "e" * 40}, ["revision"]),
        ({"target": "runtime"}, ["target"]),
        ({"platform": "linux/arm64"}, ["platform"]),
    ],
)
def test_every_input_changes_the_key_and_is_named(change, names):
    assert build_key(inputs(**change)) != build_key(inputs())
    assert changed_inputs(inputs(), inputs(**change)) == names


def test_a_value_can_not_pass_for_another_input():
    one = inputs(build_arguments={"A": "1", "B": "2"})
    other = inputs(build_arguments={"A": '1","build-argument/B":"2'})
    assert build_key(one) != build_key(other)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "", "a//b", "./a", "Dockerfile"])
def test_paths_that_leave_the_context(path):
    with pytest.raises(ValueError, match=r"context"):
        check_context_path(path)


def test_paths_inside_the_context():
    check_context_path("ca-certificates/site.crt")


def test_ids_of_secrets_are_inputs_and_none_leaves_the_key_as_it_was():
    assert build_key(inputs(build_secrets=())) == build_key(inputs())
    assert changed_inputs(inputs(), inputs(build_secrets=["netrc"])) == ["build-secret/netrc"]
