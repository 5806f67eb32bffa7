from __future__ import annotations

import pytest

from benchmarks.measure.site import Reading, between, parse_statistics

STATISTICS = {
    "networks": {"eth0": {"rx_bytes": 4096, "tx_bytes": 512}, "eth1": {"rx_bytes": 1, "tx_bytes": 1}},
    "cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000}},
}


def test_what_the_engine_says_of_a_container() -> None:
    assert parse_statistics(STATISTICS) == Reading(received=4096, sent=512, processor_seconds=2.5)


def test_what_was_taken_in_between() -> None:
    taken = between({"a": Reading(10, 20, 1.5)}, {"a": Reading(15, 21, 4.0), "new": Reading(9, 9, 9)})
    assert taken == {"a": Reading(5, 1, pytest.approx(2.5))}
