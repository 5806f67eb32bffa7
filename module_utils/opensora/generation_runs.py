# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Runs of the application: loading the model takes as long as a short video, so one run makes several of them."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible.module_utils.opensora.generation import Request, concerns_options

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ansible.module_utils.opensora.problems import Problem


@dataclass(frozen=True)
class Item:
    """One video of a run.

    Attributes:
        identifier: Its identifier, by which the application names the file.
        request: What is asked for.
    """

    identifier: str
    request: Request


@dataclass(frozen=True)
class Verdict:
    """What follows from the end of a run.

    Attributes:
        failed: Identifier -> why it failed.
        retry: What to try again in a run of its own, without those that failed.
    """

    failed: Mapping[str, Problem]
    retry: tuple[Item, ...]


def options_of(request: Request) -> tuple[object, ...]:
    """Return what has to be equal for two videos to be made in one run."""
    return (request.config, request.seed, request.num_frames, request.aspect_ratio, bool(request.picture))


def make_runs(items: Sequence[Item], place_count: int) -> list[list[Item]]:
    """Return the runs: videos with equal options together, and each group spread over the places.

    Args:
        items: The videos.
        place_count: Runs that go at the same time.
    """
    groups: dict[tuple[object, ...], list[Item]] = {}
    for item in items:
        groups.setdefault(options_of(item.request), []).append(item)
    runs = []
    for group in groups.values():
        parts = min(place_count, len(group))
        size, larger = divmod(len(group), parts)
        begin = 0
        for part in range(parts):
            end = begin + size + (part < larger)
            runs.append(group[begin:end])
            begin = end
    return runs


def table_text(items: Sequence[Item], pictures: Mapping[str, str]) -> str:
    """Return the table that the application reads.

    Args:
        items: The videos of a run.
        pictures: Digest -> path of the picture in the container.
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
    with_picture = bool(items[0].request.picture)
    writer.writerow(["text", "name", "ref"] if with_picture else ["text", "name"])
    for item in items:
        row = [item.request.prompt, item.identifier]
        writer.writerow([*row, pictures[item.request.picture]] if with_picture else row)
    return stream.getvalue()


def judge(items: Sequence[Item], finished: Collection[str], problem: Problem, *, has_begun: bool) -> Verdict:
    """Return which video made a run fail, and which are to be tried again.

    The application makes them one after the other and ends with the first that fails.

    Args:
        items: The videos of the run, in order.
        finished: Identifiers of those that came out.
        problem: Why the run failed.
        has_begun: Whether it came as far as the first video.
    """
    missing = [item for item in items if item.identifier not in finished]
    if not has_begun or concerns_options(problem):
        untried = replace(
            problem, message=f"not tried, since another one with the same options failed: {problem.message}"
        )
        reasons = [problem, *[untried] * len(missing)]
        return Verdict({item.identifier: reason for item, reason in zip(missing, reasons)}, ())
    return Verdict({item.identifier: problem for item in missing[:1]}, tuple(missing[1:]))
