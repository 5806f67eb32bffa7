"""What became of each video."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.generation import Request
from ansible.module_utils.opensora.generation_outcome import HEADERS, failure_text, outcomes, row
from ansible.module_utils.opensora.generation_share import Assignment
from ansible.module_utils.opensora.problems import Problem

RECORD = {"seconds": 61.2, "video": {"seconds": 5.375}}
BROKEN = Problem("application", "generation.failed", "error", "it broke", "Mend it.").as_dict()


def assignment(action="render", host="a", key="k"):
    return Assignment(Request("sea", "256px", 42, row="p.csv:2"), host, key, action)


@pytest.mark.parametrize(
    ("action", "result", "is_stored", "state", "code"),
    [
        ("stored", None, True, "here already", None),
        ("render", {"state": "rendered"}, True, "rendered", None),
        ("render", {"state": "present"}, True, "fetched", None),
        ("fetch", {"state": "present"}, True, "fetched", None),
        ("render", {"state": "rendered"}, False, "failed", "generation.not_fetched"),
        ("render", {"state": "failed", "problem": BROKEN}, False, "failed", "generation.failed"),
        ("render", None, False, "not known", "generation.host_lost"),
    ],
)
def test_outcome(action, result, is_stored, state, code):
    stored = {("a", "k"): ("a/k.mp4", RECORD)} if is_stored else {}
    results = {"a": {"k": result}} if result else {}
    (found,) = outcomes([assignment(action)], results, stored, {})
    assert found.state == state
    assert found.problem.get("code") == code
    assert bool(found.file) == (is_stored and code is None)
    assert len(row(found)) == len(HEADERS)
    assert bool(failure_text([found])) == bool(code)


def test_check_mode_says_what_is_to_come():
    wanted = [assignment("stored"), assignment("render"), assignment("fetch")]
    found = outcomes(wanted, {}, {("a", "k"): ("a/k.mp4", RECORD)}, {}, is_check=True)
    assert [outcome.state for outcome in found] == ["here already", "to be rendered", "to be fetched"]
    assert failure_text(found) == ""


def test_a_host_that_refused_says_why():
    (found,) = outcomes([assignment()], {}, {}, {"a": "the service is exited"})
    assert "a: the service is exited" in found.problem["message"]


def test_rows():
    stored = {("a", "k"): ("a/k.mp4", RECORD)}
    done, failed = outcomes(
        [assignment(), assignment(key="other")],
        {"a": {"k": {"state": "present"}, "other": {"state": "failed", "problem": BROKEN}}},
        stored,
        {},
    )
    assert row(done) == ("p.csv:2", '"sea"', "a", "fetched", "a/k.mp4", "5.375 s", "1 min, earlier")
    assert row(failed) == ("p.csv:2", '"sea"', "a", "failed: generation.failed", "-", "-", "-")


def test_one_reason_is_told_once():
    result = {"state": "failed", "problem": BROKEN}
    found = outcomes([assignment(key="k"), assignment(key="l")], {"a": {"k": result, "l": result}}, {}, {})
    text = failure_text(found)
    assert text.count("it broke") == 1
    assert text.count('p.csv:2 "sea" on a') == 2
