# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.dockerfile import DockerfileError, Variables, read, references


def run_commands(text: str) -> list[tuple[int, list[str]]]:
    """Return line and words of every command."""
    stages = read(text, {}).stages
    return [
        (command.line, [word.text for word in command.words])
        for stage in stages
        for instruction in stage.instructions
        for command in instruction.commands
    ]


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("RUN a \\\n  b\n", [(2, ["a", "b"])]),
        ("RUN a \\\n# comment\n\n  && b \\\n && c", [(2, ["a"]), (5, ["b"]), (6, ["c"])]),
        ("RUN --mount=type=cache,target=/x \\\n  a\n", [(3, ["a"])]),
        ('RUN ["a", "b c"]\n', [(2, ["a", "b c"])]),
        ('RUN ["bash", "-ec", "a && b c"]\n', [(2, ["a"]), (2, ["b", "c"])]),
        ("RUN <<EOF\na\n\nb c\nEOF\n", [(3, ["a"]), (5, ["b", "c"])]),
        ("RUN <<-'EOF'\n\ta\n\tEOF\nRUN b\n", [(3, ["a"]), (5, ["b"])]),
        ("RUN cat <<EOF > x && \\\n  b\nRUN c\nEOF\nRUN d\n", [(2, ["cat"]), (3, ["b"]), (6, ["d"])]),
        ("RUN <<EOF\n#!/usr/bin/env python3\na\nEOF\n", []),
        ("RUN python3 <<EOF\nimport x\nEOF\n", [(2, ["python3"])]),
        ('SHELL ["powershell", "-Command"]\nRUN a\n', []),
        ("COPY <<EOF /x\nRUN a\nEOF\n", []),
        ("CMD a b\n", []),
    ],
)
def test_commands_and_their_lines(text: str, commands: list[tuple[int, list[str]]]) -> None:
    assert run_commands("FROM x\n" + text) == commands


def test_the_escape_directive() -> None:
    assert run_commands("# escape=`\nFROM x\nRUN a `\n b\nRUN dir c:\\\nRUN d\n") == [
        (3, ["a", "b"]),
        (5, ["dir", "c:"]),
        (6, ["d"]),
    ]


def test_bytes_and_lines_agree_beyond_ascii() -> None:
    assert run_commands("\ufeffFROM x\r\nRUN echo 'ä€ü' \\\r\n && a \\\r\n && b\r\n")[1:] == [(3, ["a"]), (4, ["b"])]


def test_only_a_line_feed_ends_a_line() -> None:
    assert run_commands("FROM x\nRUN echo '\x0c\u2028' \\\n && a\nRUN b\n")[1:] == [(3, ["a"]), (4, ["b"])]


def test_stages_by_name_number_and_variable() -> None:
    text = (
        "ARG KIND=small\nFROM a AS Small\nFROM b\nFROM ${KIND} AS end\nCOPY --from=1 / /\nFROM c AS unused\nFROM end\n"
    )
    found = read(text, {})
    assert [(stage.name, stage.parent.name if stage.parent else None) for stage in found.stages] == [
        ("small", None),
        ("1", None),
        ("end", "small"),
        ("unused", None),
        ("4", "end"),
    ]
    assert [stage.name for stage in found.needed("")] == ["small", "1", "end", "4"]
    assert [stage.name for stage in found.needed("SMALL")] == ["small"]
    assert (
        read(text, {"KIND": "1"}).stages[2].parent is found.stages[1] or read(text, {"KIND": "1"}).stages[2].base == "1"
    )
    assert found.stages[4].first_line == 2


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a$X/${Y}", ["X", "Y"]),
        ("${X:-1}${Y-1}${Z:+1}${A:?no}", []),
        ("'$X' \\$Y \"$Z\"", ["Z"]),
        ("${X:-$Y}", ["Y"]),
        ("$1 $? $$", []),
        ("${X", []),
    ],
)
def test_references(text: str, names: list[str]) -> None:
    assert references(text, "\\") == names


def variables(text: str, **given: str) -> Variables:
    """Return the variables at the end of the last stage."""
    found = read(text, given)
    state = Variables(found.escape, given)
    for instruction in found.stages[-1].instructions:
        if instruction.name == "ARG":
            state.declare(instruction, found.outer.arguments)
        elif instruction.name == "ENV":
            state.set(instruction)
    return state


def test_values_of_arguments_and_environment() -> None:
    text = "ARG A=1\nARG Z\nFROM x\nARG A\nARG B=${A}2 C\nARG D=\"d d\"\nENV E=$D F=${C}x G='$A'\nENV H h $A\n"
    assert variables(text).values == {
        "A": "1",
        "B": "12",
        "C": None,
        "D": "d d",
        "E": "d d",
        "F": None,
        "G": "$A",
        "H": "h 1",
    }
    assert variables(text, A="9", C="c", Z="z").values == {
        "A": "9",
        "B": "92",
        "C": "c",
        "D": "d d",
        "E": "d d",
        "F": "cx",
        "G": "$A",
        "H": "h 9",
    }


def test_an_env_sees_what_was_before_it() -> None:
    assert variables("FROM x\nENV A=1\nENV A=2 B=$A\n").values == {"A": "2", "B": "1"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("FROM x\nRUNN y\n", 2),
        ("FROM x\nRUN <<E\n", 2),
        ("\n\nUSER x\nFROM y\n", 3),
        ("FROM a as\n", 1),
        ("ARG X\n", 1),
    ],
)
def test_what_is_no_dockerfile(text: str, line: int) -> None:
    with pytest.raises(DockerfileError) as error:
        read(text, {})
    assert error.value.line == line
    assert "Dockerfile parse error" not in str(error.value)
