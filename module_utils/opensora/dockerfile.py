# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""A Dockerfile as stages and instructions, with the line of everything and the scope of its variables.

The syntax itself is read by e2b-dockerfile-utils, a port of BuildKit's own parser (docs/decisions/0007). Runs on the
control node only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible.module_utils.opensora.shell_script import Command, Script, Word, inline_script, is_shell, without_prefix
from e2b_dockerfile_utils import (
    DockerfileInstruction,
    DockerfileSyntaxError,
    ShellLex,
    chomp_heredoc_content,
    parse_dockerfile_ast,
)

# Arguments that BuildKit knows without a declaration: everywhere, and those it knows before the first FROM.
PREDEFINED_ARGUMENTS = frozenset(
    name
    for base in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (base, base.lower())
)
PLATFORM_ARGUMENTS = frozenset(
    f"{side}{part}" for side in ("TARGET", "BUILD") for part in ("PLATFORM", "OS", "ARCH", "VARIANT")
) | {"TARGETSTAGE"}
_DIRECTIVE = re.compile(r"#\s*(syntax|escape|check)\s*=\s*(.+?)\s*", re.IGNORECASE)
_WITH_FALLBACK = re.compile(r"\$\{(\w+):?[-+?]")
# A step whose whole script is a here-document.
_ONLY_HEREDOC = re.compile(r"<<-?\s*(['\"]?)[\w.]+\1\s*")


class DockerfileError(ValueError):
    """A text that is no Dockerfile.

    Attributes:
        line: Line of the fault.
    """

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        name: In capitals, such as ``RUN``.
        flags: Options of the builder, such as ``--from=build``.
        arguments: Arguments as the builder splits them, quotes still around them. For ENV and LABEL names and values
            in turn.
        is_exec: Whether the arguments are a JSON list.
        heredocs: Names of its here-documents.
        line: Line in which it starts.
        end: Line in which it ends, here-documents included.
        script: What the shell is given; None for other instructions, the exec form and other interpreters.
        commands: Every command that it runs.
    """

    name: str
    flags: tuple[str, ...]
    arguments: tuple[str, ...]
    is_exec: bool
    heredocs: tuple[str, ...]
    line: int
    end: int
    script: Script | None = None
    commands: tuple[Command, ...] = ()

    def flag(self, name: str) -> str:
        """Return the value of ``--name=value``, or an empty text."""
        return next(iter(self.flag_values(name)), "")

    def flag_values(self, name: str) -> list[str]:
        """Return the values of every ``--name=value``."""
        return [flag.partition("=")[2] for flag in self.flags if flag.startswith(f"--{name}=")]

    def mounts(self) -> list[dict[str, str]]:
        """Return the mounts of a RUN as dicts of their keys."""
        return [
            {"type": "bind"} | {key: value for key, _, value in (part.partition("=") for part in text.split(","))}
            for text in self.flag_values("mount")
        ]

    def pairs(self) -> list[tuple[str, str]]:
        """Return names and raw values of an ENV, or of an ARG, in which a missing value is an empty text."""
        if self.name == "ENV":
            return list(zip(self.arguments[::3], self.arguments[1::3]))
        return [(name, value) for name, _, value in (word.partition("=") for word in self.arguments)]


@dataclass
class Stage:
    """One build stage.

    Attributes:
        name: Name behind AS in lower case, or its number.
        image: What stands behind FROM, as written.
        base: The same with its variables replaced; None when one of them has no known value.
        line: Line of the FROM.
        instructions: Its instructions without the FROM.
        parent: The stage that it starts from; None when it starts from an image.
    """

    name: str
    image: str
    base: str | None
    line: int
    instructions: list[Instruction] = field(default_factory=list)
    parent: Stage | None = None

    def chain(self) -> list[Stage]:
        """Return the stages that it is made of, the first one first."""
        return [*(self.parent.chain() if self.parent else []), self]

    @property
    def first_line(self) -> int:
        """Line of the FROM that names the image it comes from."""
        return self.chain()[0].line


@dataclass(frozen=True)
class Dockerfile:
    """A Dockerfile.

    Attributes:
        directives: Directives at its head, such as ``syntax``, with value and line.
        arguments: ARG instructions before the first FROM.
        outer: Their values.
        stages: Its stages in order.
        lines: Its lines.
        escape: The escape character.
    """

    directives: dict[str, tuple[str, int]]
    arguments: tuple[Instruction, ...]
    outer: Variables
    stages: tuple[Stage, ...]
    lines: tuple[str, ...]
    escape: str

    def stage(self, name: str) -> Stage | None:
        """Return a stage by name or number; None when there is none."""
        wanted = name.lower()
        for number, stage in enumerate(self.stages):
            if wanted in (stage.name, str(number)):
                return stage
        return None

    def line_of(self, instruction: Instruction, word: str) -> int:
        """Return the line of an instruction that holds a word; its first one when none does.

        Args:
            instruction: The instruction.
            word: Such as the name of a variable.
        """
        pattern = re.compile(rf"(?<![\w/.]){re.escape(word)}(?![\w/.])")
        for number in range(instruction.line, instruction.end + 1):
            line = self.lines[number - 1]
            if pattern.search(line) and not line.lstrip().startswith("#"):
                return number
        return instruction.line

    def needed(self, target: str) -> list[Stage]:
        """Return the stages that a target is made from; BuildKit builds no others.

        Args:
            target: Name of a stage; empty for the last.
        """
        last = self.stage(target) if target else self.stages[-1]
        found: list[Stage] = []
        pending = [last] if last else []
        while pending:
            stage = pending.pop()
            if stage in found:
                continue
            found.append(stage)
            names = [instruction.flag("from") for instruction in stage.instructions]
            names += [mount.get("from", "") for step in stage.instructions for mount in step.mounts()]
            pending += [other for name in names if name and (other := self.stage(name))]
            pending += [stage.parent] if stage.parent else []
        return [stage for stage in self.stages if stage in found]


class Variables:
    """Build arguments and environment at one place of a Dockerfile.

    A value of None is one that is not known here.

    Args:
        escape: The Dockerfile's escape character.
        given: Build arguments that the build is given.
    """

    def __init__(self, escape: str, given: Mapping[str, str]) -> None:
        self._escape = escape
        self._given = given
        self.arguments: dict[str, str | None] = {}
        self.environment: dict[str, str | None] = {}

    def copy(self) -> Variables:
        """Return the same variables, free to go another way."""
        copied = Variables(self._escape, self._given)
        copied.arguments = dict(self.arguments)
        copied.environment = dict(self.environment)
        return copied

    @property
    def values(self) -> dict[str, str | None]:
        """Every variable; the environment wins over an argument of the same name, as in a build."""
        return {**self.arguments, **self.environment}

    def declare(self, instruction: Instruction, defaults: Mapping[str, str | None] | None = None) -> None:
        """Take an ARG.

        Args:
            instruction: The ARG.
            defaults: Arguments before the first FROM, which an ARG without a value takes its value from.
        """
        for word, (name, value) in zip(instruction.arguments, instruction.pairs()):
            if name in self._given:
                self.arguments[name] = self._given[name]
            elif "=" in word:
                self.arguments[name] = self.expanded(value)
            else:
                self.arguments[name] = (defaults or {}).get(name)

    def set(self, instruction: Instruction) -> None:
        """Take an ENV; all its values see the variables as they were before it."""
        self.environment.update({name: self.expanded(value) for name, value in instruction.pairs()})

    def expanded(self, text: str) -> str | None:
        """Return a text with its variables replaced and quotes removed; None when one of them has no known value."""
        values = self.values
        if any(values.get(name) is None for name in references(text, self._escape)):
            return None
        known = {name: value for name, value in values.items() if value is not None}
        try:
            return ShellLex(self._escape, env=known, skip_unset_env=False).process_word(text)
        except ValueError:
            return None


class _Recorder(dict[str, str]):
    """An environment without variables that remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def get(self, key: str, default: object = None) -> None:  # type: ignore[override]
        del default
        self.asked.append(key)


