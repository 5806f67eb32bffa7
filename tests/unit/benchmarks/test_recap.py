from __future__ import annotations

import pytest

from benchmarks.measure.recap import HostCounts, changed_tasks, parse_recap

OUTPUT = """
PLAY [Engine] ******************************************************************

TASK [docker_engine : Start the engine] ****************************************
ok: [gpu01]
changed: [gpu02]

RUNNING HANDLER [Restart docker] ***********************************************
changed: [gpu02] => {"msg": "x"}
changed: [gpu01]

TASK [Read the host] ***********************************************************
\x1b[0;33mchanged: [gpu01]\x1b[0m

PLAY RECAP *********************************************************************
gpu01                      : ok=41   changed=1  unreachable=0    failed=0    skipped=12   rescued=2    ignored=3
\x1b[0;33mgpu02\x1b[0m   : \x1b[0;32mok=7   \x1b[0m changed=2  unreachable=1  failed=4  skipped=0  rescued=0  ignored=0
"""


def test_the_recap_of_each_host() -> None:
    assert parse_recap(OUTPUT) == {
        "gpu01": HostCounts(ok=41, changed=1, skipped=12, rescued=2, ignored=3),
        "gpu02": HostCounts(ok=7, changed=2, unreachable=1, failed=4),
    }


def test_of_two_recaps_the_last_one_counts() -> None:
    second = "PLAY RECAP ***\nother : ok=1 changed=0 unreachable=0 failed=0 skipped=0 rescued=0 ignored=0\n"
    assert list(parse_recap(OUTPUT + second)) == ["other"]


def test_what_looks_like_a_recap_before_it_is_none() -> None:
    assert parse_recap("gpu01 : ok=41 changed=1\n") == {}


@pytest.mark.parametrize(
    ("counts", "is_idle"),
    [
        (HostCounts(ok=3), True),
        (HostCounts(ok=3, skipped=9, rescued=1, ignored=1), True),
        (HostCounts(ok=3, changed=1), False),
        (HostCounts(ok=3, failed=1), False),
        (HostCounts(ok=3, unreachable=1), False),
        (HostCounts(), False),
    ],
)
def test_idle(counts, is_idle) -> None:
    assert counts.is_idle is is_idle


def test_the_tasks_that_changed_something() -> None:
    assert changed_tasks(OUTPUT) == ["docker_engine : Start the engine", "Restart docker", "Read the host"]
