"""Runs of the application: which videos go together, and what follows when one fails."""

from __future__ import annotations

import csv
import io

import pytest
from ansible.module_utils.opensora.generation import Request, failure
from ansible.module_utils.opensora.generation_runs import Item, judge, make_runs, table_text


def items(text, **options):
    return [Item(letter, Request(f"prompt {letter}", "256px", 42, **options)) for letter in text]


@pytest.mark.parametrize(
    ("count", "places", "expected"),
    [
        ("a", 4, ["a"]),
        ("abcde", 1, ["abcde"]),
        ("abcde", 2, ["abc", "de"]),
        ("abcd", 4, ["a", "b", "c", "d"]),
        ("abcdefg", 3, ["abc", "de", "fg"]),
    ],
)
def test_a_group_is_spread(count, places, expected):
    runs = make_runs(items(count), places)
    assert ["".join(item.identifier for item in run) for run in runs] == expected


def test_other_options_are_another_run():
    mixed = [*items("a"), *items("b", num_frames=17), *items("c"), *items("d", picture="f" * 64)]
    runs = make_runs(mixed, 1)
    assert ["".join(item.identifier for item in run) for run in runs] == ["ac", "b", "d"]


@pytest.mark.parametrize("prompt", ['a "quoted" word', "a, b", "two\nlines", "it's", "-e --x"])
def test_the_table_says_what_was_asked(prompt):
    text = table_text([Item("one", Request(prompt, "256px", 42))], {})
    assert list(csv.DictReader(io.StringIO(text, newline=""))) == [{"text": prompt, "name": "one"}]


def test_the_table_names_pictures():
    text = table_text(items("a", picture="f" * 64), {"f" * 64: "samples/run/pictures/f.png"})
    assert next(csv.DictReader(io.StringIO(text)))["ref"] == "samples/run/pictures/f.png"


@pytest.mark.parametrize(
    ("finished", "output", "has_begun", "failed", "retry"),
    [
        ("a", "RuntimeError: x", True, "b", "cd"),
        ("", "RuntimeError: x", True, "a", "bcd"),
        ("abc", "RuntimeError: x", True, "d", ""),
        ("a", "CUDA out of memory", True, "bcd", ""),  # the options, not the prompt
        ("", "No module named 'opensora'", False, "abcd", ""),
        ("", "RuntimeError: x", False, "abcd", ""),  # it did not come to a prompt
    ],
)
def test_judge(finished, output, has_begun, failed, retry):
    verdict = judge(items("abcd"), finished, failure(output, 1), has_begun=has_begun)
    assert "".join(verdict.failed) == failed
    assert "".join(item.identifier for item in verdict.retry) == retry
    messages = [problem.message for problem in verdict.failed.values()]
    assert "not tried" not in messages[0]
    assert all("not tried" in message for message in messages[1:])
