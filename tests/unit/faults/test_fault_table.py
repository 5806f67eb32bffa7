# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The table of faults, and that docs/reliability.md has exactly its rows."""

from __future__ import annotations

import argparse
import re

import fault_runs
import pytest
from ansible.module_utils.opensora.problems import LAYERS
from harness import report
from harness.cases import CASES
from harness.faults import FAULTS

EARLY_MIDDLE_LATE = 3
BEYOND_MOMENTS = {"ssh-interrupted", "image-label", "image-layer", "registry-blob"}


def test_the_documents_table_has_exactly_the_cases():
    rows = report.rows_of(report.DOCUMENT.read_text(encoding="utf-8"))
    assert list(rows) == [(case.fault.title, case.moment.name) for case in CASES]
    assert all(len(cells) == len(report.HEADER) for cells in rows.values())


def test_names_are_unique_and_short_enough_to_type():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z-]+@[a-z-]+", name) for name in names)
    assert len({fault.title for fault in FAULTS}) == len(FAULTS)


def test_every_layer_is_one_of_the_projects():
    named = {layer for fault in FAULTS for moment in fault.moments for layer in (*fault.layers, *moment.layers)}
    assert named <= set(LAYERS)


def test_a_fault_that_may_fail_a_run_says_which_layer_is_right():
    for fault in FAULTS:
        for moment in fault.moments:
            killed = fault.name == "controller-killed"
            assert killed or moment.succeeds is True or moment.layers or fault.layers, (fault.name, moment.name)


def test_faults_happen_at_several_moments():
    few = {fault.name for fault in FAULTS if len(fault.moments) < EARLY_MIDDLE_LATE - 1}
    assert few == BEYOND_MOMENTS


def test_the_short_set_is_short():
    assert 3 <= sum(case.moment.short for case in CASES) <= 5


def arguments(**given):
    return argparse.Namespace(**{"only": None, "set": "short", **given})


def test_choosing_cases():
    assert fault_runs.chosen(arguments(set="all")) == list(CASES)
    assert all(case.moment.short for case in fault_runs.chosen(arguments()))
    names = [case.name for case in fault_runs.chosen(arguments(only=["disk-bytes@image-build", "ssh-interrupted"]))]
    assert names == ["ssh-interrupted@image-build", "disk-bytes@image-build"]
    with pytest.raises(SystemExit, match="there is no case disk-byte"):
        fault_runs.chosen(arguments(only=["disk-byte"]))


VERDICT = {
    "case": CASES[0].name,
    "ended": "failed",
    "message": "[disk] a | b\n" + "x" * 200,
    "problems": [],
    "seconds": 21.4,
    "at": "2026-01-02 03:04",
    "commit": "abc1234",
}


def test_a_row():
    cells = report.row(CASES[0], VERDICT)
    assert cells[2].startswith(r"[disk] a \| b x")
    assert cells[2].endswith("…")
    assert cells[3:] == ("fails with that message; the next run converges", "21 s", "2026-01-02, abc1234")
    assert report.row(CASES[0], {**VERDICT, "problems": ["it was lost"]})[3] == "**not as it has to be**: it was lost"
    assert report.row(CASES[0], None)[3] == "not seen yet"


def test_what_was_not_seen_again_stays_as_it_was(tmp_path):
    document = tmp_path / "reliability.md"
    document.write_text(f"before\n{report.BEGIN}\n{report.END}\nafter\n", encoding="utf-8")
    report.write({CASES[0].name: VERDICT}, document)
    first = document.read_text(encoding="utf-8")
    assert first.startswith("before\n")
    assert first.endswith("\nafter\n")
    report.write({CASES[1].name: {**VERDICT, "commit": "fff0000"}}, document)
    rows = list(report.rows_of(document.read_text(encoding="utf-8")).values())
    assert [cells[5] for cells in rows[:3]] == ["2026-01-02, abc1234", "2026-01-02, fff0000", ""]
    assert len(rows) == len(CASES)
