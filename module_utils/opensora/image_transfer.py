# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Say how far a transfer of an image is: a pull or a push by the messages of the engine, anything else by its bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

MEBIBYTE = 1024**2
GIBIBYTE = 1024**3
# Shares of a transfer that are worth a line, in percent, and the longest silence in seconds.
STEP_PERCENT = 10
SILENCE_SECONDS = 20.0


class TransferError(Exception):
    """An image could not be transferred; the text is the engine's or the tool's own."""


class TransferProgress:
    """Says when a transfer has come far enough for another line.

    Args:
        verb: What is done, such as ``receive``.
    """

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._said = -1
        self._spoken = time.monotonic()

    def line(self, done: int, total: int) -> str | None:
        """Return a line for every tenth and after a long silence, else None.

        Args:
            done: Bytes that are done.
            total: Bytes of all.
        """
        percent = min(100 * done // total, 100) if total else 100
        tenth = percent // STEP_PERCENT
        if tenth <= self._said and time.monotonic() - self._spoken <= SILENCE_SECONDS:
            return None
        self._said, self._spoken = max(self._said, tenth), time.monotonic()
        return f"{self._verb} {percent} % of {size_text(total)}"


class CountedStream:
    """Counts a stream while it passes and says how far it is.

    Args:
        chunks: The stream.
        total: Its expected length.
        verb: What is done, such as ``save``.
        say: Shows a line.

    Attributes:
        bytes: Length of what has passed.
    """

    def __init__(self, chunks: Iterable[bytes], total: int, verb: str, say: Callable[[str], None]) -> None:
        self._chunks = chunks
        self._total = total
        self._verb = verb
        self._say = say
        self.bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        progress = TransferProgress(self._verb)
        for chunk in self._chunks:
            self.bytes += len(chunk)
            line = progress.line(self.bytes, max(self._total, self.bytes))
            if line:
                self._say(line)
            yield chunk


def size_text(size: int) -> str:
    """Return a number of bytes for people, such as ``5.1 GiB``."""
    return f"{size / GIBIBYTE:.1f} GiB" if size >= GIBIBYTE else f"{size / MEBIBYTE:.0f} MiB"


def follow_transfer(messages: Iterable[Mapping[str, Any]], verb: str) -> Iterator[str]:
    """Yield a line for every tenth of a transfer.

    Args:
        messages: The engine's messages: ``{"status", "id", "progressDetail": {"current", "total"}}``.
        verb: ``pull`` or ``push``.

    Raises:
        TransferError: The engine reported an error.
    """
    layers: dict[str, tuple[int, int]] = {}
    progress = TransferProgress(verb)
    for message in messages:
        error = message.get("errorDetail") or message.get("error")
        if error:
            raise TransferError(str(error.get("message", error) if isinstance(error, Mapping) else error))
        layer, detail = str(message.get("id", "")), message.get("progressDetail") or {}
        if detail.get("total") and message.get("status") in ("Downloading", "Pushing"):
            layers[layer] = (int(detail.get("current", 0)), int(detail["total"]))
        elif message.get("status") in ("Download complete", "Pull complete", "Pushed") and layer in layers:
            layers[layer] = (layers[layer][1], layers[layer][1])
        current, total = (sum(column) for column in zip(*layers.values())) if layers else (0, 0)
        # The first layers that show a size are the smallest; their percents would only mislead.
        if total < MEBIBYTE:
            continue
        line = progress.line(current, total)
        if line:
            yield line
