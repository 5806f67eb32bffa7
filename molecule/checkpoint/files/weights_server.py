#!/usr/bin/env python3
"""Stand-in for a mirror with weights and for the hub, which can be told to misbehave.

Serves the files of a folder with ranges, as a plain folder and by the hub's protocol:

    /files/PATH                                  a file
    /OWNER/NAME/resolve/COMMIT/PATH              the same by the hub's protocol: redirects to /signed/PATH?Signature=...
    /api/models/OWNER/NAME/revision/REVISION     the listing of a commit
    /control                                     GET: what was served since the last change; PUT: how to behave

Behaviour is a JSON object, by default empty:

    cuts             list of bytes after which the connection is cut, one a body
    cut_after        the same for all further bodies
    corrupt          list of paths of which a byte is changed
    ignore_ranges    answer a range with the whole file
    tag              prefix of the ETag; a change of it is a change of the files
    weak_tags        ETags that promise nothing
    statuses         list of statuses to answer with first, one a request; retry_after is their Retry-After
    token            Bearer token that is wanted
    gated            answer 403 as the hub does for a licence that was not accepted
    pause            seconds to wait before each body

usage: weights_server.py FOLDER PORT [COMMIT]; the signed addresses are of the next port
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SIGNATURE = "signature-that-nobody-may-see"
LFS_BYTES = 1024
CHUNK = 4096


class WeightsServer(ThreadingHTTPServer):
    """The server; ``behaviour`` may be changed while it runs, ``served`` says what it did."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0, commit: str = COMMIT, address: str = "127.0.0.1") -> None:
        super().__init__((address, port), _Handler)
        self.folder = folder
        self.commit = commit
        self.lock = threading.Lock()
        self.signed_port = self.server_address[1]
        self.behave()

    def behave(self, **behaviour: Any) -> None:
        """Behave like this from now on, and begin to count anew."""
        self.behaviour = behaviour
        self.served: list[dict[str, Any]] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over clients that hang up, as some tests have them do."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def bytes_of(self, path: str) -> int:
        """Bytes of bodies that were sent of a file."""
        return sum(entry["bytes"] for entry in self.served if entry["path"] == path)

    def take(self, name: str) -> Any:
        """Take the next value of a list of the behaviour, or None."""
        with self.lock:
            values = self.behaviour.get(name) or []
            return values.pop(0) if values else None

    def cut(self) -> int | None:
        """Return after how many bytes the next body is cut."""
        first = self.take("cuts")
        return self.behaviour.get("cut_after") if first is None else first


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WeightsServer

    def log_message(self, *_: Any) -> None:
        """Keep silent."""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_PUT(self) -> None:
        self.server.behave(**json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._json({})

    def _answer(self, *, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        if path == "/control":
            self._json({"served": self.server.served})
            return
        status = self.server.take("statuses")
        if status:
            self._refuse(status)
            return
        hub = "/resolve/" in path
        if path.startswith("/api/models/"):
            self._listing(path)
        elif hub:
            self._resolve(path)
        elif path.startswith("/files/") and not self._may():
            self._refuse(401)
        elif path.startswith(("/files/", "/signed/")):
            self._file(path.split("/", 2)[2], with_body=with_body)
        else:
            self._refuse(404)

    def _may(self) -> bool:
        token = self.server.behaviour.get("token")
        return not token or self.headers.get("Authorization") == f"Bearer {token}"

    def _resolve(self, path: str) -> None:
        _, name = path.split("/resolve/", 1)
        commit, name = name.split("/", 1)
        if self.server.behaviour.get("gated"):
            self._refuse(403, {"X-Error-Code": "GatedRepo"})
        elif not self._may():
            self._refuse(401)
        elif commit != self.server.commit:
            self._refuse(404, {"X-Error-Code": "RevisionNotFound"})
        elif not (self.server.folder / name).is_file():
            self._refuse(404, {"X-Error-Code": "EntryNotFound"})
        else:
            # Another server by its name or its port, as the hub sends one to its storage.
            host = self.headers["Host"].partition(":")[0]
            place = f"http://{'localhost' if host == '127.0.0.1' else host}:{self.server.signed_port}"
            content = (self.server.folder / name).read_bytes()
            self.send_response(302)
            self.send_header("Location", f"{place}/signed/{name}?Signature={SIGNATURE}")
            self.send_header("X-Repo-Commit", commit)
            self.send_header("X-Linked-Size", str(len(content)))
            self.send_header("X-Linked-Etag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _listing(self, path: str) -> None:
        revision = path.rsplit("/", 1)[1]
        if not self._may():
            self._refuse(401)
            return
        if revision not in (self.server.commit, "main"):
            self._refuse(404, {"X-Error-Code": "RevisionNotFound"})
            return
        siblings = []
        for place in sorted(place for place in self.server.folder.rglob("*") if place.is_file()):
            content = place.read_bytes()
            entry: dict[str, Any] = {
                "rfilename": place.relative_to(self.server.folder).as_posix(),
                "size": len(content),
                "blobId": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
            }
            if len(content) >= LFS_BYTES:
                entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            siblings.append(entry)
        self._json({"sha": self.server.commit, "siblings": siblings})

    def _file(self, name: str, *, with_body: bool) -> None:
        behaviour, place = self.server.behaviour, self.server.folder / name
        if not place.is_file():
            self._refuse(404)
            return
        content = bytearray(place.read_bytes())
        if name in behaviour.get("corrupt", []):
            content[len(content) // 2] ^= 0xFF
        tag = f'"{behaviour.get("tag", "one")}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"'
        tag = f"W/{tag}" if behaviour.get("weak_tags") else tag
        begin, asked = 0, self.headers.get("Range", "")
        condition = self.headers.get("If-Range")
        if asked and not behaviour.get("ignore_ranges") and condition in (None, tag):
            begin = int(asked.split("=", 1)[1].split("-", 1)[0])
            if begin >= len(content):
                self._refuse(416, {"Content-Range": f"bytes */{len(content)}"})
                return
        else:
            asked = ""
        body = bytes(content[begin:])
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", tag)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self._send(name, begin, body)

    def _send(self, name: str, begin: int, body: bytes) -> None:
        time.sleep(self.server.behaviour.get("pause", 0))
        cut = self.server.cut()
        entry = {"path": name, "begin": begin, "bytes": 0, "authorized": "Authorization" in self.headers}
        self.server.served.append(entry)
        end = len(body) if cut is None else min(cut, len(body))
        with contextlib.suppress(OSError):
            for position in range(0, end, CHUNK):
                chunk = body[position : min(position + CHUNK, end)]
                self.wfile.write(chunk)
                entry["bytes"] += len(chunk)
        self.close_connection = end < len(body)

    def _json(self, data: Any) -> None:
        body = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.server.served.append({"path": urlsplit(self.path).path, "status": status, "bytes": 0})
        self.send_response(status)
        if "retry_after" in self.server.behaviour:
            self.send_header("Retry-After", str(self.server.behaviour["retry_after"]))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    commit = sys.argv[3] if len(sys.argv) > 3 else COMMIT
    server = WeightsServer(folder, port, commit, "0.0.0.0")
    server.signed_port = port + 1
    storage = ThreadingHTTPServer(("0.0.0.0", port + 1), lambda *arguments: _Handler(*arguments[:2], server))
    threading.Thread(target=storage.serve_forever, daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
