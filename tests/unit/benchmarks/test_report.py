from __future__ import annotations

import pytest

from benchmarks.measure.report import mebibytes, replace_between_markers, table


def test_table() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 MiB"), (524288, "0.5 MiB"), (13 * 1048576, "13 MiB"), (1234.4 * 1048576, "1234 MiB")]
)
def test_bytes_as_text(count, text) -> None:
    assert mebibytes(count) == text


DOCUMENT = "before\n<!-- begin a -->\nold \\1\n<!-- end a -->\nbetween\n<!-- begin b -->\n<!-- end b -->\n"


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    assert replace_between_markers(DOCUMENT, "a", "new \\2\n") == DOCUMENT.replace("old \\1", "new \\2")
    assert replace_between_markers(DOCUMENT, "b", "new") == DOCUMENT.replace("<!-- end b -->", "new\n<!-- end b -->")


@pytest.mark.parametrize("text", ["", "<!-- begin a -->\n", DOCUMENT + DOCUMENT])
def test_missing_or_double_markers_are_refused(text) -> None:
    with pytest.raises(ValueError, match="begin a"):
        replace_between_markers(text, "a", "new")
