# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.checkpoint_failure import FetchError
from ansible.module_utils.opensora.checkpoint_manifest import ManifestFile
from ansible.module_utils.opensora.checkpoint_share import Assignment, Chunk, HostWeights, ReceivedParts, assign

M = 1024**2


def file(path="a", size=5 * M, collected=0):
    return {"path": path, "size": size, "sha256": path * 64, "collected": collected}


def host(name, *wanted, digest="m", in_batch=True, shares=True, provided=False):
    return HostWeights(name, digest, wanted, in_batch, shares, provided)


def pieces(assignment):
    return [(chunk.path, chunk.offset // M, chunk.length // M) for chunk in assignment.chunks]


ALL = [("a", 0, 2), ("a", 2, 2), ("a", 4, 1)]


@pytest.mark.parametrize(
    ("hosts", "task", "source", "fetcher", "chunks"),
    [
        pytest.param([host("x")], "none", "", "", [], id="has all"),
        pytest.param([host("x", file())], "fetch", "", "", [], id="alone"),
        pytest.param([host("x", file()), host("y", file())], "fetch", "", "", [], id="first of two"),
        pytest.param([host("y", file()), host("x", file())], "receive", "y", "x", ALL, id="second of two"),
        pytest.param(
            [host("y", file()), host("z", file()), host("x", file())], "receive", "y", "z", ALL, id="third of three"
        ),
        pytest.param([host("x", file()), host("y")], "receive", "y", "x", ALL, id="a later one has it"),
        pytest.param(
            [host("y", file(), provided=True, in_batch=False), host("x", file())],
            "receive",
            "y",
            "x",
            ALL,
            id="an earlier batch has it",
        ),
        pytest.param(
            [host("y", file(), in_batch=False), host("x", file())], "fetch", "", "", [], id="a later batch lacks it"
        ),
        pytest.param([host("y", file(), digest="n"), host("x", file())], "fetch", "", "", [], id="other weights"),
        pytest.param([host("y", shares=False), host("x", file())], "fetch", "", "", [], id="the other does not give"),
        pytest.param([host("y"), host("x", file(), shares=False)], "fetch", "", "", [], id="does not take"),
        pytest.param(
            [host("y"), host("x", file(collected=3 * M))], "receive", "y", "x", ALL[1:], id="in the middle of a piece"
        ),
        pytest.param([host("y"), host("x", file(collected=4 * M))], "receive", "y", "x", ALL[2:], id="at its end"),
        pytest.param([host("y"), host("x", file(collected=5 * M))], "receive", "y", "x", [], id="all collected"),
        pytest.param(
            [host("y"), host("x", file(collected=4 * M)), host("z", file(collected=2 * M))],
            "receive",
            "y",
            "x",
            ALL[1:],
            id="what anyone lacks",
        ),
        pytest.param([host("y"), host("x", file(size=0))], "receive", "y", "x", [], id="an empty file"),
        pytest.param(
            [host("y"), host("x", file("a"), file("b", M))], "receive", "y", "x", [*ALL, ("b", 0, 1)], id="two files"
        ),
    ],
)
def test_who_does_what(hosts, task, source, fetcher, chunks):
    assignment = assign(hosts, "x", 2 * M)
    assert (assignment.task, assignment.source, assignment.fetcher) == (task, source, fetcher)
    assert pieces(assignment) == chunks


def test_pieces_are_whole_mebibytes():
    assignment = assign([host("y"), host("x", file(size=M + 5))], "x", 1000)
    assert assignment == Assignment(
        "receive", "y", "x", (Chunk("a", "a" * 64, M + 5, 0, M), Chunk("a", "a" * 64, M + 5, M, 5))
    )


@pytest.mark.parametrize(("there", "is_whole"), [(None, False), (4, False), (5, True), (6, False)])
def test_what_was_received_has_to_be_whole(tmp_path, there, is_whole):
    part = tmp_path / "a.part"
    if there is not None:
        part.write_bytes(b"x" * there)
    wanted = ManifestFile("a", 5, "a" * 64)
    if is_whole:
        ReceivedParts.fetch(wanted, part, lambda _: None)
        return
    with pytest.raises(FetchError, match=f"arrived with {there or 0} of 5 bytes"):
        ReceivedParts.fetch(wanted, part, lambda _: None)


def test_an_empty_file_needs_no_piece(tmp_path):
    ReceivedParts.fetch(ManifestFile("a", 0, "a" * 64), tmp_path / "a.part", lambda _: None)
    assert (tmp_path / "a.part").read_bytes() == b""
