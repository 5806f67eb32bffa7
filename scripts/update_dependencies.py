#!/usr/bin/env python3
"""Move every pinned dependency of the project to its newest version, and say what moved.

Pinned are the locks of Python packages, the bundle that the collections are taken from, and the actions of the
workflows. What can't be reached is named and stays as it is. With --only FOLDER just the locks in that folder.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[1]
STACKS = "roles/opensora_image/files/requirements"
STAND_INS = "molecule/resources/stand-ins"
# The test hosts have Debian 13's Python.
OF_TEST_HOST = ("--python-version", "3.13", "--python-platform", "x86_64-manylinux_2_28")
SECONDS_TO_ANSWER = 60


@dataclass(frozen=True)
class Lock:
    """A lock and how it is made.

    Attributes:
        path: The lock, below the root.
        source: What it is made of: a file of requirements beside it.
        arguments: Arguments of ``uv pip compile``: for which Python.
    """

    path: str
    source: str
    arguments: tuple[str, ...] = ("--universal", "--python-version", "3.11")


LOCKS = (
    *(Lock(f"requirements/{name}.txt", f"{name}.in") for name in ("runtime", "release", "test", "docker-sdk")),
    Lock(
        "roles/opensora_checkpoint/files/hub-library.txt",
        "hub-library.in",
        ("--universal", "--python-version", "3.10"),
    ),
    Lock(f"{STAND_INS}/python-index/requirements.txt", "requirements.in", OF_TEST_HOST),
    Lock(f"{STAND_INS}/open-sora/requirements.lock", "requirements.in", OF_TEST_HOST),
)
# Written by lock.py beside them, because a stack is one resolution in three files.
LOCKS_OF_STACKS = tuple(
    f"{STACKS}/{name}.txt"
    for name in (
        *("current", "current-torch", "current-torch-dependencies"),
        *("upstream", "upstream-torch", "upstream-torch-dependencies", "build-tools", "uv"),
    )
)
BUNDLE = "requirements/collections.txt"


@dataclass(frozen=True)
class Move:
    """A dependency that has another version than before; an empty version is none."""

    path: str
    name: str
    before: str
    after: str


def read_versions(text: str) -> dict[str, str]:
    """Return the versions in a lock by package; several for different Pythons are one text."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", text, re.MULTILINE):
        found.setdefault(name.lower(), []).append(version)
    return {name: ", ".join(versions) for name, versions in found.items()}


