# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Follow a build through the JSON that ``docker buildx build --progress=rawjson`` prints.

Every object holds any of ``vertexes`` (steps: begun, completed, from the cache, failed), ``statuses`` and ``logs``
(what steps print, in base64). Old versions of buildx (0.13) spread an object over several indented lines, newer ones
write one a line. Steps become known while the build graph is walked, so the number of steps grows in the first seconds.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

TITLE_LENGTH = 68
KEPT_LINES = 400
_NUMBERED = re.compile(r"^\[(?:(?P<stage>[^\]]*?)\s+)?\d+/\d+\]\s+(?P<text>.*)$", re.DOTALL)
_FRACTION = re.compile(r"\.\d+")
_FLAGS = re.compile(r"^(?:--[a-z-]+(?:=\S+)?\s+)+")
# A step of our Dockerfiles says what it is about by a shell command that does nothing: `: 'torch 2.4.0' && uv pip ...`.
_SAID = re.compile(r"^: '(?P<title>[^']+)' && ")
# BuildKit repeats the whole command, whose own words tell nothing about the failure.
_COMMAND = re.compile(r'process ".*" did not complete successfully: ', re.DOTALL)
_EXIT_CODE = re.compile(r"exit code: (\d+)")

State = Literal["started", "done", "cached", "failed"]


@dataclass
class Step:
    """One step of the build.

    Attributes:
        name: As BuildKit prints it, such as ``[torch 2/3] RUN ...``.
        started: Seconds since 1970, or None when it has not begun.
        completed: Seconds since 1970, or None while it runs.
        cached: Whether the result came from the cache.
        error: Why it failed; empty when it did not.
        lines: The last lines that it printed.
    """

    name: str
    started: float | None = None
    completed: float | None = None
    cached: bool = False
    error: str = ""
    lines: list[str] = field(default_factory=list)
    unfinished: str = ""

    @property
    def internal(self) -> bool:
        """Whether the step is BuildKit's own housekeeping, which nobody waits for."""
        return self.name.startswith("[internal]")

    @property
    def optional(self) -> bool:
        """Whether the build goes on without the step: a cache that can't be read or written."""
        return self.name.startswith(("importing cache manifest", "exporting cache"))

    @property
    def reason(self) -> str:
        """Why the step failed, without its command; empty when it did not."""
        return _COMMAND.sub("", self.error)

    @property
    def title(self) -> str:
        """The step in words short enough for one line of a terminal."""
        return step_title(self.name)


@dataclass(frozen=True)
class Event:
    """Something a person may want to see.

    Attributes:
        state: What happened to the step.
        step: Position in the order of completion, from 1.
        steps: Number of steps known so far.
        title: The step in short words.
        seconds: How long the step has taken.
    """

    state: State
    step: int
    steps: int
    title: str
    seconds: float

    @property
    def line(self) -> str:
        """The event as one line for a terminal."""
        ending = {"cached": "from the cache", "failed": f"FAILED after {self.seconds:.0f} s"}.get(
            self.state, f"{self.seconds:.0f} s"
        )
        running = "..." if self.state == "started" else ""
        return f"{self.step}/{self.steps} {self.title} | {ending}{running}"

    def as_dict(self) -> dict[str, Any]:
        """Return the event as plain data for the progress file."""
        return {
            "state": self.state,
            "step": self.step,
            "steps": self.steps,
            "title": self.title,
            "seconds": round(self.seconds, 1),
            "line": self.line,
        }


def step_title(name: str) -> str:
    """Return a step's name in words short enough for one line.

    Args:
        name: ``[torch 2/3] RUN --mount=type=cache,target=/x uv pip install torch==2.4.0`` becomes
            ``torch: uv pip install torch==2.4.0``, and ``[torch 2/3] RUN : 'torch 2.4.0' && ...`` becomes
            ``torch: torch 2.4.0``.
    """
    match = _NUMBERED.match(name)
    stage = (match.group("stage") or "") if match else ""
    text = " ".join((match.group("text") if match else name).split())
    word, _, rest = text.partition(" ")
    if word in ("RUN", "COPY", "ADD", "WORKDIR", "FROM"):
        rest = _FLAGS.sub("", rest + " ").strip()
        rest = re.sub(r"@sha256:[0-9a-f]{64}\b", "", rest)
        said = _SAID.match(rest) if word == "RUN" else None
        text = said["title"] if said else rest if word == "RUN" else f"{word} {rest}"
    title = f"{stage}: {text}" if stage else text
    return title if len(title) <= TITLE_LENGTH else title[: TITLE_LENGTH - 3].rstrip() + "..."


def timestamp(text: str) -> float:
    """Return an RFC 3339 time as seconds since 1970.

    BuildKit writes nanoseconds without trailing zeros, which Python before 3.11 can't read.
    """
    fraction = _FRACTION.search(text)
    whole = _FRACTION.sub("", text).replace("Z", "+00:00")
    return datetime.fromisoformat(whole).timestamp() + (float("0" + fraction.group()) if fraction else 0.0)


