# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""A JSON file that a person may have edited: read strictly, with the place of every fault."""

from __future__ import annotations

import json
import re
from typing import Any

BYTE_ORDER_MARK = "\ufeff"
DEFAULT_INDENT = "    "


class DocumentError(ValueError):
    """The text is not one JSON object.

    Attributes:
        reason: What is wrong, without the place.
        line: Line of the fault, from 1; 0 when the fault has no single place.
        column: Column of the fault, from 1; 0 when the fault has no single place.
    """

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        place = f"line {line}, column {column}: " if line else ""
        super().__init__(f"{place}{reason}")
        self.reason = reason
        self.line = line
        self.column = column


class _DuplicateKeyError(Exception):
    """Carries the key out of the decoder, which does not know where it is."""


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise _DuplicateKeyError(key)
        result[key] = value
    return result


def _no_constant(name: str) -> Any:
    raise DocumentError(f"{name} is not a JSON value")


def decode_text(content: bytes) -> str:
    """Return the bytes of a file as text.

    Args:
        content: The bytes as they stand in the file.

    Raises:
        DocumentError: The bytes are not UTF-8.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        raise DocumentError(f"byte 0x{content[error.start]:02x} is not UTF-8 text", line, column) from error


def parse_object(text: str) -> dict[str, Any]:
    """Return the JSON object that a text holds.

    A text of nothing but white space is an empty object, as the programs that read such files treat it. A leading
    byte order mark is allowed. A key given twice is refused, because readers silently keep the last one.

    Args:
        text: The whole text of the file.

    Raises:
        DocumentError: The text is not one JSON object.
    """
    body = text[1:] if text.startswith(BYTE_ORDER_MARK) else text
    if not body.strip():
        return {}
    try:
        value = json.loads(body, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except _DuplicateKeyError as error:
        key = str(error)
        spots = [
            body.count("\n", 0, match.start()) + 1
            for match in re.finditer(re.escape(json.dumps(key, ensure_ascii=False)) + r"\s*:", body)
        ]
        lines = ", ".join(str(spot) for spot in spots)
        raise DocumentError(f'the key "{key}" stands twice in one object (it appears on lines {lines})') from error
    except json.JSONDecodeError as error:
        raise DocumentError(error.msg, error.lineno, error.colno) from error
    if not isinstance(value, dict):
        kind = {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}.get(type(value), "a number")
        raise DocumentError(f"the document is {kind}, not an object", 1, 1)
    return value


def render_object(value: dict[str, Any], like: str = "") -> str:
    """Return the object as text, in the style of the text that it replaces.

    Args:
        value: The object; the order of its keys is kept.
        like: The text to be replaced, from which the indentation is taken.
    """
    found = re.search(r"^([ \t]+)\"", like, re.MULTILINE)
    return json.dumps(value, indent=found.group(1) if found else DEFAULT_INDENT, ensure_ascii=False) + "\n"
