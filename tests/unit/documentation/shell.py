"""Run the commands of an example with stand-ins, which only write down what they were asked."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.unit.documentation.documents import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

BASH = shutil.which("bash") or "/bin/bash"
_BETWEEN, _END = "\x1f", "\x1e"
# cp and the making of a virtual environment are really done, below the folder of the run: later commands rest on them.
_STAND_IN = """#!/bin/sh
{ printf '%s' "$0"; for word; do printf '\037%s' "$word"; done; printf '\036'; } >>'@LOG@'
case "${0##*/} ${1-} ${2-}" in
  "cp "*) exec @CP@ "$@" ;;
  "python3 -m venv") @MKDIR@ -p "$3" && exec @CP@ -r '@PROGRAMS@' "$3/bin" ;;
esac
"""


def make_project(place: Path) -> Path:
    """Return a folder like a fresh clone of the project: the inventories are copies, and the rest only links."""
    project = place / "project"
    project.mkdir()
    for entry in ROOT.iterdir():
        if entry.name in ("run", "inventory", ".git"):
            continue
        (project / entry.name).symlink_to(entry)
    shutil.copytree(ROOT / "inventory", project / "inventory", symlinks=True, ignore=shutil.ignore_patterns("prod"))
    return project


def commands_of(text: str, programs: Iterable[str], place: Path) -> tuple[list[list[str]], Path]:
    """Return every command that a script calls, with its words as bash makes them, and the project that it left.

    Raises:
        ValueError: The script is wrong, or calls a program that is none of those known.
    """
    project, folder, log = make_project(place), place / "programs", place / "log"
    folder.mkdir()
    stand_in = _STAND_IN.replace("@LOG@", str(log)).replace("@PROGRAMS@", str(folder))
    stand_in = stand_in.replace("@CP@", shutil.which("cp") or "").replace("@MKDIR@", shutil.which("mkdir") or "")
    for path in (*(folder / name for name in programs), project / "run"):
        path.write_text(stand_in)
        path.chmod(0o755)
    (place / "tmp").mkdir()
    result = subprocess.run(  # there are only stand-ins on its path
        [BASH, "--noprofile", "--norc", "-euo", "pipefail", "-c", text.replace("/tmp/", f"{place}/tmp/")],
        cwd=project,
        env={"PATH": str(folder), "EDITOR": "editor", "HOME": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode or result.stderr:
        raise ValueError(result.stderr.strip() or f"ends with {result.returncode}")
    calls = log.read_text().split(_END)[:-1] if log.exists() else []
    return [_named(call.split(_BETWEEN)) for call in calls], project


def _named(words: list[str]) -> list[str]:
    return ["./run" if words[0] == "./run" else words[0].rsplit("/", 1)[-1], *words[1:]]
