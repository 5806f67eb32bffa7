"""Addresses are asked from the host; each that fails is one problem with its variable."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import url_reachability_info

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path[1:]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as answers:
        thread = threading.Thread(target=answers.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{answers.server_port}"
        answers.shutdown()
        thread.join()


def test_each_address_that_does_not_answer_is_named(
    server: str, run_module: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/"
    result = run_module(
        url_reachability_info,
        urls=[
            {"variable": "good", "url": f"{server}/200"},
            {"variable": "missing", "url": f"{server}/404"},
            {"variable": "registry", "url": f"{server}/401", "accepted_statuses": [401]},
            {"variable": "closed", "url": closed},
            {"variable": "same", "url": closed},
            {"variable": "name", "url": "http://no-such-host.invalid/"},
            {"variable": "scheme", "url": "ftp://x.test/"},
        ],
        timeout=5,
    )
    assert not result["changed"]
    messages = {problem["message"].split(":")[0]: problem["message"] for problem in result["problems"]}
    assert list(messages) == ["missing", "closed", "name", "scheme"]
    assert "404" in messages["missing"]
    assert "refused the connection" in messages["closed"]


def test_nothing_to_ask_is_fine(run_module: Callable[..., dict[str, Any]]) -> None:
    assert run_module(url_reachability_info, urls=[])["problems"] == []
