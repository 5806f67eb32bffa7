# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""One run at a time on a host, with a journal by which one that waits shows what the other does."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.opensora.private_folder import hide

_POLL_SECONDS = 2.0


class LockedError(Exception):
    """Another run held a lock for longer than allowed."""


class Reporter:
    """Writes what happens as JSON lines, for whoever watches.

    Args:
        path: File to append to; None keeps silent.
        hidden: Words that no line may show.
    """

    def __init__(self, path: str | None, hidden: Collection[str] = ()) -> None:
        self._paths = [Path(path)] if path else []
        self._hidden = hidden

    def also(self, path: Path) -> None:
        """Write to another file as well, which is emptied first: the journal that a waiting run reads."""
        path.write_text("", encoding="utf-8")
        path.chmod(0o644)
        self._paths.append(path)

    def say(self, line: str, **details: Any) -> None:
        """Append one line of text with details."""
        # Before they are made JSON, which would write some characters of a word in another way.
        shown = {name: self.hide(value) if isinstance(value, str) else value for name, value in details.items()}
        text = json.dumps({**shown, "line": self.hide(line)}) + "\n"
        for path in self._paths:
            with path.open("a", encoding="utf-8") as file:
                file.write(text)

    def hide(self, text: str) -> str:
        """Return a text without the words that no line may show."""
        return hide(text, self._hidden)


@dataclass
class Turn:
    """The right to change what a lock protects, which one run has at a time.

    Attributes:
        file: The lock. A process that inherits it keeps the right until it has ended.
        waited: Whether another run had the right first.
    """

    file: int
    waited: bool


@contextmanager
def exclusive(path: Path, deadline: float, reporter: Reporter, what: str = "build") -> Iterator[Turn]:
    """Hold a lock, so that two runs never change the same things of a host at once; another one is waited for.

    What the other one does is shown meanwhile, from the journal that stands beside the lock. The kernel takes the lock
    back from a process that ends in any way, so it can't be left over.

    Args:
        path: Lock file.
        deadline: Monotonic time until which to wait.
        reporter: Is told about the wait.
        what: What the lock is for, in one word.

    Raises:
        LockedError: The other run took too long.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    journal = path.with_suffix(".progress")
    with path.open("a+", encoding="utf-8") as file:
        waited, seen = False, 0
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                if not waited:
                    reporter.say(f"waiting for another {what} on this host (process {holder})")
                lines, seen = _new_lines(journal, seen)
                # At first only where the other one is now, then every step of it.
                for line in lines if waited else lines[-1:]:
                    reporter.say(f"the other {what}: {line}")
                waited = True
                if time.monotonic() > deadline:
                    raise LockedError(f"another {what} (process {holder}) holds {path}") from None
                time.sleep(_POLL_SECONDS)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        reporter.also(journal)
        yield Turn(file.fileno(), waited)


def _new_lines(journal: Path, seen: int) -> tuple[list[str], int]:
    """Return the whole lines that a journal got since it had this length, and its length now."""
    try:
        data = journal.read_bytes()
    except OSError:
        return [], seen
    # A shorter one was begun anew.
    fresh = data[seen if seen <= len(data) else 0 :]
    whole = fresh[: fresh.rfind(b"\n") + 1]
    lines = [text for line in whole.splitlines() if (text := _text_of(line))]
    return lines, len(data) - len(fresh) + len(whole)


def _text_of(line: bytes) -> str:
    """Return what a line of a journal says; empty for one of which a full disk has taken a part."""
    try:
        return str(json.loads(line)["line"])
    except (ValueError, KeyError, TypeError):
        return ""
