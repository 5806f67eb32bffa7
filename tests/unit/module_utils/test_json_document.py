"""A file that a person edited: every fault has its place, nothing is guessed."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.json_document import DocumentError, decode_text, parse_object, render_object

TRAILING_COMMA = """{
    "data-root": "/data/docker",
    "log-opts": {"max-size": "50m"},
}
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        (" \n\t", {}),
        ("{}", {}),
        ('{"a": {"b": [1, true, null]}}', {"a": {"b": [1, True, None]}}),
        ('\ufeff{"a": 1}', {"a": 1}),
        ("\ufeff", {}),
        ('{"a": {"x": 1}, "b": {"x": 2}}', {"a": {"x": 1}, "b": {"x": 2}}),
    ],
)
def test_objects_are_read(text: str, expected: dict[str, object]) -> None:
    assert parse_object(text) == expected


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        (TRAILING_COMMA, 4, 1, "double quotes|trailing comma"),
        ('{"a": 1} // note', 1, 10, "Extra data"),
        ('{\n  # note\n  "a": 1}', 2, 3, "double quotes"),
        ('{"a": 1}}', 1, 9, "Extra data"),
        ('{"a": ', 1, 7, "value"),
        ("[]", 1, 1, "a list"),
        ('"text"', 1, 1, "a string"),
        ("null", 1, 1, "null"),
        ("3", 1, 1, "a number"),
    ],
)
def test_faults_have_their_place(text: str, line: int, column: int, said: str) -> None:
    with pytest.raises(DocumentError, match=said) as error:
        parse_object(text)
    # Newer interpreters point to a trailing comma itself, older ones to what follows it.
    assert (error.value.line, error.value.column) in {(line, column), (3, 36)}
    assert f"line {error.value.line}, column {error.value.column}" in str(error.value)


def test_a_key_given_twice_is_refused_by_name() -> None:
    with pytest.raises(DocumentError, match=r'"log-opts" stands twice .* lines 2, 4'):
        parse_object('{\n"log-opts": {"max-size": "1m"},\n"debug": true,\n"log-opts": {}\n}')


def test_a_value_that_json_does_not_have_is_refused() -> None:
    with pytest.raises(DocumentError, match="NaN"):
        parse_object('{"a": NaN}')


def test_other_encodings_are_refused_with_the_place() -> None:
    with pytest.raises(DocumentError, match="line 2, column 4: byte 0xe4"):
        decode_text(b'{\n  "\xe4": 1}')
    with pytest.raises(DocumentError, match="line 1, column 1"):
        decode_text('{"a": 1}'.encode("utf-16"))


@pytest.mark.parametrize(
    ("like", "expected"),
    [
        ("", '{\n    "a": 1\n}\n'),
        ('{\n  "b": 2\n}', '{\n  "a": 1\n}\n'),
        ('{\n\t"b": 2\n}', '{\n\t"a": 1\n}\n'),
        ('{"b": 2}', '{\n    "a": 1\n}\n'),
    ],
)
def test_the_indentation_of_the_old_text_is_kept(like: str, expected: str) -> None:
    assert render_object({"a": 1}, like) == expected
