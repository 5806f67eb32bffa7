# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The calls of a run to its hosts, as the script record_call wrote them: begin, end (nanoseconds) and program."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Call:
    """One start of ssh, sftp or scp."""

    begin: float
    end: float
    program: str

    @property
    def seconds(self) -> float:
        """Return how long it took."""
        return self.end - self.begin


def parse_calls(text: str) -> list[Call]:
    """Return the calls in the order in which they began."""
    found = []
    for line in text.splitlines():
        begin, end, program = line.split()
        found.append(Call(int(begin) / 1e9, int(end) / 1e9, program))
    return sorted(found, key=lambda call: call.begin)


def covered_seconds(calls: list[Call]) -> float:
    """Return for how long at least one call was under way; calls to several hosts at once count once."""
    total, until = 0.0, 0.0
    for call in sorted(calls, key=lambda call: call.begin):
        total += max(0.0, call.end - max(call.begin, until))
        until = max(until, call.end)
    return total
