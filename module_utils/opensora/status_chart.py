# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The shape of a small line chart. A gap in what is known is a gap in the line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 120
HEIGHT = 32
# The line's own thickness has to fit in at both edges.
_MARGIN = 2


@dataclass(frozen=True)
class Chart:
    """What to draw into a field of :data:`WIDTH` by :data:`HEIGHT`.

    Attributes:
        lines: Paths of the unbroken parts of the line.
        areas: Paths of what lies below them.
        last: Where the newest known value is; null where none is known.
    """

    lines: tuple[str, ...]
    areas: tuple[str, ...]
    last: tuple[float, float] | None


def _runs(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """Return the unbroken runs of known values."""
    runs: list[list[tuple[float, float]]] = [[]]
    for moment, value in points:
        if value is not None:
            runs[-1].append((moment, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def make_chart(points: Sequence[tuple[float, float | None]], ceiling: float) -> Chart:
    """Return a chart whose height is always the same scale, so that charts can be compared with each other.

    Args:
        points: Time and value, the oldest first.
        ceiling: Value of the upper edge; the lower one is 0. Larger values are drawn at the edge.
    """
    if not points or ceiling <= 0:
        return Chart((), (), None)
    begin, end = points[0][0], points[-1][0]
    span = end - begin

    def place(point: tuple[float, float]) -> tuple[float, float]:
        across = (point[0] - begin) / span if span > 0 else 1.0
        up = min(max(point[1] / ceiling, 0.0), 1.0)
        left, top = _MARGIN + across * (WIDTH - 2 * _MARGIN), _MARGIN + (1 - up) * (HEIGHT - 2 * _MARGIN)
        return round(left, 1), round(top, 1)

    lines, areas = [], []
    last = None
    for run in _runs(points):
        places = [place(point) for point in run]
        # A single value is a line without length, which round ends make a dot.
        path = " L".join(f"{left} {top}" for left, top in (places if len(places) > 1 else places * 2))
        lines.append(f"M{path}")
        if len(places) > 1:
            areas.append(f"M{places[0][0]} {HEIGHT} L{path} L{places[-1][0]} {HEIGHT} Z")
        last = places[-1]
    return Chart(tuple(lines), tuple(areas), last)
