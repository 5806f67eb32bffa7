# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""How the harness reads a run and compares what belongs to others."""

from __future__ import annotations

import pytest
from harness.planted import Possessions, differences
from harness.site import Run

OURS = Possessions("hash /srv/a\n", "{}", ("id", "started"))


def run(*lines):
    return Run("name", {}, lines=list(lines))


@pytest.mark.parametrize(
    ("line", "layers"),
    [
        ("    msg: '[packages] dpkg is broken (packages.broken)'", ["packages"]),
        ("        gpu01: [disk] it is full (disk.full)", ["disk"]),
        ("[engine] it is down", ["engine"]),
        ("TASK [image : Build it]", []),
        ("fatal: [gpu01]: FAILED! =>", []),
        ("    msg: the [engine]s of many", []),
    ],
)
def test_the_layers_that_a_run_names(line, layers):
    assert run("PLAY [image] ***", line).layers == layers


def test_the_message_of_a_run():
    assert run("    msg: it failed", "gpu01: [network] no answer (x)").message == "[network] no answer (x)"
    assert run("PLAY", "    msg: it failed").message == "msg: it failed"
    assert run("PLAY").message == ""


def test_what_a_run_changed():
    assert run("gpu01 : ok=3 changed=2 failed=0", "gpu02 : ok=3 changed=1").changed == 3
    assert run("gpu01 : ok=3 changed=0 failed=0").changed == 0


@pytest.mark.parametrize(
    ("after", "restarted", "lost"),
    [
        (OURS, False, []),
        (Possessions("hash /srv/a\n", "{}", ("id", "later")), True, []),
        (Possessions("hash /srv/a\n", "{}", ("id", "later")), False, ["somebody else's container was restarted"]),
        (Possessions("hash /srv/a\n", "{}", ("other", "later")), True, ["somebody else's container is another one"]),
        (Possessions("hash /srv/a\n", "{ }", ("id", "started")), False, ["daemon.json was '{}' and is '{ }'"]),
        (Possessions("dead /srv/a\n", "{}", ("id", "started")), False, ["files of others differ: ['dead', 'hash']"]),
    ],
)
def test_what_others_have_lost(after, restarted, lost):
    assert differences(OURS, after, restarted=restarted) == lost
