# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""How a measured quantity grows with the number of hosts: a straight line by least squares."""

from __future__ import annotations

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Growth:
    """A fixed part and one for each host."""

    fixed: float
    per_host: float

    def at(self, hosts: int) -> float:
        """Return what the line says for a number of hosts."""
        return self.fixed + self.per_host * hosts


def fit_growth(points: dict[int, float]) -> Growth:
    """Fit fixed + per_host * n to the points, number of hosts -> value; with a single point there is nothing to fit."""
    if len(points) < 2:  # noqa: PLR2004 (a line has two points)
        msg = f"a growth needs measurements of two numbers of hosts at least, not of {sorted(points)}"
        raise ValueError(msg)
    line = statistics.linear_regression(list(points), list(points.values()))
    return Growth(fixed=line.intercept, per_host=line.slope)
