from __future__ import annotations

from ansible.module_utils.opensora.problems import Problem, describe, invalid_value, report

FULL = Problem("disk", "disk.full", "error", "/var is full", "Free some", ("df: 0",)).as_dict()
WARNING = Problem("toolkit", "cdi.stale", "warning", "Old", "Generate").as_dict()


def test_describe_names_layer_evidence_and_next_action() -> None:
    assert describe(FULL) == "[disk] /var is full (disk.full)\n    | df: 0\n    -> Free some"


def test_report_joins_hosts_with_the_same_problem() -> None:
    assert report({"a": [FULL, WARNING], "b": [FULL, FULL], "c": []}, "error") == f"a, b: {describe(FULL)}"


def test_report_of_nothing_is_empty() -> None:
    assert report({"a": [WARNING]}, "error") == ""


def test_invalid_value_names_variable_value_and_what_is_allowed() -> None:
    assert invalid_value("x_source", "foo", "one of a, b").message == "x_source is 'foo', allowed is one of a, b"
