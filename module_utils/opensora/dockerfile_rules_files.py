# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What goes wrong in a Dockerfile with the files of the build context, the cache and apt."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ansible.module_utils.opensora.dockerfile_findings import Finding
from ansible.module_utils.opensora.dockerfile_state import UNKNOWN_FOLDER, context_path, context_text
from ansible.module_utils.opensora.python_installation import Installation, installation
from e2b_dockerfile_utils import PatternMatcher

if TYPE_CHECKING:
    from ansible.module_utils.opensora.dockerfile_state import Step
    from ansible.module_utils.opensora.shell_script import Command

IGNORE_FILE = ".dockerignore"
_REMOTE = re.compile(r"(https?|ftp|git|ssh)://|git@|\S+\.git(#|$)")
_PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")
_LISTED = 6


def context_sources(step: Step) -> list[tuple[str, int]]:
    """Return the paths that an instruction takes from the build context, and their line.

    A path that depends on an unknown variable is left out.
    """
    instruction = step.instruction
    if instruction.name == "RUN":
        mounts = [mount for mount in instruction.mounts() if mount["type"] == "bind" and not mount.get("from")]
        words = [mount.get("source") or mount.get("src") or "" for mount in mounts]
    elif instruction.name in ("COPY", "ADD") and not instruction.flag("from"):
        words = list(instruction.arguments[:-1])
    else:
        return []
    expanded = [(step.state.variables.expanded(word), word) for word in words]
    return [
        (path, step.dockerfile.line_of(instruction, word))
        for path, word in expanded
        if path is not None and not _REMOTE.match(path)
    ]


def context_findings(step: Step) -> Iterator[Finding]:
    """Yield files that are taken from the build context and that it does not have."""
    for path, line in context_sources(step):
        inside = context_path(path)
        if inside and not _is_in_context(inside, step.build.context):
            yield Finding(
                "source_missing",
                line,
                f"{step.instruction.name} takes {path} from the build context, which has no such file; it has "
                f"{_listed(step.build.context)}",
                f"Add {inside} to opensora_image_context_files (text files only), or fetch it in the build.",
            )
        elif not inside and step.instruction.name != "RUN" and not step.build.has_own_files:
            yield Finding(
                "whole_context",
                line,
                f"{step.instruction.name} {path} copies the build context, which holds nothing but the role's own "
                f"{len(step.build.context)} files ({_listed(step.build.context)}), not the folder of this Dockerfile",
                "Name files in opensora_image_context_files, or fetch the application in the build, such as with "
                "git at ${OPENSORA_COMMIT}.",
            )


def _is_in_context(path: str, context: Mapping[str, str]) -> bool:
    names = [*_sent(context), "Dockerfile"]
    if any(character in path for character in "*?["):
        count = len(PurePosixPath(path).parts)
        prefixes = {"/".join(PurePosixPath(name).parts[:count]) for name in names}
        return any(_matches(name, path) for name in prefixes)
    return any(name == path or name.startswith(f"{path}/") for name in names)


def _matches(name: str, pattern: str) -> bool:
    """Return whether a path matches a pattern whose * does not cross a slash."""
    parts, patterns = name.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _sent(context: Mapping[str, str]) -> list[str]:
    """Return the files of the context that its own .dockerignore leaves in."""
    lines = [line.strip() for line in context.get(IGNORE_FILE, "").splitlines()]
    patterns = [line for line in lines if line and not line.startswith("#")]
    if not patterns:
        return list(context)
    try:
        matcher = PatternMatcher([re.sub(r"^(!?)/+", r"\1", pattern) for pattern in patterns])
        return [name for name in context if not matcher.matches(name)]
    except ValueError:
        return list(context)


def _listed(names: Mapping[str, str] | Sequence[str]) -> str:
    shown = sorted(names)[:_LISTED]
    return ", ".join(shown) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