class BuildProgress:
    """What is known of a running build.

    Attributes:
        steps: Every step by digest, in the order in which they became known.
        messages: Lines that were no JSON: the builder's own errors.
    """

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}
        self.messages: list[str] = []
        self._ended: set[str] = set()
        self._object: list[str] = []

    def feed(self, line: str) -> Iterator[Event | str]:
        """Take one line of the builder's output.

        Args:
            line: A line of standard error.

        Yields:
            Events of steps, and lines of text for the log.
        """
        status = self._whole_object(line)
        if status is None:
            if not self._object and line.strip():
                self.messages.append(line.rstrip())
                yield line.rstrip()
            return
        for vertex in status.get("vertexes") or []:
            yield from self._vertex(vertex)
        for log in status.get("logs") or []:
            yield from self._log(log)
        for warning in status.get("warnings") or []:
            yield "warning: " + _text(warning.get("short"))

    def running(self, now: float) -> list[Event]:
        """Return the steps that run now, the longest first.

        Args:
            now: Seconds since 1970.
        """
        steps = [
            step
            for digest, step in self.steps.items()
            if step.started is not None and step.completed is None and digest not in self._ended and not step.internal
        ]
        steps.sort(key=lambda step: step.started or now)
        return [self._event("started", step, now) for step in steps]

    @property
    def failed(self) -> Step | None:
        """The step that failed first, or None. Steps that were cancelled because of it don't count.

        A cache that could not be read counts only where nothing else failed.
        """
        failures = [step for step in self.steps.values() if step.error]
        own = [step for step in failures if "context canceled" not in step.error]
        needed = [step for step in own if not step.optional]
        return next(iter(needed or own or failures), None)

    @property
    def cache_faults(self) -> list[str]:
        """Why caches could not be read or written, one line each."""
        return [f"{step.name}: {step.error}" for step in self.steps.values() if step.optional and step.error]

    @property
    def exit_code(self) -> int | None:
        """Exit status of the failing step, or None when it is not known."""
        match = _EXIT_CODE.search(self.failed.error) if self.failed else None
        return int(match.group(1)) if match else None

    def counts(self) -> tuple[int, int]:
        """Return how many steps have ended and how many are known."""
        known = {digest for digest, step in self.steps.items() if not step.internal}
        return len(self._ended & known), len(known)

    def _whole_object(self, line: str) -> dict[str, Any] | None:
        """Return the object that this line ends, or None when it ends none."""
        begun = bool(self._object)
        if not begun and not line.startswith("{"):
            return None
        self._object.append(line)
        # An indented object ends with a brace in the first column, which no line inside it has.
        if begun and line.rstrip() != "}":
            return None
        try:
            status = json.loads("".join(self._object))
        except ValueError:
            if not begun and line.rstrip() != "{":
                self._object = []
            return None
        self._object = []
        return status if isinstance(status, dict) else None

    def _vertex(self, vertex: dict[str, Any]) -> Iterator[Event | str]:
        digest = str(vertex.get("digest"))
        step = self.steps.setdefault(digest, Step(name=str(vertex.get("name", ""))))
        begun = step.started is not None
        if vertex.get("started"):
            step.started = timestamp(vertex["started"])
        step.completed = timestamp(vertex["completed"]) if vertex.get("completed") else None
        step.cached = bool(vertex.get("cached")) or step.cached
        step.error = str(vertex.get("error") or step.error)
        if step.started is not None and not begun:
            yield f"=== {' '.join(step.name.split())}"
        if step.completed is None or digest in self._ended:
            return
        self._ended.add(digest)
        seconds = step.completed - (step.started or step.completed)
        state: State = "failed" if step.error else "cached" if step.cached else "done"
        yield f"--- {step.title}: {step.error or state}, {seconds:.1f} s"
        if not step.internal:
            yield self._event(state, step, step.completed)

    def _event(self, state: State, step: Step, now: float) -> Event:
        ended, known = self.counts()
        position = min(ended + 1, known) if state == "started" else ended
        return Event(state, position, known, step.title, max(0.0, now - (step.started or now)))

    def _log(self, log: dict[str, Any]) -> Iterator[str]:
        step = self.steps.get(str(log.get("vertex")))
        if step is None:
            return
        # A chunk may end in the middle of a line; a carriage return redraws a progress bar.
        text = step.unfinished + _text(log.get("data")).replace("\r\n", "\n").replace("\r", "\n")
        *whole, step.unfinished = text.split("\n")
        for line in whole:
            if line.strip():
                step.lines.append(line.rstrip())
                yield line.rstrip()
        del step.lines[:-KEPT_LINES]


def _text(data: object) -> str:
    try:
        return base64.b64decode(str(data or "")).decode("utf-8", "replace")
    except binascii.Error:
        return ""
