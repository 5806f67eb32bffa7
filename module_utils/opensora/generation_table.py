# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The table of prompts that a user writes: read with the place of each row, and refused where it says nothing clear."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible.module_utils.opensora.generation import Request, read_request
from ansible.module_utils.opensora.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

COLUMNS = ("prompt", "name", "seed", "num_frames", "aspect_ratio", "config", "image")
_MAXIMUM_BYTES = 16 << 20


@dataclass(frozen=True)
class TableRow:
    """One row as it was written.

    Attributes:
        line: Line of the file where it begins.
        values: Its filled cells by column.
    """

    line: int
    values: Mapping[str, str]


def decode_table(content: bytes, file: str) -> tuple[str, list[Problem]]:
    """Return the text of a table.

    Args:
        content: Content of the file.
        file: Its name, for problems.
    """
    if len(content) > _MAXIMUM_BYTES:
        return "", [_problem(file, f"is larger than {_MAXIMUM_BYTES >> 20} MiB, which is no table of prompts")]
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return "", [_problem(f"{file}:{line}", "is not UTF-8", "Save the file as UTF-8 and run again.")]


def read_table(text: str, file: str) -> tuple[list[TableRow], list[Problem]]:
    """Return the rows of a table.

    Args:
        text: Its text: comma-separated values with a header.
        file: Its name, for problems.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    rows, problems = [], []
    line = 1
    try:
        for cells in reader:
            begin, line = line, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                problems += _check_header(header, f"{file}:{begin}")
                if problems:
                    return [], problems
            elif len(cells) != len(header):
                words = f"has {len(cells)} cells, the header has {len(header)}"
                problems.append(_problem(f"{file}:{begin}", words, "Put a prompt that holds a comma in double quotes."))
            else:
                values = {column: cell.strip() for column, cell in zip(header, cells) if cell.strip()}
                rows.append(TableRow(begin, values))
    except csv.Error as error:
        problems.append(_problem(f"{file}:{line}", f"can't be read: {error}", "Double a quote inside a quoted prompt."))
    if not rows and not problems:
        problems.append(_problem(file, "holds no prompt"))
    return rows, problems


def read_requests(
    rows: list[TableRow], file: str, defaults: Mapping[str, object], picture: Callable[[str], tuple[str, str]]
) -> tuple[list[Request], list[Problem]]:
    """Return the videos that the rows of a table ask for.

    Args:
        rows: The rows.
        file: Name of the file, for problems.
        defaults: Options for what a row doesn't say, with ``picture`` as a digest.
        picture: Gives the digest of the file that a row names as image, and what is wrong with that file.
    """
    requests, problems = [], []
    first_of: dict[object, str] = {}
    for row in rows:
        place = f"{file}:{row.line}"
        values: dict[str, object] = {**defaults, **row.values}
        if row.values.get("image"):
            values["picture"], wrong = picture(row.values["image"])
            if wrong:
                problems.append(_problem(place, f"image is {row.values['image']!r}, which {wrong}"))
        request, found = read_request(values, place)
        problems += [
            replace(problem, message=f"{place}: {problem.message}", next_action="Correct the row and run again.")
            for problem in found
        ]
        if request is None:
            continue
        content = replace(request, name="", row="")
        keys: list[tuple[object, str]] = [(content, "asks for the same video as")]
        if request.name:
            keys.append((request.name.casefold(), f"has the name {request.name!r} of"))
        for key, words in keys:
            if key in first_of:
                problems.append(_problem(place, f"{words} {first_of[key]}", "Change or remove one of them."))
        for key, _ in keys:
            first_of.setdefault(key, place)
        requests.append(request)
    return requests, problems


def _check_header(header: list[str], place: str) -> list[Problem]:
    allowed = ", ".join(COLUMNS)
    problems = [
        _problem(place, f"has the column {column!r}, allowed is one of: {allowed}", _column_advice(column))
        for column in header
        if column not in COLUMNS
    ]
    problems += [
        _problem(place, f"has the column {column} twice")
        for column in sorted({column for column in header if header.count(column) > 1 and column in COLUMNS})
    ]
    if "prompt" not in header and not problems:
        problems.append(_problem(place, f"has no column prompt; the first line names the columns: {allowed}"))
    return problems


def _column_advice(column: str) -> str:
    if ";" in column or "\t" in column:
        return "Separate the columns by commas."
    return "Correct the first line, which names the columns."


def _problem(place: str, words: str, advice: str = "Correct the file and run again.") -> Problem:
    return Problem("configuration", "prompts.invalid", "error", f"{place} {words}", advice)
