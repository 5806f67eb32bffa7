# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import os

import pytest
from ansible.module_utils.opensora.folder_access import allows, denial_problem, denied, give_to_user

USER, GROUP, OTHER = 4001, 4002, 4003


def status(mode, uid, gid):
    return os.stat_result((mode, 0, 0, 0, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "wanted", "expected"),
    [
        (0o700, USER, OTHER, 7, True),
        (0o070, OTHER, GROUP, 7, True),
        (0o007, OTHER, OTHER, 7, True),
        # The first class that fits decides, even where a later one would allow more.
        (0o077, USER, GROUP, 4, False),
        (0o707, OTHER, GROUP, 4, False),
        (0o744, OTHER, OTHER, 4, True),
        (0o744, OTHER, OTHER, 2, False),
    ],
)
def test_permissions(mode, uid, gid, wanted, expected):
    assert allows(status(mode, uid, gid), USER, GROUP, wanted) is expected


@pytest.fixture
def tree(tmp_path):
    """Weights, some of them of somebody who shows them to nobody."""
    top = tmp_path / "ckpts"
    (top / "below").mkdir(parents=True)
    for name in ("open", "closed", "below/closed"):
        (top / name).write_text("x")
        (top / name).chmod(0o644 if name == "open" else 0o600)
    (top / "link").symlink_to("/nowhere")
    return top


def entry(path, *, writable=False):
    return {"path": str(path), "uid": USER, "gid": GROUP, "writable": writable}


def test_everything_that_is_read_has_to_be_readable(tree):
    found = denied(entry(tree))
    assert sorted(item.path for item in found) == [str(tree / "below/closed"), str(tree / "closed")]
    problem = denial_problem(entry(tree), found)
    assert problem.code == "directory.not_readable"
    assert f"chown --recursive {USER}:{GROUP} {tree}" in problem.next_action
    assert "and 1 more below" in problem.message


def test_where_something_is_written_only_the_folder_counts(tree):
    (found,) = denied(entry(tree, writable=True))
    assert found.path == str(tree)
    assert f"chown {USER}:{GROUP} {tree} " in denial_problem(entry(tree, writable=True), [found]).next_action
    assert denied(entry(tree / "missing")) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_only_what_is_denied_is_given_away(tree):
    give_to_user(entry(tree), denied(entry(tree)))
    assert denied(entry(tree)) == []
    assert (tree / "closed").stat().st_uid == USER
    assert (tree / "open").stat().st_uid == 0
    assert (tree / "closed").stat().st_mode & 0o777 == 0o600


def test_what_fetching_the_weights_remembers_is_not_the_services(tree):
    for name in ("open", "closed", "below/closed"):
        (tree / name).chmod(0o644)
    state = tree / ".opensora-checkpoint"
    (state / "parts").mkdir(parents=True, mode=0o700)
    (state / "parts" / "x.part").touch(0o600)
    (state / "parts").chmod(0o700)
    assert denied(entry(tree)) == []
