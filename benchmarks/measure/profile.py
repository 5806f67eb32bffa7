# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Where the time of a run goes: for each task its time, its calls to hosts, and how long it waited for them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from benchmarks.measure.calls import Call, covered_seconds


@dataclass(frozen=True)
class TaskTime:
    """One task: how long it took, and for how long of that calls to hosts were under way."""

    name: str
    place: str
    seconds: float
    calls: int
    waited: float


def profile(notes: str, calls: list[Call], run_began: float | None = None) -> list[TaskTime]:
    """Return the tasks in order, from the notes of the callback task_times; what came before the first is "(start)"."""
    marks = [json.loads(line) for line in notes.splitlines()]
    if run_began is not None:
        marks.insert(0, {"begin": run_began, "name": "(start)", "place": ""})
    found = []
    for mark, following in zip(marks, marks[1:], strict=False):
        inside = [call for call in calls if mark["begin"] <= call.begin < following["begin"]]
        seconds = following["begin"] - mark["begin"]
        waited = min(covered_seconds(inside), seconds)
        found.append(TaskTime(mark["name"], mark["place"], seconds, len(inside), waited))
    return found


def profile_table(tasks: list[TaskTime], shortest: float = 0.05) -> list[str]:
    """Return the tasks as a Markdown table, the slowest first, and the short ones as one line."""
    rows = ["| task | ms | calls | waited for the host, ms | controller, ms |", "|---|---|---|---|---|"]
    slow = sorted((task for task in tasks if task.seconds >= shortest), key=lambda task: -task.seconds)
    rest = [task for task in tasks if task.seconds < shortest]

    def row(name: str, members: list[TaskTime]) -> str:
        seconds, waited = sum(task.seconds for task in members), sum(task.waited for task in members)
        calls = sum(task.calls for task in members)
        return f"| {name} | {seconds * 1e3:.0f} | {calls} | {waited * 1e3:.0f} | {(seconds - waited) * 1e3:.0f} |"

    rows += [row(task.name.replace("|", "\\|"), [task]) for task in slow]
    if rest:
        rows.append(row(f"{len(rest)} shorter than {shortest * 1e3:.0f} ms", rest))
    rows.append(row(f"all {len(tasks)}", tasks))
    return rows
