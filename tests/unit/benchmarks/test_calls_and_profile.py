from __future__ import annotations

import json

import pytest

from benchmarks.measure.calls import Call, covered_seconds, parse_calls
from benchmarks.measure.profile import profile, profile_table


def test_calls_in_the_order_of_their_begin() -> None:
    assert parse_calls("3000000000 4500000000 sftp\n1000000000 2000000000 ssh\n") == [
        Call(1.0, 2.0, "ssh"),
        Call(3.0, 4.5, "sftp"),
    ]


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [
        ([], 0),
        ([(1, 2), (3, 5)], 3),
        ([(1, 4), (2, 3)], 3),
        ([(2, 5), (1, 3)], 4),
        ([(1, 2), (2, 3)], 2),
        ([(1, 5), (2, 3), (4, 6)], 5),
    ],
)
def test_time_in_which_a_call_was_under_way(spans, seconds) -> None:
    assert covered_seconds([Call(begin, end, "ssh") for begin, end in spans]) == seconds


NOTES = "\n".join(
    json.dumps({"begin": begin, "name": name, "place": ""})
    for begin, name in [(10.0, "(play A)"), (10.5, "Read"), (12.0, "Write"), (12.25, "(end)")]
)


def test_calls_belong_to_the_task_in_which_they_began() -> None:
    calls = [Call(10.6, 11.0, "ssh"), Call(11.5, 12.0, "ssh"), Call(12.0, 12.1, "ssh")]
    tasks = profile(NOTES, calls, run_began=9.0)
    assert [(task.name, task.seconds, task.calls) for task in tasks] == [
        ("(start)", 1.0, 0),
        ("(play A)", 0.5, 0),
        ("Read", 1.5, 2),
        ("Write", 0.25, 1),
    ]
    assert tasks[2].waited == pytest.approx(0.9)


def test_nothing_noted_is_no_profile() -> None:
    assert profile("", [], run_began=1.0) == []


def test_the_slowest_first_and_the_short_ones_in_one_line() -> None:
    tasks = profile(NOTES, [Call(10.6, 11.6, "ssh")])
    assert profile_table(tasks, shortest=0.4)[2:] == [
        "| Read | 1500 | 1 | 1000 | 500 |",
        "| (play A) | 500 | 0 | 0 | 500 |",
        "| 1 shorter than 400 ms | 250 | 0 | 0 | 250 |",
        "| all 3 | 2250 | 1 | 1000 | 1250 |",
    ]
