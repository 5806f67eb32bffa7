"""A repository is asked which versions it offers, whatever form of its index it has."""

from __future__ import annotations

import gzip
import lzma
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import package_index_info
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PACKAGES = b"""Package: nvidia-driver-cuda
Version: 580.159.04-1

Package: nvidia-driver-cuda
Version: 580.178.04-1

Package: libcuda1
Version: 580.178.04-1
"""
REPOMD = (
    b'<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary">'
    b'<location href="repodata/1-primary.xml.gz"/></data></repomd>'
)
PRIMARY = (
    b'<metadata xmlns="http://linux.duke.edu/metadata/common"><package><name>nvidia-driver-cuda</name>'
    b'<version epoch="3" ver="580.159.04" rel="1.el9"/></package></metadata>'
)
FILES = {
    "/all/Packages.xz": lzma.compress(PACKAGES),
    "/all/Packages.gz": b"not asked for",
    "/zipped/Packages.gz": gzip.compress(PACKAGES),
    "/plain/Packages": PACKAGES,
    "/proxy/Packages.xz": b"<html>please log in</html>",
    "/page/Packages": b"<html>please log in</html>",
    "/rpm/repodata/repomd.xml": REPOMD,
    "/rpm/repodata/1-primary.xml.gz": gzip.compress(PRIMARY),
    "/half/repodata/repomd.xml": REPOMD,
}


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = FILES.get(self.path)
        self.send_response(500 if self.path.startswith("/broken") else 200 if content else 404)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as answers:
        thread = threading.Thread(target=answers.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{answers.server_port}"
        answers.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("folder", "index"), [("all", "Packages.xz"), ("zipped", "Packages.gz"), ("plain/", "Packages")]
)
def test_apt(server: str, run_module: Callable[..., dict[str, Any]], folder: str, index: str) -> None:
    result = run_module(
        package_index_info,
        manager="apt",
        url=f"{server}/{folder}",
        packages=["nvidia-driver-cuda", "absent"],
    )
    assert result["offered"] == {"nvidia-driver-cuda": ["580.178.04-1", "580.159.04-1"]}
    assert result["address"] == f"{server}/{folder.rstrip('/')}/{index}"
    assert (result["changed"], result["reached"], result["problems"]) == (False, True, [])


def test_dnf(server: str, run_module: Callable[..., dict[str, Any]]) -> None:
    result = run_module(package_index_info, manager="dnf", url=f"{server}/rpm")
    assert result["offered"] == {"nvidia-driver-cuda": ["3:580.159.04-1.el9"]}


@pytest.mark.parametrize(
    ("manager", "folder", "named"),
    [
        ("apt", "nothing", "404"),
        ("apt", "broken", "500"),
        ("apt", "proxy", "damaged"),
        ("apt", "page", "no index"),
        ("dnf", "nothing", "404"),
        ("dnf", "half", "1-primary.xml.gz"),
    ],
)
def test_no_index(
    server: str, run_module: Callable[..., dict[str, Any]], manager: str, folder: str, named: str
) -> None:
    result = run_module(package_index_info, manager=manager, url=f"{server}/{folder}")
    (problem,) = result["problems"]
    assert problem["code"] == "index.unusable"
    assert named in problem["message"]
    assert (result["reached"], result["offered"]) == (True, {})


VENDOR = "B41DD4D05A9095CFA433A028E3D8F83161511FFE"


@pytest.mark.parametrize(
    ("key", "fingerprint", "code", "named"),
    [
        ("vendor.asc", VENDOR, "", ""),
        ("bundle.asc", VENDOR.lower(), "", ""),
        ("other.asc", VENDOR, "index.key_refused", VENDOR),
        ("page", VENDOR, "index.key_refused", "/key"),
        ("vendor.asc", VENDOR[-8:], "index.key_refused", "full fingerprint"),
        ("absent", VENDOR, "index.unusable", "404"),
    ],
)
def test_key_is_checked_before_anything_is_believed(
    server: str,
    run_module: Callable[..., dict[str, Any]],
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    key: str,
    fingerprint: str,
    code: str,
    named: str,
) -> None:
    path = root / "tests/fixtures/openpgp" / key
    content = path.read_bytes() if path.is_file() else b"<html>" if key == "page" else b""
    monkeypatch.setitem(FILES, "/key", content)
    result = run_module(
        package_index_info, manager="apt", url=f"{server}/all", key_url=f"{server}/key", key_fingerprint=fingerprint
    )
    assert [problem["code"] for problem in result["problems"]] == ([code] if code else [])
    assert all(named in problem["message"] for problem in result["problems"])
    assert bool(result["offered"]) == (not code)


def test_server_that_does_not_answer(run_module: Callable[..., dict[str, Any]]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    for url in (closed, "ftp://x.test/"):
        result = run_module(package_index_info, manager="apt", url=url, timeout=5)
        assert [problem["code"] for problem in result["problems"]] == ["index.unreachable"]
        assert result["reached"] is False


def test_damaged_certificate_of_the_site(server: str, run_module: Callable[..., dict[str, Any]]) -> None:
    result = run_module(package_index_info, manager="apt", url=f"{server}/all", ca_certificates=["no certificate"])
    assert [problem["code"] for problem in result["problems"]] == ["index.unreachable"]
