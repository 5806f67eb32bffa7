# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What goes wrong in a Dockerfile with build arguments, environment variables and secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ansible.module_utils.opensora.dockerfile import PLATFORM_ARGUMENTS, PREDEFINED_ARGUMENTS, references
from ansible.module_utils.opensora.dockerfile_findings import Finding, has_token
from ansible.module_utils.opensora.environment_profiles import (
    check,
    contradiction_in_allocator,
    fatal_in_allocator,
    is_secret_name,
    reason_against,
)
from ansible.module_utils.opensora.image_reference import parse_image_reference

if TYPE_CHECKING:
    from ansible.module_utils.opensora.dockerfile import Dockerfile, Instruction, Stage
    from ansible.module_utils.opensora.dockerfile_state import Build, Step
    from ansible.module_utils.opensora.shell_script import Command

# Instructions in which the builder replaces variables; what CMD and ENTRYPOINT hold is for the container's shell.
_EXPANDED = frozenset({"ADD", "ARG", "COPY", "ENV", "EXPOSE", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"})
_OF_THE_SHELL = re.compile(
    r"_|HOME|PATH|PWD|OLDPWD|SHELL|SHLVL|USER|LOGNAME|HOSTNAME|HOSTTYPE|OSTYPE|MACHTYPE|TERM|IFS|RANDOM|SECONDS|LINENO"
    r"|E?UID|PPID|OPTARG|OPTIND|REPLY|PIPESTATUS|FUNCNAME|PS\d|BASH\w*|LANG|LC_\w+|TMPDIR|DEBIAN_FRONTEND"
)
_ALLOCATOR = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
# Usual in images for the NVIDIA runtime, and the reservation overrides them at run time.
_HARMLESS = frozenset({"NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "OPENSORA_EXPECTED_GPUS"})
# PyTorch looks only whether this one is there.
_SET_AT_ANY_VALUE = frozenset({"PYTORCH_NO_CUDA_MEMORY_CACHING"})
_OFF = ("", "0", "false", "no", "off")
_TUNING = re.compile(
    r"(PYTORCH|TORCH|CUDA|CUDNN|CUBLAS|NCCL|OMP|MKL|KMP|NVCC|TRITON|FLASH_ATT\w*)_\w+|MAX_JOBS|NVIDIA_TF32_OVERRIDE"
)
_PLACEHOLDER = re.compile(
    r"x+|\*+|none|null|empty|dummy|placeholder|change[-_]?me|replace[-_ ]?me|todo|test|your\b.*|<.*>|true|false"
    r"|\d{1,6}|/.*|\$.*",
    re.IGNORECASE,
)
_SECRET_OPTIONS = ("--token", "--password", "--api-key")
_SHORTEST_SECRET = 8
_KEPT_FIX = (
    "Take it out, and withdraw it where it was given: it is known by now. Fetch what needs it outside of the build, or "
    "from a mirror that trusts the host."
)


def argument_findings(step: Step) -> Iterator[Finding]:
    """Yield variables that nothing gives a value, and those that can't get the value they are given."""
    instruction = step.instruction
    if instruction.name in _EXPANDED:
        for name in _needed(step):
            yield from _undefined(step, name, step.dockerfile.line_of(instruction, name), is_run=False)
    elif instruction.script is not None:
        seen = {mount.get("env", "") for mount in instruction.mounts()}
        for reference in instruction.script.references:
            if reference.has_fallback or reference.name in seen or _OF_THE_SHELL.fullmatch(reference.name):
                continue
            seen.add(reference.name)
            yield from _undefined(step, reference.name, reference.line, is_run=True)
    if instruction.name in ("ENV", "ARG"):
        yield from _overridden(step)


def _needed(step: Step) -> list[str]:
    instruction, escape = step.instruction, step.dockerfile.escape
    if instruction.name in ("ARG", "ENV"):
        # ARG X=${X} and ENV X=/opt/x:${X} are what they are: with nothing before, nothing is added.
        names = [other for name, value in instruction.pairs() for other in references(value, escape) if other != name]
    else:
        texts = [*instruction.arguments, *instruction.flag_values("chown")]
        names = [name for text in texts for name in references(text, escape)]
    return list(dict.fromkeys(names))


def _undefined(step: Step, name: str, line: int, is_run: bool) -> Iterator[Finding]:
    variables, base = step.state.variables.values, step.state.base
    if name in variables or name in PREDEFINED_ARGUMENTS:
        return
    before_from = {argument for instruction in step.dockerfile.arguments for argument, _ in instruction.pairs()}
    is_argument = name in before_from | _declared(step.dockerfile) | set(step.build.given) | PLATFORM_ARGUMENTS
    if base.defines(name):
        # python:${PYTHON_VERSION} defines PYTHON_VERSION: an image that is chosen by a variable may well have it.
        first = step.stage.chain()[0].image
        if base.family or not is_argument or name in references(first, step.dockerfile.escape):
            return
        yield Finding(
            "variable_undefined",
            line,
            f"{name} is declared in another place, not in this stage: it is empty here unless the base image sets it",
            f"Write ARG {name} in this stage, before line {line}.",
        )
    elif is_argument:
        where = (
            "before the first FROM, and such an argument ends there" if name in before_from else "nowhere in this stage"
        )
        yield Finding(
            "argument_undeclared",
            line,
            f"{name} is used, and it is declared {where}: it is empty here",
            f"Write ARG {name} in this stage, before line {line}.",
        )
    elif not is_run or name.isupper():
        yield Finding(
            "variable_undefined",
            line,
            f"{name} is used, and neither an ARG nor an ENV nor the base image gives it a value: it is empty here",
            f"Declare it with ARG {name}=VALUE before line {line}, or write ${{{name}:-VALUE}}.",
        )


def _declared(dockerfile: Dockerfile) -> set[str]:
    return {
        name
        for stage in dockerfile.stages
        for instruction in stage.instructions
        if instruction.name == "ARG"
        for name, _ in instruction.pairs()
    }


def _overridden(step: Step) -> Iterator[Finding]:
    """Yield arguments without effect, because an ENV of the same name wins over them."""
    variables, escape = step.state.variables, step.dockerfile.escape
    for name, value in step.instruction.pairs():
        if name == "DEBIAN_FRONTEND":
            continue
        if step.instruction.name == "ENV":
            wins = name in variables.arguments and name not in variables.environment
            wins = wins and name not in references(value, escape) and f"${{{name}:" not in value
        else:
            given = step.build.given.get(name, variables.expanded(value) if value else None)
            known = variables.environment.get(name)
            wins = known is not None and given is not None and known != given
        if wins:
            yield Finding(
                "argument_overridden",
                step.dockerfile.line_of(step.instruction, name),
                f"ENV {name} wins over ARG {name}: a value given as build argument has no effect",
                f"Write ENV {name}=${{{name}}}, or leave the ENV out.",
            )


def from_findings(dockerfile: Dockerfile, stage: Stage) -> Iterator[Finding]:
    """Yield variables of a FROM that have no value.

    Args:
        dockerfile: The file.
        stage: The stage.
    """
    values = dockerfile.outer.arguments
    missing = [
        name
        for name in references(stage.image, dockerfile.escape)
        if name not in PLATFORM_ARGUMENTS | PREDEFINED_ARGUMENTS and not values.get(name)
    ]
    for name in missing:
        why = "has neither a default nor a value" if name in values else "is not declared before the first FROM"
        image = re.sub(r"\$\{?(" + "|".join(missing) + r")\b\}?", "", stage.image)
        # A tag such as ${CUDA}-cudnn${CUDNN}-devel may well be one without them.
        is_certain = "$" not in image and not _is_image(image)
        yield Finding(
            "argument_undeclared" if is_certain else "variable_undefined",
            stage.line,
            f"FROM {stage.image} uses {name}, which {why}: "
            + ("there is no image of that name" if is_certain else "it is empty here"),
            f"Write ARG {name}=VALUE before the first FROM"
            + (", or set it in opensora_image_build_arguments." if name in values else "."),
        )


def _is_image(name: str) -> bool:
    try:
        parse_image_reference(name)
    except ValueError:
        return False
    return True


def unused_findings(dockerfile: Dockerfile, needed: list[Stage], build: Build) -> Iterator[Finding]:
    """Yield build arguments of the user that the file does not take.

    Args:
        dockerfile: The file.
        needed: The stages that are built.
        build: What it is built with.
    """
    in_stages = {
        name
        for stage in needed
        for instruction in stage.instructions
        if instruction.name == "ARG"
        for name, _ in instruction.pairs()
    }
    before = {name: instruction.line for instruction in dockerfile.arguments for name, _ in instruction.pairs()}
    in_from = {name for stage in needed for name in references(stage.image, dockerfile.escape)}
    # One ARG before the first FROM may be the default of another.
    in_from |= {
        name
        for part in dockerfile.arguments
        for _, value in part.pairs()
        for name in references(value, dockerfile.escape)
    }
    for name in build.asked:
        if (
            name in in_stages
            or name in in_from
            or name in PREDEFINED_ARGUMENTS
            or name.startswith(("BUILDKIT_", "SOURCE_"))
        ):
            continue
        if name in before:
            line, what = before[name], "declared before the first FROM alone, where no stage sees it"
        else:
            line, what = needed[-1].line, "not declared in any stage that is built"
        yield Finding(
            "argument_unused",
            line,
            f"{name} of opensora_image_build_arguments is {what}: its value has no effect",
            f"Write ARG {name} in the stage that uses it, or take it out of opensora_image_build_arguments.",
        )


def environment_findings(step: Step) -> Iterator[Finding]:
    """Yield environment values of the finished image that stop PyTorch, slow it down or do nothing."""
    if step.instruction.name != "ENV" or not step.is_final:
        return
    for name, raw in step.instruction.pairs():
        line = step.dockerfile.line_of(step.instruction, name)
        value = step.state.variables.expanded(raw)
        if value is None or name in _HARMLESS:
            continue
        if name in _ALLOCATOR:
            # PyTorch skips blanks.
            for reason in fatal_in_allocator(value.replace(" ", "")):
                yield Finding(
                    "allocator",
                    line,
                    f"{name}={value} {reason}",
                    f"Write {name}=expandable_segments:True, or leave it to the service's profile.",
                )
            reasons = contradiction_in_allocator(value)
        elif value.lower() in _OFF and name not in _SET_AT_ANY_VALUE and reason_against(name):
            continue
        elif reason_against(name):
            reasons = [f"is in the image for every run: {reason_against(name)}"]
        else:
            reasons = check(name, value, "performance")
        for reason in reasons:
            yield Finding(
                "environment",
                line,
                f"{name}={value} {reason}",
                "Leave it out; opensora_service_environment sets it for one service where it is needed.",
            )


def twice_findings(dockerfile: Dockerfile, instructions: list[Instruction]) -> Iterator[Finding]:
    """Yield settings that the finished image gets twice, with different values.

    Args:
        dockerfile: The file.
        instructions: Every instruction of the stages that the finished image is made of.
    """
    seen: dict[str, tuple[str, int]] = {}
    for instruction in instructions:
        if instruction.name != "ENV":
            continue
        for name, value in instruction.pairs():
            before = seen.get(name)
            seen[name] = (value, dockerfile.line_of(instruction, name))
            if (
                before is None
                or not _TUNING.fullmatch(name)
                or before[0] == value
                or name in references(value, dockerfile.escape)
            ):
                continue
            if value.strip("'\"").startswith(("/", "$")):
                continue
            yield Finding(
                "environment_twice",
                seen[name][1],
                f"{name} is set here again, to another value than in line {before[1]}: the last one counts",
                "Keep one of the two.",
            )


def secret_findings(step: Step) -> Iterator[Finding]:
    """Yield secrets that would be kept in the image or its history."""
    instruction = step.instruction
    if instruction.name in ("ARG", "ENV"):
        found = list(_named_secrets(step))
        yield from found
        if found:
            return
    for command in instruction.commands:
        yield from _command_secrets(command)
    for number in range(instruction.line, instruction.end + 1):
        line = step.dockerfile.lines[number - 1]
        if has_token(line) and not line.lstrip().startswith("#"):
            yield Finding(
                "secret",
                number,
                f"{instruction.name} holds what looks like a token or a password; it stays in the image's history",
                _KEPT_FIX,
            )


def _named_secrets(step: Step) -> Iterator[Finding]:
    instruction = step.instruction
    for name, raw in instruction.pairs():
        if not is_secret_name(name) or name.upper().endswith(("_FILE", "_PATH", "_URL", "_ID", "_DIR")):
            continue
        value = step.state.variables.expanded(raw) if raw else None
        if value and not _PLACEHOLDER.fullmatch(value):
            yield Finding(
                "secret",
                step.dockerfile.line_of(instruction, name),
                f"{instruction.name} {name} holds a secret; it stays in the image's history",
                _KEPT_FIX,
            )
        elif instruction.name == "ARG" and value is None:
            yield Finding(
                "secret_argument",
                step.dockerfile.line_of(instruction, name),
                f"ARG {name} is meant for a secret, which the image's history would keep; the role gives it none",
                "Fetch what needs it outside of the build, or from a mirror that trusts the host.",
            )


def _command_secrets(command: Command) -> Iterator[Finding]:
    values = [(name, value) for name, value in command.assignments.items() if is_secret_name(name)]
    values += [
        (option, value) for option, value in zip(command.arguments, command.arguments[1:]) if option in _SECRET_OPTIONS
    ]
    for name, value in values:
        is_literal = len(value) >= _SHORTEST_SECRET and not re.search(r"[$`]", value)
        if is_literal and not _PLACEHOLDER.fullmatch(value) and not has_token(value):
            yield Finding(
                "secret",
                command.line,
                f"{command.name} is given {name} with its value; it stays in the image's history",
                _KEPT_FIX,
            )