def references(text: str, escape: str) -> list[str]:
    """Return the variables that an argument of an instruction needs, apart from those with a fallback.

    Args:
        text: Such as ``/opt/${NAME}``.
        escape: The Dockerfile's escape character.
    """
    recorder = _Recorder()
    try:
        ShellLex(escape, env=recorder).process_word(text)
    except ValueError:
        return []
    optional = set(_WITH_FALLBACK.findall(text))
    return [name for name in dict.fromkeys(recorder.asked) if re.match(r"[A-Za-z_]", name) and name not in optional]


def read(text: str, given: Mapping[str, str]) -> Dockerfile:
    """Return what a Dockerfile says.

    Args:
        text: Text of the file.
        given: Build arguments that the build is given.

    Raises:
        DockerfileError: The builder would refuse it too.
    """
    try:
        ast = parse_dockerfile_ast(text)
    except DockerfileSyntaxError as error:
        message = re.sub(r"^Dockerfile parse error(?: on line \d+)?: ", "", str(error))
        raise DockerfileError(message, error.line or 1) from error
    lines = tuple(text.removeprefix("\ufeff").split("\n"))
    arguments: list[Instruction] = []
    stages: list[Stage] = []
    outer = Variables(ast.escape_token, given)
    shell: Sequence[str] = ("/bin/sh", "-c")
    for parsed in ast.instructions:
        if parsed.name == "FROM":
            stages.append(_stage(parsed, stages, outer))
            shell = ("/bin/sh", "-c")
        elif stages:
            shell = parsed.args if parsed.name == "SHELL" else shell
            stages[-1].instructions.append(_instruction(parsed, lines, ast.escape_token, shell))
        elif parsed.name == "ARG":
            arguments.append(_instruction(parsed, lines, ast.escape_token, shell))
            outer.declare(arguments[-1])
        else:
            raise DockerfileError(f"{parsed.name} stands before the first FROM", parsed.start_line)
    if not stages:
        raise DockerfileError("there is no FROM", 1)
    return Dockerfile(_directives(lines), tuple(arguments), outer, tuple(stages), lines, ast.escape_token)


