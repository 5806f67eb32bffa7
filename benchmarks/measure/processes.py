# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What a run takes of this machine: processor time and memory of a process and of all that it starts."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def parse_stat(text: str) -> tuple[int, float]:
    """Return parent and seconds of processor time of a process, from its /proc/PID/stat."""
    fields = text.rpartition(")")[2].split()  # the name before may hold anything, a closing parenthesis as well
    return int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS


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


def process_parents() -> dict[int, int]:
    """Return the parent of each process."""
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (text := read(folder / "stat")):
            found[int(folder.name)] = parse_stat(text)[0]
    return found


def connection_processes(control_path: Path) -> list[int]:
    """Return the background processes of ssh that keep the connections of a folder of control sockets."""
    mark = f"ssh: {control_path}/"
    return [
        int(folder.name)
        for folder in PROC.iterdir()
        if folder.name.isdigit() and read(folder / "cmdline").startswith(mark)
    ]


def processor_seconds(process: int) -> float:
    """Return the processor time that a running process has used."""
    text = read(PROC / str(process) / "stat")
    return parse_stat(text)[1] if text else 0.0


class MemorySampler(threading.Thread):
    """Samples a process tree and its connections while they run.

    It keeps the peak of their memory, and the processor time that the root alone had used when last seen.
    """

    def __init__(self, root: int, control_path: Path, interval: float = 0.5) -> None:
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
            members = tree_of(self.root, process_parents()) | set(connection_processes(self.control_path))
            sizes = [parse_rollup(read(PROC / str(process) / "smaps_rollup")) for process in members]
            self.peak_bytes = max(self.peak_bytes, sum(sizes))
            self.peak_processes = max(self.peak_processes, sum(size > 0 for size in sizes))
            self.root_seconds = max(self.root_seconds, processor_seconds(self.root))
            self.stopped.wait(self.interval)

    def stop(self) -> None:
        """End the sampling."""
        self.stopped.set()
        self.join()
