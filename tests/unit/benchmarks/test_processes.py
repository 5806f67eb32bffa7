from __future__ import annotations

import pytest

from benchmarks.measure.processes import TICKS, Process, parse_rollup, parse_stat, tree_of


def test_a_process_with_a_strange_name() -> None:
    fields = "S 41 7 7 0 -1 4194560 100 0 0 0 250 50 900 900 20 0 1 0 100 1 1"
    assert parse_stat(f"77 ((a) b ) {fields}") == Process(name="(a) b ", parent=41, processor_seconds=300 / TICKS)


@pytest.mark.parametrize(
    ("text", "size"),
    [("5500-7ff [rollup]\nRss:  9000 kB\nPss:  120 kB\nPss_Dirty: 8 kB\n", 120 * 1024), ("", 0)],
)
def test_proportional_size(text, size) -> None:
    assert parse_rollup(text) == size


def test_a_process_and_its_descendants() -> None:
    parents = {1: 0, 10: 1, 11: 10, 12: 11, 13: 10, 20: 1, 21: 20}
    assert tree_of(10, parents) == {10, 11, 12, 13}