def _directives(lines: Sequence[str]) -> dict[str, tuple[str, int]]:
    found: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(lines, 1):
        match = _DIRECTIVE.fullmatch(line.strip())
        if not match:
            break
        found[match[1].lower()] = (match[2], number)
    return found


def _stage(parsed: DockerfileInstruction, earlier: Sequence[Stage], outer: Variables) -> Stage:
    words = parsed.args
    if not words or (len(words) > 1 and (len(words) != 3 or words[1].lower() != "as")):  # noqa: PLR2004 (image AS name)
        raise DockerfileError("FROM takes an image, or an image AS a name", parsed.start_line)
    name = words[2].lower() if len(words) > 1 else str(len(earlier))
    base = outer.expanded(words[0])
    # The last of two stages with one name counts.
    parent = next((stage for stage in reversed(earlier) if base and stage.name == base.lower()), None)
    return Stage(name, words[0], base, parsed.start_line, parent=parent)


def _instruction(parsed: DockerfileInstruction, lines: Sequence[str], escape: str, shell: Sequence[str]) -> Instruction:
    arguments = parsed.args
    if parsed.name in ("COPY", "ADD", "ARG") and not parsed.json:
        arguments = [word for word in arguments if not word.startswith("<<")] if parsed.heredocs else arguments
    plain = Instruction(
        name=parsed.name,
        flags=tuple(parsed.flags),
        arguments=tuple(arguments),
        is_exec=parsed.json,
        heredocs=tuple(heredoc.name for heredoc in parsed.heredocs),
        line=parsed.start_line,
        end=parsed.end_line,
    )
    if parsed.name != "RUN" or not arguments:
        return plain
    if parsed.json:
        return _with_program(plain)
    script = _script(parsed, lines, escape) if any(is_shell(part) for part in shell) else None
    if script is None:
        return plain
    return replace(plain, script=script, commands=script.commands)


def _with_program(plain: Instruction) -> Instruction:
    """Return a RUN in exec form with its command; a shell in it is given a script after all."""
    words = tuple(Word(text, plain.line) for text in plain.arguments)
    inner = inline_script(words)
    if inner is None:
        command = without_prefix(Command(words, line=plain.line))
        return replace(plain, commands=(command,))
    script = Script(inner.text, ((0, plain.line),))
    return replace(plain, script=script, commands=script.commands)


def _script(parsed: DockerfileInstruction, lines: Sequence[str], escape: str) -> Script | None:
    """Return the script of a RUN in shell form; None when another interpreter reads it."""
    head = parsed.args[0]
    starts = list(_joined(parsed, lines, escape))
    skipped = len(parsed.original.rstrip()[: len(parsed.original.rstrip()) - len(head)].encode())
    places = [(max(offset - skipped, 0), line) for offset, line in starts]
    body = starts[-1][1] + 1 if parsed.heredocs else 0
    if parsed.heredocs and _ONLY_HEREDOC.fullmatch(head):
        heredoc = parsed.heredocs[0]
        text = chomp_heredoc_content(heredoc.content) if heredoc.chomp else heredoc.content
        interpreter = re.match(r"#!\s*(?:/usr/bin/env\s+(?:-S\s+)?)?(\S+)", text)
        if interpreter and not is_shell(interpreter[1]):
            return None
        return Script(text, tuple(_line_starts(text, 0, body)))
    text = head
    for heredoc in parsed.heredocs:
        content = f"{heredoc.content}{heredoc.name}"
        places += _line_starts(content, len(text.encode()) + 1, body)
        body += content.count("\n") + 1
        text += f"\n{content}"
    return Script(text, tuple(places))


def _line_starts(text: str, offset: int, line: int) -> Iterator[tuple[int, int]]:
    """Yield where each line of a text starts, in bytes, and its number in the file."""
    for number, part in enumerate(text.split("\n")):
        yield offset, line + number
        offset += len(part.encode()) + 1


def _joined(parsed: DockerfileInstruction, lines: Sequence[str], escape: str) -> Iterator[tuple[int, int]]:
    """Yield where each line of an instruction starts in its joined text, in bytes, and its number in the file."""
    token = re.escape(escape)
    continuation = re.compile(rf"(?:(?<=[^{token}])|^){token}[ \t]*$")
    offset = 0
    for number in range(parsed.start_line, parsed.end_line + 1):
        line = lines[number - 1].rstrip("\r\n")
        if number == parsed.start_line:
            line = line.lstrip()
        elif not line.strip() or line.lstrip().startswith("#"):
            continue
        yield offset, number
        shortened = continuation.sub("", line)
        if shortened == line:
            return
        offset += len(shortened.encode())
