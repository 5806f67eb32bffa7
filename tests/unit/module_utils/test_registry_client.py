# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.opensora.image_reference import parse_image_reference
from ansible.module_utils.opensora.registry_client import (
    RegistryClient,
    RegistryError,
    parse_challenge,
    stored_authorization,
)
from ansible.module_utils.opensora.web_access import WebAccess

CONFIGURATION = {"config": {"Env": ["PATH=/bin", "NVIDIA_REQUIRE_CUDA=cuda>=12.2 brand=x", "BROKEN"]}}
MANIFEST = json.dumps({"config": {"digest": "sha256:" + "c" * 64}}).encode()
INDEX = json.dumps(
    {
        "manifests": [
            {"digest": "sha256:arm", "platform": {"os": "linux", "architecture": "arm64"}},
            {"digest": "sha256:amd", "platform": {"os": "linux", "architecture": "amd64"}},
        ]
    }
).encode()
INDEX_DIGEST = "sha256:" + hashlib.sha256(INDEX).hexdigest()
LOGIN = base64.b64encode(b"user:secret").decode()


class Handler(BaseHTTPRequestHandler):
    """A registry with an open repository, one behind a token, and one behind a password."""

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path, _, query = self.path.partition("?")
        login = self.headers.get("Authorization", "")
        if path == "/token":
            assert "scope=repository%3Aprivate%3Apull" in query
            self.answer(json.dumps({"token": "t" if login else "anonymous"}).encode())
            return
        repository, kind, selector = path[len("/v2/") :].split("/", 2)
        if repository == "private" and login != "Bearer t":
            realm = f"http://127.0.0.1:{self.server.server_port}/token"
            self.refuse(401, f'Bearer realm="{realm}",service="registry",scope="x"')
        elif repository == "password" and login != f"Basic {LOGIN}":
            self.refuse(401, 'Basic realm="x"')
        elif repository == "limited":
            self.refuse(429, "")
        elif kind == "blobs":
            self.answer(json.dumps(CONFIGURATION).encode())
        elif selector == "missing":
            self.refuse(404, "")
        elif selector == "sha256:amd":
            self.answer(MANIFEST)
        else:
            self.answer(INDEX, repository != "quiet")

    def answer(self, body, with_digest=False):
        self.send_response(200)
        if with_digest:
            self.send_header("Docker-Content-Digest", INDEX_DIGEST)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def refuse(self, status, challenge):
        self.send_response(status)
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def registry():
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{httpd.server_port}"
    httpd.shutdown()


def client(registry="", auth=""):
    configuration = json.dumps({"auths": {registry: {"auth": auth}}}) if auth else ""
    return RegistryClient(WebAccess(), configuration)


@pytest.mark.parametrize("repository", ["open", "quiet"])
def test_digest(registry, repository):
    assert client().digest(parse_image_reference(f"{registry}/{repository}:1")) == INDEX_DIGEST


def test_missing_tag(registry):
    assert client().digest(parse_image_reference(f"{registry}/open:missing")) is None


def test_environment_of_the_platform(registry):
    found = client().environment(parse_image_reference(f"{registry}/open:1"), "linux/amd64")
    assert found == {"PATH": "/bin", "NVIDIA_REQUIRE_CUDA": "cuda>=12.2 brand=x"}


@pytest.mark.parametrize("repository", ["private", "password"])
def test_stored_login(registry, repository):
    assert client(registry, LOGIN).digest(parse_image_reference(f"{registry}/{repository}:1")) == INDEX_DIGEST


@pytest.mark.parametrize(
    ("repository", "reason"),
    [("private", "docker login"), ("password", "docker login"), ("limited", "rate of requests")],
)
def test_refusal(registry, repository, reason):
    with pytest.raises(RegistryError, match=reason):
        client().digest(parse_image_reference(f"{registry}/{repository}:1"))


def test_unreachable():
    with pytest.raises(RegistryError, match=r"localhost:9 can't be reached: it refused"):
        client().digest(parse_image_reference("localhost:9/x:1"))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Bearer realm="https://a/t",service="s"', ("bearer", {"realm": "https://a/t", "service": "s"})),
        ('Basic realm="x"', ("basic", {"realm": "x"})),
        ("", ("", {})),
    ],
)
def test_challenge(header, expected):
    assert parse_challenge(header) == expected


@pytest.mark.parametrize(
    ("configuration", "registry", "expected"),
    [
        ("", "a", ""),
        ("no json", "a", ""),
        ('{"auths": {"a": {"auth": "x"}}}', "a", "x"),
        ('{"auths": {"https://a": {"auth": "x"}}}', "a", "x"),
        ('{"auths": {"https://index.docker.io/v1/": {"auth": "hub"}}}', "docker.io", "hub"),
        ('{"auths": {"a": {}}, "credsStore": "secret"}', "a", ""),
        ("[]", "a", ""),
    ],
)
def test_stored_authorization(configuration, registry, expected):
    assert stored_authorization(configuration, registry) == expected
