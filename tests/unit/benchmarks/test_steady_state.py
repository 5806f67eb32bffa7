from __future__ import annotations

import pytest

from benchmarks.measure.playbook import Run, RunError
from benchmarks.measure.recap import HostCounts
from benchmarks.steady_state.steady_state import Side, verdicts


def run(seconds: float, *, tasks: int = 20, changed: int = 0) -> Run:
    return Run(
        seconds=seconds,
        processor_seconds=1,
        main_process_seconds=1,
        peak_bytes=1,
        peak_processes=1,
        hosts={"gpu01": HostCounts(ok=tasks, changed=changed)},
        output="TASK [Write a file] ***\nchanged: [gpu01]\n" if changed else "",
    )


def side(*seconds: float, tasks: int = 20) -> Side:
    made = Side("a side", [], {})
    made.runs = [run(each, tasks=tasks) for each in seconds]
    return made


@pytest.mark.parametrize(
    ("ours", "plain", "pipelined", "met"),
    [
        (side(5, 6, 7), side(12, 12, 12), side(9, 9, 9), [True, True, True]),
        (side(5, 6.1, 7), side(12, 12, 12), side(9, 9, 9), [False, True, True]),
        (side(5, 6.4, 7), side(20, 20, 20), side(9, 9, 9), [True, False, True]),
        (side(6, tasks=26), side(12), side(9), [True, True, False]),
        (side(6, tasks=25), side(12), side(9), [True, True, True]),
    ],
)
def test_targets(ours, plain, pipelined, met) -> None:
    assert [is_met for _, is_met in verdicts(ours, plain, pipelined)] == met


def test_a_run_that_changes_something_is_no_steady_state() -> None:
    run(1).require_idle("ours")
    with pytest.raises(RunError, match=r"ours: not at changed=0 on gpu01; changed by \['Write a file'\]"):
        run(1, changed=1).require_idle("ours")
