# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What a run takes of this machine: processor time and memory of a process and of all that it starts."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """What /proc/PID/stat says of a process."""

    name: str
    parent: int
    processor_seconds: float


def parse_stat(text: str) -> Process:
    """Read /proc/PID/stat."""
    # The name may hold anything, a closing parenthesis as well.
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    return Process(head.partition("(")[2], int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS)


def parse_rollup(text: str) -> int:
    """Return the proportional set size in bytes, from /proc/PID/smaps_rollup: what is shared counts by its share."""
    match = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def tree_of(root: int, parents: dict[int, int]) -> set[int]:
    """Return a process and all its descendants, given the parent of each process."""
    children: dict[int, list[int]] = {}
    for process, parent in parents.items():
        children.setdefault(parent, []).append(process)
    found, waiting = set(), [root]
    while waiting:
        process = waiting.pop()
        found.add(process)
        waiting += [child for child in children.get(process, []) if child not in found]
    return found


def read(path: Path) -> str:
    """Return the text of a file of /proc; empty where the process has ended."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def all_processes() -> dict[int, Process]:
    """Return the processes of this machine."""
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (text := read(folder / "stat")):
            found[int(folder.name)] = parse_stat(text)
    return found


def connection_processes(processes: dict[int, Process], control_path: Path) -> list[int]:
    """Return the background processes of ssh that keep the connections of a folder of control sockets."""
    mark = f"ssh: {control_path}/"
    return [
        number
        for number, process in processes.items()
        if process.name == "ssh" and read(PROC / str(number) / "cmdline").startswith(mark)
    ]


class MemorySampler(threading.Thread):
    """Samples a process tree and its connections while they run.

    It keeps the peak of their memory, and the processor time that the root alone had used when last seen.
    """

    def __init__(self, root: int, control_path: Path, interval: float = 1.0) -> None:
        super().__init__(daemon=True)
        self.root = root
        self.control_path = control_path
        self.interval = interval
        self.peak_bytes = 0
        self.peak_processes = 0
        self.root_seconds = 0.0
        self.stopped = threading.Event()

    def run(self) -> None:
        """Sample until it is told to stop."""
        while not self.stopped.is_set():
            processes = all_processes()
            members = tree_of(self.root, {number: process.parent for number, process in processes.items()})
            members |= set(connection_processes(processes, self.control_path))
            sizes = [parse_rollup(read(PROC / str(process) / "smaps_rollup")) for process in members]
            self.peak_bytes = max(self.peak_bytes, sum(sizes))
            self.peak_processes = max(self.peak_processes, sum(size > 0 for size in sizes))
            if self.root in processes:
                self.root_seconds = max(self.root_seconds, processes[self.root].processor_seconds)
            self.stopped.wait(self.interval)

    def stop(self) -> None:
        """End the sampling."""
        self.stopped.set()
        self.join()
