# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""How the hub's library is used. The library here is a stand-in; the scenario `checkpoint` runs the real one."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
from ansible.module_utils.opensora.checkpoint_failure import FetchError
from ansible.module_utils.opensora.checkpoint_hub import HubLibraryError, HubSource
from ansible.module_utils.opensora.checkpoint_manifest import Manifest, ManifestFile

FILE = ManifestFile("sub/a.bin", 10, "a" * 64)
MANIFEST = Manifest("o/n", "0" * 40, (FILE,))
SIGNED = "https://storage.example.org/a.bin?Signature=secret"


class HfHubHTTPError(OSError):
    def __init__(self, status, **headers):
        super().__init__(f"{status} for {SIGNED}")
        self.response = SimpleNamespace(status_code=status, headers=headers)


class GatedRepoError(HfHubHTTPError): ...


class RevisionNotFoundError(HfHubHTTPError): ...


class ConnectError(Exception):
    __module__ = "httpx2"


class Library:
    """Stands for huggingface_hub: what it does, and what it was asked."""

    def __init__(self):
        self.size = 10
        self.fails = None
        self.content = b"0123456789"
        self.asked = []

    def install(self, monkeypatch):
        top = ModuleType("huggingface_hub")
        top.hf_hub_url = lambda repository, path, revision, endpoint: (
            f"{endpoint}/{repository}/resolve/{revision}/{path}"
        )
        top.get_hf_file_metadata = self.metadata
        download = ModuleType("huggingface_hub.file_download")
        download.http_get = self.http_get
        utils = ModuleType("huggingface_hub.utils")
        utils.logging = SimpleNamespace(CRITICAL=50, set_verbosity=lambda level: self.asked.append(("quiet", level)))
        utils.build_hf_headers = lambda token, library_name: {"authorization": f"Bearer {token}"} if token else {}
        for module in (top, download, utils):
            monkeypatch.setitem(sys.modules, module.__name__, module)

    def metadata(self, url, token, endpoint, timeout):
        if self.fails:
            raise self.fails
        self.asked.append(("metadata", url, token))
        return SimpleNamespace(size=self.size)

    def http_get(self, url, temp_file, resume_size, headers, expected_size):
        self.asked.append(("get", url, resume_size, headers))
        temp_file.write(self.content[resume_size:])


@pytest.fixture
def library(monkeypatch):
    library = Library()
    library.install(monkeypatch)
    return library


def source(token=""):
    return HubSource(MANIFEST, "https://hub.example.org/", token, "/nowhere")


def test_a_part_is_gone_on_with(library, tmp_path):
    part, seen = tmp_path / "a.part", []
    part.write_bytes(b"0123")
    source("hf_token").fetch(FILE, part, seen.append)
    assert part.read_bytes() == b"0123456789"
    assert seen == [10]
    url = f"https://hub.example.org/o/n/resolve/{'0' * 40}/sub/a.bin"
    assert library.asked == [
        ("quiet", 50),
        ("metadata", url, "hf_token"),
        ("get", url, 4, {"authorization": "Bearer hf_token"}),
    ]


def test_without_a_token_no_login_that_lies_about_is_used(library, tmp_path):
    source().fetch(FILE, tmp_path / "a.part", print)
    assert library.asked[1][2] is False
    assert library.asked[2][3] == {}


@pytest.mark.parametrize(("there", "begins"), [(b"x" * 11, 0), (b"", 0)])
def test_more_than_the_whole_is_no_beginning(library, tmp_path, there, begins):
    part = tmp_path / "a.part"
    part.write_bytes(there)
    source().fetch(FILE, part, lambda _: None)
    assert part.read_bytes() == b"0123456789"
    assert library.asked[2][2] == begins


def test_a_whole_part_is_not_asked_for(library, tmp_path):
    (tmp_path / "a.part").write_bytes(b"0123456789")
    source().fetch(FILE, tmp_path / "a.part", print)
    assert library.asked == [("quiet", 50)]


@pytest.mark.parametrize(
    ("error", "code", "again"),
    [
        (GatedRepoError(403), "checkpoint.forbidden", False),
        (HfHubHTTPError(401), "checkpoint.unauthorized", False),
        (RevisionNotFoundError(404), "checkpoint.revision_not_found", False),
        (HfHubHTTPError(404), "checkpoint.not_found", False),
        (HfHubHTTPError(503), "checkpoint.server_error", True),
        (ConnectError(f"no way to {SIGNED}"), "checkpoint.unreachable", True),
        (OSError("Consistency check failed"), "checkpoint.unreachable", True),
    ],
)
def test_errors_have_their_names_and_no_signature(library, tmp_path, error, code, again):
    library.fails = error
    with pytest.raises(FetchError) as raised:
        source().fetch(FILE, tmp_path / "a.part", print)
    assert (raised.value.problem.code, raised.value.again) == (code, again)
    assert "secret" not in str(raised.value)


def test_a_pause_that_is_asked_for_is_passed_on(library, tmp_path):
    library.fails = HfHubHTTPError(429, **{"Retry-After": "30"})
    with pytest.raises(FetchError) as raised:
        source().fetch(FILE, tmp_path / "a.part", print)
    assert raised.value.pause == 30.0


def test_another_size_is_refused_before_anything_is_written(library, tmp_path):
    library.size = 11
    with pytest.raises(FetchError, match="has 11 bytes, the manifest says 10"):
        source().fetch(FILE, tmp_path / "a.part", print)
    assert not (tmp_path / "a.part").exists()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("a fault of ours")])
def test_other_errors_are_not_the_hubs(library, tmp_path, error):
    library.fails = error
    with pytest.raises(type(error)):
        source().fetch(FILE, tmp_path / "a.part", print)


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(HubLibraryError, match="huggingface_hub can't be imported"):
        source()
