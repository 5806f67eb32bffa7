# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Decide which of apt's source entries to disable so that apt works again, from the files alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.apt_source_conflicts import (
    find_conflicts,
    find_source_problems,
    keys_of,
    offers,
    source_problem,
)
from ansible.module_utils.opensora.apt_sources import disable_entries, parse_sources, unreadable_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from ansible.module_utils.opensora.apt_source_conflicts import Conflict
    from ansible.module_utils.opensora.apt_sources import AptSource
    from ansible.module_utils.opensora.problems import Problem

REPAIRABLE = ("apt.conflicting_entries", "apt.dead_repository", "apt.wrong_release", "apt.old_key", "apt.wrong_key")


def is_repairable(problem: Mapping[str, Any]) -> bool:
    """Say whether a problem of the source entries is one that is repaired by disabling an entry."""
    return problem["severity"] == "error" and problem["code"] in REPAIRABLE


@dataclass(frozen=True)
class DisabledEntry:
    """An entry to disable.

    Attributes:
        path: Its file.
        line: Number of its line, or of the first line of its stanza.
        code: Code of the problem that it has.
        reason: Why, in one sentence.
    """

    path: str
    line: int
    code: str
    reason: str


@dataclass(frozen=True)
class SourceRepair:
    """What to change in apt's source files.

    Attributes:
        texts: New text of each file that changes, by its path.
        disabled: The entries that are disabled by that.
        problems: What cannot be repaired without loss, for a person to decide.
    """

    texts: dict[str, str]
    disabled: tuple[DisabledEntry, ...]
    problems: tuple[Problem, ...]


def _keyring_rank(source: AptSource, keyring_exists: Callable[[str], bool]) -> int:
    """Return 2 for an entry whose key is there, 1 for one that names no file, 0 for one whose keyring is missing."""
    keys = keys_of(source)
    if keys == "inline":
        return 2
    paths = [key for key in keys.split(",") if key.startswith("/")]
    if not paths:
        return 1
    return 2 if all(keyring_exists(path) for path in paths) else 0


def _choose(
    conflict: Conflict, keep: Collection[str], keyring_exists: Callable[[str], bool], architecture: str
) -> AptSource:
    def worth(source: AptSource) -> tuple[bool, int, int, bool]:
        return (
            source.path in keep,
            _keyring_rank(source, keyring_exists),
            len(offers(source, architecture)) if "deb" in source.types else 0,
            source.format == "deb822",
        )

    return max(conflict.entries, key=worth)  # the first one of equals, as apt reads them


def _losers(
    conflict: Conflict, keep: Collection[str], keyring_exists: Callable[[str], bool], architecture: str
) -> tuple[AptSource, list[AptSource]]:
    """Return the entry that stays, and those that can go without taking something from the host."""
    kept = _choose(conflict, keep, keyring_exists, architecture)
    offered = offers(kept, architecture)
    losers = []
    for source in conflict.entries:
        if source is kept or keys_of(source) == keys_of(kept) or (source.path in keep and kept.path in keep):
            continue
        is_lost = "deb" in source.types and not offers(source, architecture) <= offered
        if not is_lost or kept.path in keep or _keyring_rank(source, keyring_exists) == 0:
            losers.append(source)
    return kept, losers


def plan_repair(
    files: Mapping[str, str],
    os: Mapping[str, Any],
    *,
    keep: Sequence[str],
    keyring_exists: Callable[[str], bool],
) -> SourceRepair:
    """Decide which entries to disable.

    Lines that are no entries and entries that can never be of use go. Of entries that contradict each other one stays:
    the one in a file of ``keep``, else one whose keyring exists, else the one that offers most, else the newer format.
    An entry that offers something which the other lacks is left, unless its keyring is missing.

    Args:
        files: Text of each source file, by its path.
        os: The ``os`` part of the host's description.
        keep: Files whose entries stay where another contradicts them.
        keyring_exists: Says whether the file of a keyring exists.
    """
    architecture = str(os.get("deb_arch") or "")
    entries = [entry for path, text in files.items() for entry in parse_sources(path, text)]
    disabled = [
        DisabledEntry(line.path, line.line, "apt.dead_repository", f"it is no entry: {line.text[:80]}")
        for path, text in files.items()
        for line in unreadable_lines(path, text)
        if not line.text.startswith("#")
    ]
    for entry in entries:
        problem = source_problem(entry, os)
        if problem and is_repairable(problem.as_dict()):
            disabled.append(DisabledEntry(entry.path, entry.line, problem.code, problem.message))

    def remaining() -> list[AptSource]:
        lines = {(entry.path, entry.line) for entry in disabled}
        return [entry for entry in entries if (entry.path, entry.line) not in lines]

    looking = True
    while looking:
        looking = False
        for conflict in find_conflicts(remaining(), architecture):
            kept, losers = _losers(conflict, keep, keyring_exists, architecture)
            disabled += [
                DisabledEntry(loser.path, loser.line, "apt.conflicting_entries", f"{kept.place} offers it")
                for loser in losers
            ]
            if losers:
                looking = True
                break
    lines: dict[str, set[int]] = {}
    for gone in disabled:
        lines.setdefault(gone.path, set()).add(gone.line)
    texts = {path: disable_entries(path, files[path], numbers) for path, numbers in lines.items()}
    after = [entry.as_dict() for path, text in files.items() for entry in parse_sources(path, texts.get(path, text))]
    return SourceRepair(
        {path: text for path, text in texts.items() if text != files[path]},
        tuple(disabled),
        tuple(
            problem
            for problem in find_source_problems(after, os)
            if problem.severity == "error" and is_repairable(problem.as_dict())
        ),
    )
