# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Follow a pull or a push through the messages of the engine."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MEBIBYTE = 1024**2
# Shares of a transfer that are worth a line, in percent, and the longest silence in seconds.
STEP_PERCENT = 10
SILENCE_SECONDS = 20.0


class TransferError(Exception):
    """The engine could not pull or push; the text is the engine's own."""


def follow_transfer(messages: Iterable[Mapping[str, Any]], verb: str) -> Iterator[str]:
    """Yield a line for every tenth of a transfer.

    Args:
        messages: The engine's messages: ``{"status", "id", "progressDetail": {"current", "total"}}``.
        verb: ``pull`` or ``push``.

    Raises:
        TransferError: The engine reported an error.
    """
    layers: dict[str, tuple[int, int]] = {}
    said, spoken = -1, time.monotonic()
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
        percent = 100 * current // total
        tenth = percent // STEP_PERCENT
        if tenth > said or time.monotonic() - spoken > SILENCE_SECONDS:
            said, spoken = max(said, tenth), time.monotonic()
            yield f"{verb} {min(percent, 100)} % of {total / MEBIBYTE:.0f} MiB"
