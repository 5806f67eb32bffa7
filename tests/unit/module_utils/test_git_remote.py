# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.opensora.git_remote import (
    DELIMITER,
    FLUSH,
    GitRemote,
    GitRemoteError,
    ReferenceMissingError,
    candidates,
    is_full_commit,
    packet,
    parse_capabilities,
    parse_references,
    read_packets,
    refusal_of,
)
from ansible.module_utils.opensora.web_access import WebAccess

COMMIT, TAG = "1" * 40, "2" * 40
ADVERTISED = (
    packet("# service=git-upload-pack") + FLUSH + packet("version 2") + packet("agent=git/2.47") + packet("ls-refs")
    + packet("fetch=shallow wait-for-done filter") + packet("server-option") + FLUSH
)  # fmt: skip


def stream(data):
    return io.BytesIO(data)


def test_packets():
    assert packet("a") == b"0006a\n"
    assert list(read_packets(stream(packet("a") + DELIMITER + packet("b") + FLUSH))) == [b"a\n", None, b"b\n", None]


@pytest.mark.parametrize("data", [b"<html>", b"zzzz"])
def test_what_is_no_git_server(data):
    with pytest.raises(GitRemoteError, match="not git's"):
        list(read_packets(stream(data)))


def test_capabilities():
    assert parse_capabilities(stream(ADVERTISED))["fetch"] == "shallow wait-for-done filter"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (packet(f"{COMMIT} HEAD"), "version 2"),
        (packet("ERR access denied"), "access denied"),
        (b"", "version 2"),
    ],
)
def test_capabilities_that_do_not_do(data, reason):
    with pytest.raises(GitRemoteError, match=reason):
        parse_capabilities(stream(data))


def test_annotated_tags_are_followed_to_their_commit():
    answer = packet(f"{COMMIT} refs/heads/main") + packet(f"{TAG} refs/tags/v1 peeled:{COMMIT}") + FLUSH
    assert parse_references(stream(answer)) == {"refs/heads/main": COMMIT, "refs/tags/v1": COMMIT}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (packet("ERR upload-pack: not our ref 000"), "upload-pack: not our ref 000"),
        (packet("shallow-info") + packet("shallow x"), ""),
        (packet("packfile"), ""),
        (b"", "the server sent nothing"),
    ],
)
def test_refusal(data, expected):
    assert refusal_of(read_packets(stream(data))) == expected


@pytest.mark.parametrize(
    ("reference", "full"),
    [(COMMIT, True), ("a" * 64, True), ("a" * 39, False), ("main", False), ("A" * 40, False)],
)
def test_full_commit(reference, full):
    assert is_full_commit(reference) is full


def test_candidates_are_in_the_order_of_git():
    assert candidates("v1") == ["refs/tags/v1", "refs/heads/v1"]
    assert candidates("refs/pull/1/head") == ["refs/pull/1/head"]


class Handler(BaseHTTPRequestHandler):
    """A git server that knows one branch, one tag and one commit."""

    def do_GET(self):
        if self.path != "/app/info/refs?service=git-upload-pack":
            self.send_error(404)
            return
        assert self.headers["Git-Protocol"] == "version=2"
        self.answer(ADVERTISED)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if b"command=ls-refs" in body:
            known = {
                "refs/heads/main": f"{COMMIT} refs/heads/main",
                "refs/tags/v1": f"{TAG} refs/tags/v1 peeled:{COMMIT}",
            }
            wanted = [line for name, line in known.items() if f"ref-prefix {name}\n".encode() in body]
            answer = b"".join(packet(line) for line in wanted)
            self.answer(answer + FLUSH)
            return
        assert b"deepen 1\n" in body
        assert b"filter tree:0\n" in body
        known = f"want {COMMIT}\n".encode() in body
        self.answer(packet("packfile") if known else packet("ERR upload-pack: not our ref"))

    def answer(self, data):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()


@pytest.mark.parametrize("reference", ["main", "v1", "refs/heads/main", COMMIT])
def test_resolve(server, reference):
    assert GitRemote(WebAccess(), f"{server}/app/").resolve(reference) == COMMIT


@pytest.mark.parametrize(("reference", "reason"), [("nope", "no branch and no tag"), ("9" * 40, "not our ref")])
def test_resolve_what_is_not_there(server, reference, reason):
    with pytest.raises(ReferenceMissingError, match=reason):
        GitRemote(WebAccess(), f"{server}/app").resolve(reference)


@pytest.mark.parametrize(
    ("path", "reason"),
    [("{server}/other", "status 404"), ("http://127.0.0.1:9", "refused the connection"), ("ftp://x", "no http")],
)
def test_resolve_where_no_repository_is(server, path, reason):
    with pytest.raises(GitRemoteError, match=reason):
        GitRemote(WebAccess(), path.format(server=server)).resolve("main")
