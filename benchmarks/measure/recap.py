# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Read what ansible-playbook prints: the counts of its recap and the tasks that changed something."""

from __future__ import annotations

import re
from dataclasses import dataclass

COUNTS = ("ok", "changed", "unreachable", "failed", "skipped", "rescued", "ignored")
RECAP_LINE = re.compile(r"^(?P<host>\S+)\s+:\s+(?P<counts>ok=\d+.*)$")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class HostCounts:
    """One line of the recap."""

    ok: int = 0
    changed: int = 0
    unreachable: int = 0
    failed: int = 0
    skipped: int = 0
    rescued: int = 0
    ignored: int = 0

    @property
    def is_idle(self) -> bool:
        """Say whether the host was reached, and nothing on it changed or failed."""
        return self.ok > 0 and not (self.changed or self.unreachable or self.failed)


def parse_recap(output: str) -> dict[str, HostCounts]:
    """Return the counts of each host in the last recap of an output; empty where it has none."""
    found: dict[str, HostCounts] = {}
    is_recap = False
    for line in COLOUR.sub("", output).splitlines():
        if line.startswith("PLAY RECAP"):
            is_recap, found = True, {}
            continue
        match = RECAP_LINE.match(line) if is_recap else None
        if match:
            pairs = dict(re.findall(r"(\w+)=(\d+)", match["counts"]))
            found[match["host"]] = HostCounts(**{name: int(pairs.get(name, 0)) for name in COUNTS})
    return found


def changed_tasks(output: str) -> list[str]:
    """Return the names of the tasks that changed something, in order."""
    found: list[str] = []
    task = ""
    for line in COLOUR.sub("", output).splitlines():
        if match := re.match(r"^(?:TASK|RUNNING HANDLER) \[(.*)\] \**$", line):
            task = match[1]
        elif line.startswith("changed: [") and task not in found:
            found.append(task)
    return found
