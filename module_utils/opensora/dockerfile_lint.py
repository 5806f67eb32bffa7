# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Check a Dockerfile of the user's own before any host is touched: what would break, mislead or slow its build.

Few findings, each certain: what can't be known from the file makes none. docs/dockerfile.md lists them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ansible.module_utils.opensora.dockerfile import Dockerfile, DockerfileError, Stage, Variables, read, references
from ansible.module_utils.opensora.dockerfile_base_image import base_image
from ansible.module_utils.opensora.dockerfile_findings import WARNINGS, Finding, as_problem
from ansible.module_utils.opensora.dockerfile_rules_files import (
    apt_findings,
    cache_findings,
    context_findings,
    context_sources,
    installed_file_findings,
)
from ansible.module_utils.opensora.dockerfile_rules_python import python_findings
from ansible.module_utils.opensora.dockerfile_rules_variables import (
    argument_findings,
    environment_findings,
    from_findings,
    secret_findings,
    twice_findings,
    unused_findings,
)
from ansible.module_utils.opensora.dockerfile_state import Build, StageState, Step, context_path, initial_state
from ansible.module_utils.opensora.problems import Problem, invalid_value
from ansible.module_utils.opensora.shell_script import is_shell

if TYPE_CHECKING:
    from ansible.module_utils.opensora.dockerfile import Instruction

IGNORED_VARIABLE = "opensora_image_dockerfile_ignored_findings"
# The role looks their digests up on every run, so that a moved tag is seen.
_LOOKED_UP = frozenset({"BASE_IMAGE", "RUNTIME_BASE_IMAGE"})
_INTERPRETERS = frozenset({"python", "python3", "torchrun", "accelerate", "deepspeed", "jupyter", "gradio", "uvicorn"})


def lint(text: str, name: str, build: Build, ignored: Collection[str] = ()) -> list[Problem]:
    """Return everything that is wrong with a Dockerfile, in the order of its lines.

    Args:
        text: Text of the file.
        name: Its name, for messages.
        build: What it is built with.
        ignored: Codes of warnings that are not wanted.
    """
    problems = _wrong_ignored(ignored)
    try:
        dockerfile = read(text, build.given)
    except DockerfileError as error:
        finding = Finding("syntax", error.line, f"{error}: the builder refuses the file", "Correct this line.")
        return [*problems, as_problem(finding, name, text.split("\n"))]
    if build.target and dockerfile.stage(build.target) is None:
        stages = ", ".join(stage.name for stage in dockerfile.stages)
        return [*problems, invalid_value("opensora_image_target", build.target, f"a stage of {name}: {stages}")]
    # A stage that others start from is looked at once, but a rule may still see the same thing twice.
    findings = dict.fromkeys(_findings(dockerfile, build))
    wanted = [finding for finding in findings if finding.code not in ignored or finding.severity == "error"]
    wanted.sort(key=lambda finding: finding.line)
    secret = {finding.line for finding in findings if finding.code == "secret"}
    lines = ["" if number in secret else line for number, line in enumerate(dockerfile.lines, 1)]
    return problems + [as_problem(finding, name, lines) for finding in wanted]


def _wrong_ignored(ignored: Collection[str]) -> list[Problem]:
    allowed = f"codes of warnings: {', '.join(WARNINGS)}"
    return [invalid_value(IGNORED_VARIABLE, code, allowed) for code in ignored if code not in WARNINGS]


def _findings(dockerfile: Dockerfile, build: Build) -> Iterator[Finding]:
    needed = dockerfile.needed(build.target)
    target = dockerfile.stage(build.target) if build.target else dockerfile.stages[-1]
    final = target.chain() if target else []
    yield from _frontend(dockerfile)
    ends: dict[int, StageState] = {}
    for stage in needed:
        if stage.parent is None:
            yield from from_findings(dockerfile, stage)
            yield from _moving(stage.image, stage.base, stage.line, dockerfile)
            state = initial_state(base_image(stage.base), Variables(dockerfile.escape, build.given))
        else:
            state = ends[id(stage.parent)].copy()
        state.whole_context_line = 0
        ends[id(stage)] = state
        for instruction in stage.instructions:
            step = Step(build, dockerfile, stage, instruction, state, stage in final)
            yield from _step_findings(step, ends)
    instructions = [instruction for stage in final for instruction in stage.instructions]
    yield from twice_findings(dockerfile, instructions)
    yield from unused_findings(dockerfile, needed, build)
    if target is not None:
        yield from _user(target, instructions, ends[id(target)])
        yield from _entrypoint(instructions)


