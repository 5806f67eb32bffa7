# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The commands of a shell script, as a shell would see them, with the line that each word stands in.

Runs on the control node only: it needs tree-sitter with the bash grammar, which also reads what /bin/sh is given.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

_LANGUAGE = Language(tree_sitter_bash.language())
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})
# Commands that run the command behind them.
_PREFIXES = frozenset({"sudo", "env", "time", "exec", "nohup", "command", "nice", "xargs", "gosu", "then", "eval"})
# Commands that give variables values which nobody sees here.
_SETTERS = frozenset({".", "source", "eval", "read", "mapfile", "readarray", "getopts"})
_RUNNERS = frozenset({"conda", "mamba", "micromamba"})
# A comment in the middle of a continued command, which the grammar takes to go on to the end.
_COMMENT = re.compile(r"`#[^`\n]*`")
_NO_WORDS = frozenset({"file_redirect", "heredoc_redirect", "herestring_redirect", "comment"})


@dataclass(frozen=True)
class Word:
    """One word of a command.

    Attributes:
        text: The word without quotes; references to variables stand as they were written.
        line: Line of the file that it stands in.
        offset: Where it starts in its script, in bytes.
    """

    text: str
    line: int
    offset: int = 0


@dataclass(frozen=True)
class Redirect:
    """One redirect of a command.

    Attributes:
        operator: Such as ``>`` or ``<``.
        target: The file.
        line: Line of the file that it stands in.
        source: What stands there from blank to blank, such as ``torch>=2.4.0``.
        has_descriptor: Whether a number stands before the operator, as in ``2>``.
    """

    operator: str
    target: str
    line: int
    source: str
    has_descriptor: bool


@dataclass(frozen=True)
class Command:
    """One simple command, without ``sudo``, ``env`` and the like before it.

    Attributes:
        words: Name and arguments.
        redirects: Its redirects, apart from here-documents.
        assignments: Variables that are set for this command alone.
        line: Line of the file in which it starts.
    """

    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...] = ()
    assignments: dict[str, str] = field(default_factory=dict)
    line: int = 0

    @property
    def name(self) -> str:
        """Name of the program without its folder."""
        return PurePosixPath(self.words[0].text).name if self.words else ""

    @property
    def arguments(self) -> list[str]:
        """Texts of all words behind the name."""
        return [word.text for word in self.words[1:]]


@dataclass(frozen=True)
class Reference:
    """A variable that a script reads.

    Attributes:
        name: Name of the variable.
        line: Line of the file that it stands in.
        has_fallback: Whether the script says what to do without it, as in ``${X:-1}`` or ``${X:+--option}``.
    """

    name: str
    line: int
    has_fallback: bool


@dataclass(frozen=True)
class Script:
    """A script out of a file.

    Attributes:
        text: The script, continued lines joined.
        lines: Where in the script (in bytes) which line of the file starts, in ascending order.
    """

    text: str
    lines: tuple[tuple[int, int], ...]

    def line_at(self, offset: int) -> int:
        """Return the line of the file that holds a place in the script.

        Args:
            offset: Place in the script in bytes.
        """
        place = bisect_right(self.lines, offset, key=lambda entry: entry[0])
        return self.lines[max(place - 1, 0)][1]

    @cached_property
    def _root(self) -> Node:
        return Parser(_LANGUAGE).parse(_COMMENT.sub(_blanked, self.text).encode()).root_node

    @cached_property
    def commands(self) -> tuple[Command, ...]:
        """Every simple command in the order of the text, also those in conditions, loops and substitutions."""
        return tuple(self._commands())

    def _commands(self) -> Iterator[Command]:
        for node in _descendants(self._root):
            if node.type == "command":
                yield from self._unwrapped(self._command(node))

    def _command(self, node: Node) -> Command:
        words: list[Word] = []
        assignments = {}
        redirects: list[Redirect] = []
        for child in node.named_children:
            if child.type == "variable_assignment":
                name, value = child.child_by_field_name("name"), child.child_by_field_name("value")
                assignments[_text(name)] = _unquoted(value) if value else ""
            elif child.type not in _NO_WORDS:
                words.append(self._word(child))
        for redirect in _file_redirects(node):
            parts = [child for child in redirect.named_children if child.type != "file_descriptor"]
            redirects.append(self._redirect(redirect, parts))
            # The grammar hangs words that follow the file below the redirect too.
            words += [self._word(part) for part in parts[1:]]
        words.sort(key=lambda word: word.offset)
        return Command(tuple(words), tuple(redirects), assignments, self.line_at(node.start_byte))

    def _word(self, node: Node) -> Word:
        return Word(_unquoted(node), self.line_at(node.start_byte), node.start_byte)

    def _redirect(self, node: Node, parts: Sequence[Node]) -> Redirect:
        operator = next((child.type for child in node.children if not child.is_named), ">")
        has_descriptor = any(child.type == "file_descriptor" for child in node.children)
        script = self.text.encode()
        before = re.search(rb"\S*\Z", script[: node.start_byte])
        behind = re.match(rb"\S*", script[node.start_byte :])
        source = (before[0] if before else b"") + (behind[0] if behind else b"")
        target = _unquoted(parts[0]) if parts else ""
        return Redirect(operator, target, self.line_at(node.start_byte), source.decode(), has_descriptor)

    def _unwrapped(self, command: Command) -> Iterator[Command]:
        """Yield the command that really runs, and those of a script that it is given."""
        command = without_prefix(command)
        inner = inline_script(command.words)
        if inner is None:
            yield command
            return
        lines = [(0, inner.line)]
        # Offsets agree as long as the quotes hold nothing that is escaped; a line that is off by one helps still.
        lines += [(offset - inner.offset - 1, line) for offset, line in self.lines if offset > inner.offset]
        yield from Script(inner.text, tuple(lines)).commands

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        """Variables that the script reads, apart from those it may have set itself."""
        assigned = self._assigned()
        if assigned is None:
            return ()
        return tuple(reference for reference in self._references() if reference.name not in assigned)

    def _references(self) -> Iterator[Reference]:
        for node in _descendants(self._root):
            if node.type not in ("simple_expansion", "expansion"):
                continue
            name = next((child for child in node.children if child.type == "variable_name"), None)
            if name is None:
                continue
            operators = {child.type for child in node.children} - {"$", "${", "}", "variable_name"}
            # A removal or replacement (# % / ^ ,) of an unset variable is still nothing.
            fallback = any(operator.lstrip(":")[:1] in ("-", "=", "+", "?") for operator in operators)
            yield Reference(_text(name), self.line_at(node.start_byte), fallback)

    def _assigned(self) -> set[str] | None:
        """Return the variables that the script sets; None when it may set any."""
        names = set()
        for node in _descendants(self._root):
            if node.type in ("variable_assignment", "for_statement", "declaration_command"):
                names |= {_text(child) for child in node.named_children if child.type == "variable_name"}
            elif node.type == "command_name" and _text(node) in _SETTERS:
                return None
        return names


