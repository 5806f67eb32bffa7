from __future__ import annotations

import pytest

from benchmarks.measure.growth import Growth, fit_growth


@pytest.mark.parametrize(
    ("points", "fixed", "per_host"),
    [
        ({1: 12.0, 4: 18.0, 16: 42.0}, 10, 2),
        ({1: 5.0, 4: 5.0, 16: 5.0}, 5, 0),
        ({1: 3.0, 2: 5.0}, 1, 2),
        # Not on a line: the least squares of 0, 3, 0 over 0, 1, 2 is the mean.
        ({0: 0.0, 1: 3.0, 2: 0.0}, 1, 0),
    ],
)
def test_a_line_through_the_points(points, fixed, per_host) -> None:
    growth = fit_growth(points)
    assert growth.fixed == pytest.approx(fixed)
    assert growth.per_host == pytest.approx(per_host)


def test_what_the_line_says_of_more_hosts() -> None:
    assert Growth(fixed=10, per_host=2).at(100) == 210


@pytest.mark.parametrize("points", [{}, {4: 1.0}])
def test_a_single_point_is_no_growth(points) -> None:
    with pytest.raises(ValueError, match="two numbers of hosts"):
        fit_growth(points)