def moves(path: str, before: str, after: str) -> list[Move]:
    """Return what differs between two states of a lock."""
    old, new = read_versions(before), read_versions(after)
    return [
        Move(path, name, old.get(name, ""), new.get(name, ""))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def table(moved: list[Move]) -> str:
    """Return what moved as a table, a file after the other."""
    rows = [(move.path, move.name, move.before or "-", move.after or "-") for move in moved]
    rows = [("file", "package", "from", "to"), *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


# --- the actions of the workflows

USES = re.compile(r"uses: (?P<action>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40}) # (?P<tag>v\S+)")


def newest_release(listing: str) -> tuple[str, str] | None:
    """Return tag and commit of the highest version that ``git ls-remote --tags`` lists; a pre-release is none."""
    tags = re.findall(r"^([0-9a-f]{40})\s+refs/tags/(v\d+\.\d+\.\d+)(?:\^\{\})?$", listing, re.MULTILINE)
    commits = {tag: commit for commit, tag in tags}  # the commit of an annotated tag comes after the tag itself
    if not commits:
        return None
    tag = max(commits, key=lambda name: [int(part) for part in name[1:].split(".")])
    return tag, commits[tag]


def with_releases(workflow: str, releases: dict[str, tuple[str, str]]) -> str:
    """Return a workflow with its actions at given releases, by name; others stay."""

    def pin(match: re.Match[str]) -> str:
        tag, commit = releases.get(match["action"], (match["tag"], match["commit"]))
        return f"uses: {match['action']}@{commit} # {tag}"

    return USES.sub(pin, workflow)


def update_workflows(root: Path) -> tuple[list[Move], list[str]]:
    """Move the actions of all workflows; return what moved and what could not be reached."""
    paths = sorted((root / ".github/workflows").glob("*.yml"))
    releases: dict[str, tuple[str, str]] = {}
    unreachable = []
    for action in sorted({match["action"] for path in paths for match in USES.finditer(path.read_text())}):
        try:
            listing = run("git", "ls-remote", "--tags", f"https://github.com/{action}", cwd=root)
        except ResolveError as error:
            unreachable.append(f"the action {action}: {error}")
            continue
        release = newest_release(listing)
        if release:
            releases[action] = release
    moved = []
    for path in paths:
        before = path.read_text()
        for match in {match["action"]: match for match in USES.finditer(before)}.values():
            tag = releases.get(match["action"], (match["tag"], ""))[0]
            if tag != match["tag"]:
                moved.append(Move(path.relative_to(root).as_posix(), match["action"], match["tag"], tag))
        path.write_text(with_releases(before, releases))
    return moved, unreachable


# --- the locks


class ResolveError(Exception):
    """Something could not be resolved; the message is the last line of what was said."""


def run(*command: str, cwd: Path, timeout: int | None = SECONDS_TO_ANSWER, text: str | None = None) -> str:
    """Return what a command prints.

    Raises:
        ResolveError: It failed, or did not end in time.
    """
    try:
        result = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, check=False, timeout=timeout, input=text
        )
    except subprocess.TimeoutExpired as error:
        raise ResolveError(f"no answer in {timeout} s") from error
    if result.returncode:
        said = [line.strip() for line in (result.stderr or result.stdout).splitlines() if line.strip()]
        raise ResolveError(said[-1] if said else f"ended with {result.returncode}")
    return result.stdout


def compile_lock(lock: Lock, root: Path) -> None:
    """Resolve a lock again; when that fails it stays as it was."""
    path = root / lock.path
    command = ("uv", "pip", "compile", "--quiet", "--upgrade", "--generate-hashes", "--no-header")
    run(*command, "--no-emit-index-url", *lock.arguments, lock.source, "-o", path.name, cwd=path.parent, timeout=None)


def compile_bundle(root: Path) -> None:
    """Pin the newest bundle of the collections. It is unpacked, not installed, so it may be for a newer Python."""
    path = root / BUNDLE
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    command = ("uv", "pip", "compile", "--quiet", "--no-deps", "--generate-hashes", "--no-header", "--no-annotate")
    options = ("--no-emit-index-url", "--only-binary", ":all:", "--python-version", "3.14", "-")
    pin = run(*command, *options, cwd=root, text="ansible\n")
    path.write_text("\n".join([*head, pin.strip()]) + "\n")


def update(root: Path, only: str) -> tuple[list[Move], list[str], list[str]]:
    """Update everything; return what moved, what could not be resolved, and what could not be reached."""
    paths = [*(lock.path for lock in LOCKS), *LOCKS_OF_STACKS, BUNDLE]
    paths = [path for path in paths if path.startswith(only)]
    before = {path: (root / path).read_text() for path in paths}
    failed = []
    steps: list[tuple[str, Callable[[], object]]] = [(lock.path, partial(compile_lock, lock, root)) for lock in LOCKS]
    steps.append((STACKS, partial(run, sys.executable, f"{STACKS}/lock.py", cwd=root, timeout=None)))
    steps.append((BUNDLE, partial(compile_bundle, root)))
    for path, step in steps:
        if not path.startswith(only):
            continue
        print(f"==> {path}", file=sys.stderr)
        try:
            step()
        except ResolveError as error:
            failed.append(f"{path}: {error}")
    moved = [move for path in paths for move in moves(path, before[path], (root / path).read_text())]
    if only:
        return moved, failed, []
    of_workflows, unreachable = update_workflows(root)
    return moved + of_workflows, failed, unreachable


def main() -> int:
    """Update, and print what moved and what could not be reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="FOLDER", help="only the locks below this folder")
    moved, failed, unreachable = update(ROOT, parser.parse_args().only)
    print(table(moved) if moved else "everything is at its newest version already")
    for title, lines in (("not resolved, left as it was", failed), ("not reached, left as it was", unreachable)):
        if lines:
            print(f"\n{title}:", *(f"  {line}" for line in lines), sep="\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