def _blanked(comment: re.Match[str]) -> str:
    return " " * len(comment[0].encode())


def is_shell(program: str) -> bool:
    """Return whether a program is a shell of the Unix kind.

    Args:
        program: Name or path.
    """
    return PurePosixPath(program).name in _SHELLS


def inline_script(words: Sequence[Word]) -> Word | None:
    """Return the script of ``sh -c SCRIPT``, or None.

    Args:
        words: Words of a command.
    """
    if len(words) < 3 or not is_shell(words[0].text):  # noqa: PLR2004 (name, option, script)
        return None
    for option, script in zip(words[1:], words[2:]):
        if not option.text.startswith("-"):
            return None
        if re.fullmatch(r"-[a-z]*c", option.text):
            return script
    return None


def without_prefix(command: Command) -> Command:
    """Return a command without what only runs it: ``sudo``, ``env A=b``, ``conda run -n NAME``.

    Args:
        command: A command.
    """
    words = list(command.words)
    assignments = dict(command.assignments)
    while words:
        name = PurePosixPath(words[0].text).name
        if name in _RUNNERS and len(words) > 1 and words[1].text == "run":
            words = _after_options(words[2:], frozenset({"-n", "--name", "-p", "--prefix"}))
        elif name in _PREFIXES:
            words = _after_options(words[1:], frozenset({"-u", "-n", "-P", "-I"}))
            if name == "gosu":
                words = words[1:]
            while name in ("env", "sudo") and words and re.match(r"[A-Za-z_]\w*=", words[0].text):
                key, _, value = words.pop(0).text.partition("=")
                assignments[key] = value
        else:
            break
    return Command(tuple(words), command.redirects, assignments, command.line)


def _after_options(words: list[Word], with_value: frozenset[str]) -> list[Word]:
    while words and words[0].text.startswith("-"):
        words = words[2:] if words[0].text in with_value else words[1:]
    return words


def _descendants(node: Node) -> Iterator[Node]:
    """Yield a node and everything in it, in the order of the text."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(reversed(current.children))


def _text(node: Node | None) -> str:
    return (node.text or b"").decode(errors="replace") if node is not None else ""


def _file_redirects(command: Node) -> list[Node]:
    """Return the redirects of a command; they may stand in it, behind it, or behind its here-document."""
    nodes = list(command.named_children)
    last, parent = command, command.parent
    # In `a && b > c` the grammar gives the redirect to both; a shell gives it to the last.
    while parent is not None and parent.type in ("list", "pipeline") and parent.named_children[-1] == last:
        last, parent = parent, parent.parent
    if parent is not None and parent.type == "redirected_statement":
        for child in parent.children_by_field_name("redirect"):
            nodes += [child, *child.named_children]
    return [node for node in nodes if node.type == "file_redirect"]


def _unquoted(node: Node) -> str:
    """Return a word without its quotes and escapes."""
    text = _text(node)
    if node.type == "word":
        return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
    if node.type == "string":
        return re.sub(r'\\([$`"\\])', r"\1", text[1:-1])
    if node.type == "raw_string":
        return text[1:-1]
    if node.type == "ansi_c_string":
        return text[2:-1]
    if node.type in ("concatenation", "command_name"):
        return "".join(_unquoted(child) for child in node.children)
    return text