def _step_findings(step: Step, ends: dict[int, StageState]) -> Iterator[Finding]:
    """Yield what is wrong with one instruction, then take it into the state."""
    instruction, state = step.instruction, step.state
    if instruction.name == "ONBUILD":
        return
    yield from argument_findings(step)
    yield from environment_findings(step)
    yield from secret_findings(step)
    yield from context_findings(step)
    yield from _other_images(step)
    if instruction.name == "RUN":
        yield from apt_findings(step)
        state.start_run(instruction)
        for command in instruction.commands:
            yield from python_findings(step, command)
            yield from installed_file_findings(step, command)
            yield from cache_findings(step, command)
            state.run(command, step.build.context)
    elif instruction.name in ("COPY", "ADD"):
        _take_files(step, ends)
    state.apply(instruction, step.dockerfile.outer.arguments)


def _take_files(step: Step, ends: dict[int, StageState]) -> None:
    instruction, state = step.instruction, step.state
    name = instruction.flag("from")
    if name:
        other = step.dockerfile.stage(name)
        state.copy_from(instruction, ends.get(id(other)) if other else None)
        return
    sources = [path for path, _ in context_sources(step)]
    if len(sources) != len(instruction.arguments) - 1:
        state.has_fetched = True
    if instruction.arguments:
        state.copy_context(instruction, sources, step.build.context)
    if "" in map(context_path, sources):
        state.whole_context_line = instruction.line


def _frontend(dockerfile: Dockerfile) -> Iterator[Finding]:
    if "syntax" in dockerfile.directives:
        image, line = dockerfile.directives["syntax"]
        yield Finding(
            "frontend",
            line,
            f"the syntax line fetches the frontend {image} from its registry at every build, which a site without "
            "access to it can't do",
            "Leave it out: the engine's own frontend knows cache mounts, bind mounts and here-documents.",
        )


def _other_images(step: Step) -> Iterator[Finding]:
    """Yield moving tags of images that files are taken from."""
    names = [step.instruction.flag("from")] + [mount.get("from", "") for mount in step.instruction.mounts()]
    for name in names:
        if name and step.dockerfile.stage(name) is None:
            yield from _moving(name, name, step.instruction.line, step.dockerfile)


def _moving(source: str, name: str | None, line: int, dockerfile: Dockerfile) -> Iterator[Finding]:
    if _LOOKED_UP & set(references(source, dockerfile.escape)):
        return
    image = base_image(name)
    if image.moves and image.reference:
        tag = f"the tag {image.reference.tag}" if image.reference.tag else "no tag, which means latest"
        yield Finding(
            "moving_tag",
            line,
            f"{name} has {tag}: it is another image tomorrow, and the build key doesn't see it, so that hosts of one "
            "site can differ",
            "Name a version, better with its digest (NAME:TAG@sha256:...), or start from ${BASE_IMAGE}, which the role "
            "pins.",
        )


def _user(target: Stage, instructions: list[Instruction], state: StageState) -> Iterator[Finding]:
    users = [instruction for instruction in instructions if instruction.name == "USER"]
    last = users[-1] if users else None
    if last is None and not state.base.runs_as_root:
        return
    name = state.variables.expanded(last.arguments[0]) if last and last.arguments else None
    if last is not None and (name is None or name.partition(":")[0] not in ("root", "0")):
        return
    yield Finding(
        "root_user",
        last.line if last else target.line,
        "the image runs as root wherever nobody says otherwise; the service does say otherwise, and to its user no "
        "folder of the image belongs",
        "Make a user for ${RUNTIME_UID}:${RUNTIME_GID}, give it the folders that it writes to, and end with "
        "USER ${RUNTIME_UID}:${RUNTIME_GID}.",
    )


def _entrypoint(instructions: list[Instruction]) -> Iterator[Finding]:
    """Yield an entry point that does not run the command that the service gives."""
    entrypoints = [instruction for instruction in instructions if instruction.name == "ENTRYPOINT"]
    if not entrypoints or not entrypoints[-1].arguments or not any(entrypoints[-1].arguments):
        return
    last = entrypoints[-1]
    program = PurePosixPath(last.arguments[0]).name
    if not last.is_exec:
        effect = "is in shell form and drops the command that the service gives"
    elif program in _INTERPRETERS or _drops_arguments(last.arguments):
        effect = f"hands the command that the service gives (sleep infinity by default) to {program} as arguments"
    else:
        return
    yield Finding(
        "entrypoint",
        last.line,
        f"ENTRYPOINT {effect}: the container ends at once, or does not do what it shall",
        'Leave it out and use CMD, or end the entry point\'s script with exec "$@".',
    )


def _drops_arguments(words: Sequence[str]) -> bool:
    """Return whether an entry point is a shell that won't run the words that follow; its own script may well do."""
    if not is_shell(words[0]):
        return False
    behind = [word for word in words[1:] if not word.startswith("-")]
    has_script = any(re.fullmatch(r"-[a-z]*c", word) for word in words[1:])
    return not behind or (has_script and not any("$@" in word or "$*" in word for word in behind))
