"""The shape of the small charts."""

from __future__ import annotations

import re

import pytest
from ansible.module_utils.opensora.status_chart import HEIGHT, WIDTH, make_chart


def places(path: str) -> list[tuple[float, float]]:
    return [(float(left), float(top)) for left, top in re.findall(r"[ML]([\d.]+) ([\d.]+)", path.replace("L ", "L"))]


def test_from_edge_to_edge_and_the_right_way_up():
    chart = make_chart([(0, 0), (10, 100)], 100)
    assert chart.lines == (f"M2.0 {HEIGHT - 2:.1f} L{WIDTH - 2:.1f} 2.0",)
    assert chart.last == (WIDTH - 2, 2)


def test_time_is_to_scale():
    (line,) = make_chart([(0, 1), (9, 1), (10, 1)], 1).lines
    (begin, _), (middle, _), (end, _) = places(line)
    assert (middle - begin) / (end - begin) == pytest.approx(0.9, abs=0.01)


def test_a_gap_in_what_is_known_is_a_gap_in_the_line():
    chart = make_chart([(0, 1), (1, 2), (2, None), (3, None), (4, 3), (5, 4)], 10)
    assert len(chart.lines) == len(chart.areas) == 2
    assert places(chart.lines[0])[-1][0] < places(chart.lines[1])[0][0]


def test_a_value_alone_is_a_dot():
    chart = make_chart([(0, None), (1, 5), (2, None)], 10)
    (line,) = chart.lines
    assert len(set(places(line))) == 1
    assert len(places(line)) == 2
    assert chart.areas == ()


def test_a_single_run_stands_at_the_end():
    assert make_chart([(5, 10)], 10).last == (WIDTH - 2, 2)


def test_too_large_stays_inside():
    (line,) = make_chart([(0, 500), (1, -3)], 100).lines
    assert {top for _, top in places(line)} == {2, HEIGHT - 2}


@pytest.mark.parametrize(("points", "ceiling"), [([], 100), ([(0, None), (1, None)], 100), ([(0, 1.0), (1, 2.0)], 0)])
def test_nothing_to_draw(points: list, ceiling: float):
    chart = make_chart(points, ceiling)
    assert (chart.lines, chart.areas, chart.last) == ((), (), None)
