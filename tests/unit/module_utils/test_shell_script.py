# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.shell_script import Script


def script(text: str) -> Script:
    """Return a script whose lines are numbered from 1."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    return Script(text, tuple((start, number) for number, start in enumerate(starts[:-1], 1)))


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("a 'b c' \"d $E\" f\\ g h'i'", [["a", "b c", "d $E", "f g", "hi"]]),
        ("a; b && c || d | e & f", [["a"], ["b"], ["c"], ["d"], ["e"], ["f"]]),
        ("if a; then b; else c; fi; for x in y; do d; done; (e); { f; }", [["a"], ["b"], ["c"], ["d"], ["e"], ["f"]]),
        ("a $(b c)", [["a", "$(b c)"], ["b", "c"]]),
        ("a # b\nc", [["a"], ["c"]]),
        ("a `# b` c && d", [["a", "c"], ["d"]]),
        ("sudo -E a b", [["a", "b"]]),
        ("env X=1 a", [["a"]]),
        ("xargs -n 1 a < b", [["a"]]),
        ("conda run -n x --no-capture-output a b", [["a", "b"]]),
        ("bash -lc 'a b; c'", [["a", "b"], ["c"]]),
        ("bash a.sh", [["bash", "a.sh"]]),
        ("a > b c", [["a", "c"]]),
    ],
)
def test_commands(text: str, commands: list[list[str]]) -> None:
    assert [[word.text for word in command.words] for command in script(text).commands] == commands


@pytest.mark.parametrize(
    ("text", "redirects"),
    [
        ("a b>=1", [(">", "=1", "b>=1", False)]),
        ("a b<2", [("<", "2", "b<2", False)]),
        ("a 'b>=1' \"c<2\" d\\>=3", []),
        ("a b>=1,<2", [(">", "=1,", "b>=1,<2", False), ("<", "2", "b>=1,<2", False)]),
        ("a > b 2>&1", [(">", "b", ">", False), (">&", "1", "2>&1", True)]),
        ("x && a b>=1", [(">", "=1", "b>=1", False)]),
        ("x | a b>=1", [(">", "=1", "b>=1", False)]),
    ],
)
def test_redirects_of_the_last_command(text: str, redirects: list[tuple[str, str, str, bool]]) -> None:
    found = script(text).commands
    told = [(one.operator, one.target, one.source, one.has_descriptor) for one in found[-1].redirects]
    assert told == redirects
    assert all(not command.redirects for command in found[:-1])


def test_assignments_before_a_command() -> None:
    (command,) = script("A=1 B='2 3' env C=4 d").commands
    assert (command.name, command.assignments) == ("d", {"A": "1", "B": "2 3", "C": "4"})


def test_lines_within_a_nested_script() -> None:
    found = script("a\nbash -c 'b\n  c>=1'\nd").commands
    assert [(command.line, command.words[0].text) for command in found] == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]
    assert found[2].redirects[0].line == 3


@pytest.mark.parametrize(
    ("text", "references"),
    [
        ("a $X ${Y} \"$Z\" '$N' \\$N", [("X", False), ("Y", False), ("Z", False)]),
        ("a ${X:-1} ${Y:+--z} ${Z?no}", [("X", True), ("Y", True), ("Z", True)]),
        ("a ${X#a} ${Y%%b}", [("X", False), ("Y", False)]),
        ("X=1; a $X", []),
        ("export X=1 && a $X", []),
        ("for X in a; do b $X; done", []),
        (". /etc/os-release && a $ID", []),
        ("read X && a $X", []),
    ],
)
def test_references(text: str, references: list[tuple[str, bool]]) -> None:
    assert [(one.name, one.has_fallback) for one in script(text).references] == references
