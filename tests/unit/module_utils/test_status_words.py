"""Numbers and texts as people read them."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.status_words import (
    UNKNOWN,
    cut,
    duration,
    memory,
    moment,
    power,
    printable,
    room,
    whole,
    width,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, UNKNOWN),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (412.3, "6 min 52 s"),
        (3600, "1 h"),
        (3601, "1 h"),
        (7260, "2 h 1 min"),
        (86400 * 3 + 4 * 3600 + 59, "3 d 4 h"),
        (86400 * 400, "400 d"),
    ],
)
def test_duration(seconds: float | None, text: str):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (whole(None, "%"), UNKNOWN),
        (whole(0, "%"), "0 %"),
        (whole(64.4, "°C"), "64 °C"),
        (memory(None, None), UNKNOWN),
        (memory(None, 81559), f"{UNKNOWN} / 79.6 GiB"),
        (memory(0, 81559), "0.0 / 79.6 GiB"),
        (power(None, 700), UNKNOWN),
        (power(612.4, 700.0), "612 / 700 W"),
        (power(612.4, None), "612 W"),
        (room(None), UNKNOWN),
        (room(0), "0.0 GiB"),
        (room(3.5 * 1024**3), "3.5 GiB"),
        (room(412 * 1024**3), "412 GiB"),
        (room(1.8 * 1024**4), "1.8 TiB"),
        (moment(0), "1 Jan 1970, 00:00 UTC"),
    ],
)
def test_measures(said: str, text: str):
    assert said == text


def test_printable():
    assert printable("a\x1b[31m\nb\u202e\tc\x00") == "a [31m b c"


@pytest.mark.parametrize(
    ("text", "columns", "short"),
    [
        ("raining, sea", 12, "raining, sea"),
        ("raining, sea", 8, "raining…"),
        ("海に雨が降る", 7, "海に雨…"),
        ("ab", 1, "…"),
    ],
)
def test_cut(text: str, columns: int, short: str):
    assert cut(text, columns) == short
    assert width(short) <= columns
