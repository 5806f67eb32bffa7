"""What earlier runs saw."""

from __future__ import annotations

from ansible.module_utils.opensora.status_history import (
    bounded,
    make_entry,
    parse_history,
    render_history,
    series,
)
from ansible.module_utils.opensora.status_report import make_host

from tests.unit.module_utils import status_examples as examples


def entry(moment: int, host: str = "gpu01", value: float | None = 5.0) -> dict:
    return {"time": moment, "host": host, "gpus": {"GPU-a": {"utilization_percent": value}}}


def test_written_and_read_again():
    entries = [make_entry(host, examples.NOW) for host in examples.six_hosts()]
    assert parse_history(render_history(entries)) == entries
    assert len(entries[0]["gpus"]) == 8


def test_a_host_that_was_not_read_leaves_a_gap():
    assert make_entry(make_host("gpu01", examples.UNREACHABLE), 7) == {"time": 7, "host": "gpu01", "gpus": {}}


def test_damaged_lines_are_left_out():
    good = entry(1)
    text = 'nonsense\n[]\n{"time": 1}\n{"time": "1", "host": "a", "gpus": {}}\n{"time": 1, "host": 3, "gpus": {}}\n'
    assert parse_history(text + render_history([good]) + '{"time": 2, "host": "gp') == [good]


def test_the_oldest_of_each_host_go():
    entries = [entry(moment, host) for moment in range(5) for host in ("a", "b")] + [entry(9, "b")]
    kept = bounded(entries, 2)
    assert [(kept_entry["host"], kept_entry["time"]) for kept_entry in kept] == [("a", 3), ("a", 4), ("b", 4), ("b", 9)]


def test_hosts_outside_of_this_run_keep_theirs():
    assert bounded([entry(1, "away"), *[entry(moment) for moment in range(9)]], 1) == [entry(1, "away"), entry(8)]


def test_series():
    entries = [entry(1), entry(2, "other"), {"time": 3, "host": "gpu01", "gpus": {}}, entry(4, value=None)]
    entries += [{"time": 5, "host": "gpu01", "gpus": {"GPU-a": {"utilization_percent": "5"}}}]
    entries += [{"time": 6, "host": "gpu01", "gpus": {"GPU-a": 7}}]
    points = [(1, 5), (3, None), (4, None), (5, None), (6, None)]
    assert series(entries, "gpu01", "GPU-a", "utilization_percent") == points
