# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What became of each video: one table for all hosts, and the reasons of those that are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ansible.module_utils.opensora.generation import file_stem
from ansible.module_utils.opensora.generation_progress import duration, shown_prompt
from ansible.module_utils.opensora.generation_share import Assignment
from ansible.module_utils.opensora.problems import Problem, describe

State = Literal["here already", "fetched", "rendered", "failed", "not known", "to be rendered", "to be fetched"]
HEADERS = ("row", "prompt", "host", "state", "video", "length", "rendered in")
_EMPTY = "-"


@dataclass(frozen=True)
class Outcome:
    """What became of one video.

    Attributes:
        assignment: What was to be done for it.
        state: How it ended.
        file: Its path below the folder for samples, or empty.
        record: What it was made from; empty when there is no video.
        problem: Why there is none; empty when there is one.
    """

    assignment: Assignment
    state: State
    file: str
    record: Mapping[str, Any]
    problem: Mapping[str, Any]


def outcomes(
    assignments: Sequence[Assignment],
    results: Mapping[str, Mapping[str, Mapping[str, Any]]],
    stored: Mapping[tuple[str, str], tuple[str, Mapping[str, Any]]],
    refusals: Mapping[str, str],
    *,
    is_check: bool = False,
) -> list[Outcome]:
    """Return what became of each video, in the order of the assignments.

    Args:
        assignments: What was to be done.
        results: Host -> identifier -> result of opensora_generate.
        stored: Host and identifier -> file on the control node and its record.
        refusals: Host -> why none of its videos could be made.
        is_check: Whether nothing was done.
    """
    return [_outcome(assignment, results, stored, refusals, is_check=is_check) for assignment in assignments]


def row(outcome: Outcome) -> tuple[str, ...]:
    """Return the row of a video in the table."""
    request, record = outcome.assignment.request, outcome.record
    video = record.get("video") or {}
    earlier = ", earlier" if outcome.state in ("here already", "fetched") else ""
    return (
        request.row,
        shown_prompt(request.prompt),
        outcome.assignment.host,
        outcome.state if not outcome.problem else f"{outcome.state}: {outcome.problem['code']}",
        outcome.file or _EMPTY,
        f"{video['seconds']} s" if "seconds" in video else _EMPTY,
        f"{duration(record['seconds'])}{earlier}" if "seconds" in record else _EMPTY,
    )


def failure_text(found: Sequence[Outcome]) -> str:
    """Return why videos are missing; empty when none is. What failed for one reason is named together."""
    rows_of: dict[str, list[str]] = {}
    for outcome in found:
        if outcome.problem:
            request = outcome.assignment.request
            name = f"{request.row} {shown_prompt(request.prompt)} on {outcome.assignment.host}"
            rows_of.setdefault(describe(dict(outcome.problem)), []).append(name)
    return "\n\n".join("\n".join([*names, text]) for text, names in rows_of.items())


def _outcome(
    assignment: Assignment,
    results: Mapping[str, Mapping[str, Mapping[str, Any]]],
    stored: Mapping[tuple[str, str], tuple[str, Mapping[str, Any]]],
    refusals: Mapping[str, str],
    *,
    is_check: bool,
) -> Outcome:
    host, identifier = assignment.host, assignment.identifier
    file, record = stored.get((host, identifier), ("", {}))
    if assignment.action == "stored":
        return Outcome(assignment, "here already", file, record, {})
    if is_check:
        return Outcome(assignment, "to be fetched" if assignment.action == "fetch" else "to be rendered", "", {}, {})
    result = results.get(host, {}).get(identifier)
    if result is None:
        return Outcome(assignment, "not known", "", {}, _lost(host, refusals.get(host, "")).as_dict())
    if result["state"] == "failed":
        return Outcome(assignment, "failed", "", {}, result["problem"] or _lost(host, "").as_dict())
    if not file:
        message = f"the video did not come as {host} described it: {file_stem(assignment.request, identifier)}.mp4"
        problem = Problem("connection", "generation.not_fetched", "error", message, "Run again: it is fetched then.")
        return Outcome(assignment, "failed", "", {}, problem.as_dict())
    return Outcome(assignment, "rendered" if result["state"] == "rendered" else "fetched", file, record, {})


def _lost(host: str, reason: str) -> Problem:
    if reason:
        return Problem("application", "generation.refused", "error", f"{host}: {reason}", "Correct it and run again.")
    message = f"{host} was lost; what it had begun goes on there"
    advice = "Run again when the host answers: what has been rendered there is fetched, the rest is rendered."
    return Problem("connection", "generation.host_lost", "error", message, advice)