def installed_file_findings(step: Step, command: Command) -> Iterator[Finding]:
    """Yield requirement files and projects that are installed from a copied build context without them."""
    found = installation(command)
    if found is None or step.state.has_fetched:
        return
    for name in (*found.files, *found.values("--constraint")):
        inside = _below_whole_context(step, name)
        if inside is not None and context_text(name, step.state, step.build.context) is None:
            yield _not_in_context(step, command.line, inside, name)
    for requirement in found.requirements:
        inside = _below_whole_context(step, requirement.location) if requirement.location else None
        if inside is None or requirement.location.endswith((".whl", ".tar.gz", ".zip")):
            continue
        if not any("/".join(filter(None, (inside, name))) in step.build.context for name in _PROJECT_FILES):
            yield _not_in_context(
                step, command.line, "/".join(filter(None, (inside, "pyproject.toml"))), requirement.location
            )


def _not_in_context(step: Step, line: int, inside: str, name: str) -> Finding:
    return Finding(
        "source_missing",
        line,
        f"{name} is installed out of the copied build context, which has no {inside}; it has "
        f"{_listed(step.build.context)}",
        f"Add {inside} to opensora_image_context_files (text files only), or fetch it in the build.",
    )


def _below_whole_context(step: Step, name: str) -> str | None:
    """Return where a path lies in the build context, if a COPY of all of it put it there; else None."""
    path = step.state.resolved(name, step.state.folder)
    if path and path.startswith(UNKNOWN_FOLDER):
        return None  # the base image may have had the file there
    for source, target in step.state.trees if path else ():
        if not source and path and (path == target or path.startswith(f"{target.rstrip('/')}/")):
            return path[len(target) :].strip("/")
    return None


def cache_findings(step: Step, command: Command) -> Iterator[Finding]:
    """Yield a copy of the whole context that comes before the requirements are installed."""
    found = installation(command)
    line = step.state.whole_context_line
    if not line or not _installs_a_file(found):
        return
    step.state.whole_context_line = 0
    yield Finding(
        "cache_order",
        line,
        f"everything is copied before line {command.line} installs the requirements: any changed file installs all of "
        "them again",
        "Copy the requirement files alone, install them, and copy the rest afterwards.",
    )


def _installs_a_file(found: Installation | None) -> bool:
    return found is not None and bool(found.files)


def apt_findings(step: Step) -> Iterator[Finding]:
    """Yield lists of apt that get old, or that stay in the finished image."""
    commands = [command for command in step.instruction.commands if command.name in ("apt", "apt-get")]
    updates = [command for command in commands if "update" in command.arguments]
    installs = [command for command in commands if {"install", "build-dep"} & set(command.arguments)]
    has_cache = any(
        mount.get("target", mount.get("dst", "")).startswith("/var/lib/apt") for mount in step.instruction.mounts()
    )
    state = step.state
    if has_cache or not commands:
        return
    if updates and not {"install", "upgrade", "dist-upgrade", "full-upgrade", "build-dep"} & {
        argument for command in commands for argument in command.arguments
    }:
        state.apt_update_line = updates[0].line
    elif installs and not updates and state.apt_update_line:
        yield Finding(
            "apt_update_alone",
            state.apt_update_line,
            f"apt's lists are fetched in a step of their own: it stays cached, and line {installs[0].line} asks for "
            "packages of that old list, which the mirror may no longer have",
            "Write apt-get update && apt-get install in one RUN.",
        )
        state.apt_update_line = 0
    if step.is_final and installs and updates and not _removes_lists(step):
        yield Finding(
            "apt_lists_kept",
            updates[0].line,
            "apt's lists stay in the finished image: tens of megabytes that every host pulls",
            "End this RUN with && rm -rf /var/lib/apt/lists/*, or mount a cache at /var/lib/apt.",
        )


def _removes_lists(step: Step) -> bool:
    return any(
        command.name == "rm"
        and any("/var/lib/apt" in argument or argument.startswith("/var/lib/*") for argument in command.arguments)
        for command in step.instruction.commands
    )
