"""A host made of a few files and of answers to its commands."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from ansible.module_utils.opensora.host_probe import NOT_RUN, CommandResult, HostProbe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class RecordedHost(HostProbe):
    """A host in an empty folder; a command that nobody gave an answer for does not exist."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder), self._answer)
        self.answers: dict[str, CommandResult] = {}
        self.asked: list[Sequence[str]] = []

    def _answer(self, argv: Sequence[str]) -> CommandResult:
        self.asked.append(argv)
        return self.answers.get(argv[0], NOT_RUN)

    def write(self, path: str, content: str | bytes = "", modified: int | None = None) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        if modified is not None:
            os.utime(place, (modified, modified))

    def link(self, path: str, target: str) -> None:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)


@pytest.fixture
def recorded(tmp_path: Path) -> RecordedHost:
    return RecordedHost(tmp_path)
