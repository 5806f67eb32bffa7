"""The table at the end of a run."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.host_table import host_row, render_table, short_digest

HOST = {
    "gpus": [{"name": "NVIDIA H100"}, {"name": "NVIDIA H100"}],
    "driver": {"loaded": "580.159.04"},
    "engine": {"version": "29.7.2"},
}
SERVICE = {"status": "running", "health": "healthy", "image": "x@sha256:" + "ab" * 32, "gpus": ["GPU-a"]}


def test_row():
    row = host_row("gpu01", HOST, SERVICE, [], skipped="", minutes="1.5")
    assert row == ("gpu01", "2 x NVIDIA H100", "1", "580.159.04", "29.7.2", "abababababab", "healthy", "1.5")


def test_row_with_problems():
    problems = [{"severity": "error"}, {"severity": "warning"}]
    row = host_row("gpu01", HOST, {**SERVICE, "health": "unhealthy"}, problems, skipped="", minutes="-")
    assert row[6] == "unhealthy, 1 problem(s)"


@pytest.mark.parametrize(("skipped", "expected"), [("no GPU", "left out: no GPU"), ("", "not verified")])
def test_row_without_a_service(skipped, expected):
    assert host_row("gpu03", HOST, {}, [], skipped=skipped, minutes="1")[6] == expected


def test_columns_are_aligned():
    lines = render_table([("a", "1"), ("long name", "2")], ("host", "n")).splitlines()
    assert lines == ["host       n", "---------  -", "a          1", "long name  2"]


@pytest.mark.parametrize(
    ("image", "expected"),
    [("a@sha256:0123456789abcdef", "0123456789ab"), ("sha256:0123", "0123"), ("a:tag", "a:tag"), ("", "-")],
)
def test_short_digest(image, expected):
    assert short_digest(image) == expected
