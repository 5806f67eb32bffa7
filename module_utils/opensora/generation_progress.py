# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What the application's output says about how far it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

# The bar that counts the steps of one video; the application's own counts videos.
STEPS_BAR = "Denoising"
VIDEOS_BAR = "Inference progress"
_BAR = re.compile(
    r"(?P<name>[^:|%]*?):?\s*\d+%\|[^|]*\|\s*(?P<done>\d+)/(?P<total>\d+)\s*"
    r"\[(?P<elapsed>[\d:]+)<(?P<left>[\d:]+|\?),\s*(?P<rate>[\d.]+|\?)\s*(?P<unit>s/it|it/s)"
)
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_SAVED = re.compile(r"Saved to (?P<path>\S.*\.mp4)$")
_PHASES = (
    ("Building models...", "loading the model"),
    ("Generating image condition by flux...", "making the first picture"),
)
_GENERATING = "Generating video..."
_PROMPT_LENGTH = 40
_MINUTE = 60
_HOUR = 3600
_QUIET_SECONDS = 30
_STEP_PERCENT = 10


@dataclass(frozen=True)
class Event:
    """One thing that the output says.

    Attributes:
        kind: ``videos`` and ``steps`` are bars, ``saved`` names a finished video, ``phase`` what begins, ``generating``
            that a video begins.
        done: What a bar has done.
        total: Of how much.
        left: Seconds that are left, or None.
        rate: Seconds for each step, or None.
        text: Path or phase.
    """

    kind: Literal["videos", "steps", "saved", "phase", "generating"]
    done: int = 0
    total: int = 0
    left: int | None = None
    rate: float | None = None
    text: str = ""


def split_output(text: str) -> tuple[list[str], str]:
    """Return the whole lines of a piece of output, and what is left over; a bar ends its lines with a return.

    Args:
        text: What was left over before, and what has come.
    """
    *whole, rest = re.split(r"[\r\n]", text)
    lines = [_CONTROL.sub("", line).rstrip() for line in whole]
    return [line for line in lines if line.strip()], rest


def parse_line(line: str) -> Event | None:
    """Return what a line says about the progress, or None.

    Args:
        line: A line without control sequences.
    """
    saved = _SAVED.search(line)
    if saved:
        return Event("saved", text=saved["path"])
    if _GENERATING in line:
        return Event("generating")
    for mark, phase in _PHASES:
        if mark in line:
            return Event("phase", text=phase)
    bar = _BAR.search(line)
    if bar is None:
        return None
    rate = None if bar["rate"] == "?" else float(bar["rate"])
    if rate is not None and bar["unit"] == "it/s":
        rate = 1 / rate if rate else None
    kind: Literal["videos", "steps"] = "videos" if bar["name"].strip().endswith(VIDEOS_BAR) else "steps"
    return Event(kind, int(bar["done"]), int(bar["total"]), _seconds(bar["left"]), rate)


def is_bar(line: str) -> bool:
    """Return whether a line is a progress bar, which explains no failure."""
    return bool(_BAR.search(line))


def shown_prompt(prompt: str) -> str:
    """Return a prompt in one short line, in quotes."""
    words = " ".join(prompt.split())
    return f'"{words if len(words) <= _PROMPT_LENGTH else words[: _PROMPT_LENGTH - 1].rstrip() + "…"}"'


def steps_text(event: Event) -> str:
    """Return how far a video is: ``40 % (20/50 steps), 12.3 s/it, 4 min left``."""
    percent = 100 * event.done // event.total if event.total else 0
    words = [f"{percent} % ({event.done}/{event.total} steps)"]
    if event.rate is not None:
        words.append(f"{event.rate:.1f} s/it" if event.rate >= 0.1 else f"{event.rate:.2f} s/it")  # noqa: PLR2004
    if event.left is not None and event.done < event.total:
        words.append(f"{duration(event.left)} left")
    return ", ".join(words)


def duration(seconds: float) -> str:
    """Return a duration for people: ``12 s``, ``4 min``, ``1 h 20 min``."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    minutes = round(seconds / _MINUTE)
    return f"{minutes // 60} h {minutes % 60} min"


class Pace:
    """Says which of many steps are worth a line: every tenth of a video, and one now and then."""

    def __init__(self) -> None:
        self._tenth = -1
        self._said = 0.0

    def is_due(self, event: Event, now: float) -> bool:
        """Return whether to show a bar.

        Args:
            event: The bar.
            now: Monotonic time.
        """
        tenth = 100 * event.done // max(1, event.total) // _STEP_PERCENT
        if tenth < self._tenth:
            self._tenth = -1
        if event.done == 0 or (tenth == self._tenth and now - self._said < _QUIET_SECONDS):
            return False
        self._tenth, self._said = tenth, now
        return True


def _seconds(text: str) -> int | None:
    if text == "?":
        return None
    seconds = 0
    for part in text.split(":"):
        seconds = seconds * 60 + int(part or 0)
    return seconds
