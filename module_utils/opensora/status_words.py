# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Numbers and texts of a status as people read them, in the terminal and on the page."""

from __future__ import annotations

import time
import unicodedata

UNKNOWN = "–"  # noqa: RUF001  the dash that stands for "not known"
_MEBIBYTES_IN_A_GIBIBYTE = 1024
_GIBIBYTE = 1024**3
_TEBIBYTE = 1024**4
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def printable(text: object) -> str:
    """Return a text in one line without control characters, which could steer a terminal or turn a line around."""
    return " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes; Chinese and Japanese characters take two."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def cut(text: object, columns: int) -> str:
    """Return a text in one line, ended by an ellipsis where it takes more columns than there are."""
    line = printable(text)
    if width(line) <= columns:
        return line
    while line and width(line) > columns - 1:
        line = line[:-1]
    return f"{line.rstrip()}…"


def duration(seconds: float | None) -> str:
    """Return a duration by its two largest units: ``3 d 4 h``, ``5 min 12 s``."""
    if seconds is None:
        return UNKNOWN
    left = int(seconds)
    units = [("d", _DAY), ("h", _HOUR), ("min", _MINUTE), ("s", 1)]
    first = next((number for number, (_, size) in enumerate(units) if left >= size), len(units) - 1)
    words: list[str] = []
    for name, size in units[first : first + 2]:
        count, left = divmod(left, size)
        if count or not words:
            words.append(f"{count} {name}")
    return " ".join(words)


def whole(value: float | None, unit: str) -> str:
    """Return a measure without decimals and with its unit, or a dash."""
    return UNKNOWN if value is None else f"{value:.0f} {unit}"


def memory(used: float | None, total: float | None) -> str:
    """Return memory in use of a GPU, given in MiB: ``61.6 / 79.6 GiB``."""
    if used is None and total is None:
        return UNKNOWN
    words = [UNKNOWN if value is None else f"{value / _MEBIBYTES_IN_A_GIBIBYTE:.1f}" for value in (used, total)]
    return f"{words[0]} / {words[1]} GiB"


def power(draw: float | None, limit: float | None) -> str:
    """Return power draw and limit: ``612 / 700 W``, or a dash."""
    if draw is None:
        return UNKNOWN
    return f"{draw:.0f} W" if limit is None else f"{draw:.0f} / {limit:.0f} W"


def room(octets: float | None) -> str:
    """Return an amount of bytes: ``1.8 TiB``, ``412 GiB``, ``3.5 GiB``, or a dash."""
    if octets is None:
        return UNKNOWN
    if octets >= _TEBIBYTE:
        return f"{octets / _TEBIBYTE:.1f} TiB"
    return f"{octets / _GIBIBYTE:.1f} GiB" if octets < 10 * _GIBIBYTE else f"{octets / _GIBIBYTE:.0f} GiB"


def moment(epoch: float, form: str = "%-d %b %Y, %H:%M UTC") -> str:
    """Return a point in time in UTC."""
    return time.strftime(form, time.gmtime(epoch))
