# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Reading a host: files below a root folder and the output of commands, so that a folder can stand for a host."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Callable, Optional, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAXIMUM_LINKS = 40  # what the Linux kernel follows before it gives up with ELOOP


@dataclass(frozen=True)
class CommandResult:
    """What one command answered.

    Attributes:
        rc: Exit status; null when the command does not exist or did not end in time.
        stdout: Standard output as text.
        stderr: Standard error as text.
        timed_out: Whether the command was stopped because it did not end in time.
    """

    rc: Optional[int] = None  # noqa: UP045  a dataclass on Python 3.9 may be asked for its type hints
    stdout: str = ""
    stderr: str = ""
    timed_out: bool = False

    @property
    def ran(self) -> bool:
        """Whether the command existed and ended."""
        return self.rc is not None


NOT_RUN = CommandResult()
Result = TypeVar("Result")
Runner = Callable[["Sequence[str]"], CommandResult]


class HostProbe:
    """One host, seen through its files and its commands."""

    def __init__(self, root: str, run: Runner) -> None:
        self.root = Path(root)
        self.run = run

    def resolve(self, path: str) -> str:
        """Return the path with every symbolic link followed as the host itself would, below the root.

        Args:
            path: Absolute path on the host; it need not exist.
        """
        done: list[str] = []
        todo = [part for part in PurePosixPath(path).parts if part != "/"]
        links = 0
        while todo:
            part = todo.pop(0)
            if part == "..":
                done = done[:-1]
                continue
            target = _link_target("/".join([str(self.root), *done, part])) if links < _MAXIMUM_LINKS else None
            if target is None:
                done.append(part)
                continue
            links += 1
            if target.is_absolute():
                done = []
            todo[:0] = [step for step in target.parts if step != "/"]
        return "/" + "/".join(done)

    def place(self, path: str) -> Path:
        """Return where a path of the host lies on this machine."""
        if str(self.root) == "/":
            return Path(path)  # the kernel follows the links itself
        return self.root / self.resolve(path).lstrip("/")

    def exists(self, path: str) -> bool:
        """Return whether a path exists on the host; what may not be looked at, or lies on a dead mount, does not."""
        return os.path.exists(self.place(path))  # noqa: PTH110  Path.exists raises for these

    def text(self, path: str) -> str | None:
        """Return a file's text without surrounding white space, or null where it cannot be read."""
        try:
            return self.place(path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None

    def octets(self, path: str) -> bytes | None:
        """Return a file's bytes, or null where it cannot be read."""
        try:
            return self.place(path).read_bytes()
        except OSError:
            return None

    def names(self, path: str) -> list[str]:
        """Return the sorted names in a folder, or an empty list where it cannot be read."""
        try:
            return sorted(entry.name for entry in self.place(path).iterdir())
        except OSError:
            return []

    def link_name(self, path: str) -> str | None:
        """Return the last part of what a symbolic link points to, such as a driver's name in sysfs."""
        target = _link_target(str(self.root / path.lstrip("/")))
        return None if target is None else target.name

    def modified(self, path: str) -> int | None:
        """Return when a file was last changed, in seconds since 1970, or null."""
        try:
            return int(self.place(path).stat().st_mtime)
        except OSError:
            return None

    def nearest_existing(self, path: str) -> str:
        """Return the path itself, or the nearest folder above it that exists."""
        current = PurePosixPath(path)
        while not self.exists(str(current)) and current != current.parent:
            current = current.parent
        return str(current)

    def run_while(
        self, commands: Mapping[str, Sequence[str]], work: Callable[[], Result]
    ) -> tuple[dict[str, CommandResult], Result]:
        """Run commands at the same time, do some other work until they end, and return what both gave.

        Args:
            commands: Name to command.
            work: What to do meanwhile, such as reading files.
        """
        with ThreadPoolExecutor(max_workers=max(1, len(commands))) as pool:
            jobs = {name: pool.submit(self.run, argv) for name, argv in commands.items()}
            done = work()
            return {name: job.result() for name, job in jobs.items()}, done


def _link_target(place: str) -> PurePosixPath | None:
    """Return what a symbolic link points to, or null for anything else and where that cannot be read."""
    try:
        return PurePosixPath(os.readlink(place))  # noqa: PTH115  Path.readlink raises on magic links
    except (OSError, ValueError):
        return None
