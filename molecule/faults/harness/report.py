"""The table of docs/reliability.md: every fault at every moment, with what was seen of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.cases import CASES, Case
from harness.site import PROJECT

DOCUMENT = PROJECT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin, written by molecule/faults/fault_runs.py --write-docs -->", "<!-- faults: end -->"
HEADER = ("fault", "moment", "what the user sees", "result", "well again", "seen")
_MESSAGE_LENGTH = 150
_RESULTS = {
    "failed": "fails with that message; the next run converges",
    "killed": "the next run converges",
    "succeeded": "succeeds",
}


def row(case: Case, verdict: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the cells of a case.

    Args:
        case: The case.
        verdict: What was seen of it; None for a case that nobody has seen yet.
    """
    place = (case.fault.title, case.moment.name)
    if verdict is None:
        return (*place, "", "not seen yet", "", "")
    result = _RESULTS.get(verdict["ended"], "")
    if verdict["problems"]:
        result = "**not as it has to be**: " + _short(verdict["problems"][0])
    seconds = f"{verdict['seconds']:.0f} s" if verdict["seconds"] else ""
    return (*place, _short(verdict["message"]), result, seconds, f"{verdict['at'][:10]}, {verdict['commit']}")


def _short(text: str) -> str:
    """Return a message in one line, short enough for a table."""
    line = re.sub(r"\s+", " ", text).replace("|", "\\|")
    return line if len(line) <= _MESSAGE_LENGTH else line[: _MESSAGE_LENGTH - 1].rstrip() + "…"


def table(verdicts: Mapping[str, Mapping[str, Any]], former: Mapping[tuple[str, str], tuple[str, ...]]) -> str:
    """Return the whole table.

    Args:
        verdicts: What was seen, by the name of the case.
        former: The rows of the table as it was, which stand where there is no verdict.
    """
    lines = [f"| {' | '.join(HEADER)} |", "|" + "---|" * len(HEADER)]
    for case in CASES:
        verdict = verdicts.get(case.name)
        cells = row(case, verdict)
        if verdict is None:
            cells = former.get((case.fault.title, case.moment.name), cells)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def rows_of(document: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the rows of the table in a document, by fault and moment."""
    between = document.partition(BEGIN)[2].partition(END)[0]
    found = {}
    for line in between.strip().splitlines()[2:]:
        cells = tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1])
        found[cells[0], cells[1]] = cells
    return found


def write(verdicts: Mapping[str, Mapping[str, Any]], path: Path = DOCUMENT) -> None:
    """Write the table into the document."""
    document = path.read_text(encoding="utf-8")
    before, _, rest = document.partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n{table(verdicts, rows_of(document))}\n{END}{after}", encoding="utf-8")
