"""The module against a folder that stands for /etc/apt; keys come from the fixtures."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
import signed_apt_repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VENDOR = "B41DD4D05A9095CFA433A028E3D8F83161511FFE"
OTHER = "EF41733584B8BEC4C9ED90696A0177C6EA486860"
URL = "https://vendor.test/gpg"


class Site:
    """A folder like /etc/apt and the server of the key."""

    def __init__(self, folder: Path, keys: Path, run: Callable[..., dict[str, Any]]) -> None:
        self.folder = folder
        self.keys = keys
        self.answer = (keys / "bundle.asc").read_bytes()
        self.requests: list[str] = []
        self.run_module = run
        (folder / "sources.list.d").mkdir(parents=True)
        (folder / "keyrings").mkdir()

    def open(self, url: str) -> io.BytesIO:
        self.requests.append(url)
        return io.BytesIO(self.answer)

    def run(self, **options: Any) -> dict[str, Any]:
        arguments = {
            "name": "vendor",
            "uris": ["https://vendor.test/debian"],
            "suites": ["trixie"],
            "components": ["stable"],
            "key_url": URL,
            "key_fingerprint": VENDOR,
            "directory": str(self.folder),
            "_ansible_diff": True,
        }
        return self.run_module(signed_apt_repository, **{**arguments, **options})

    @property
    def source(self) -> Path:
        return self.folder / "sources.list.d" / "vendor.sources"

    @property
    def keyring(self) -> Path:
        return self.folder / "keyrings" / "vendor.gpg"

    @property
    def preferences(self) -> Path:
        return self.folder / "preferences.d" / "vendor.pref"


@pytest.fixture
def site(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, run_module: Callable[..., dict[str, Any]]
) -> Site:
    site = Site(tmp_path / "apt", root / "tests" / "fixtures" / "openpgp", run_module)
    monkeypatch.setattr(signed_apt_repository.WebAccess, "open", site.open)
    return site


def test_the_pinned_key_of_a_bundle_the_source_and_the_pin_are_written(site: Site) -> None:
    result = site.run(pinned_packages=["docker-ce"], pinned_version="29.7")
    assert result["changed"]
    assert result["key"]["fingerprint"] == VENDOR
    assert site.keyring.read_bytes() == (site.keys / "vendor.gpg").read_bytes()
    assert site.keyring.stat().st_mode & 0o777 == 0o644
    assert f"Signed-By: {site.keyring}\n" in site.source.read_text()
    assert "Package: docker-ce\n" in site.preferences.read_text()
    assert {entry["after_header"] for entry in result["diff"]} == {str(site.source), str(site.preferences)}


def test_a_second_run_changes_nothing_and_needs_no_network(site: Site) -> None:
    site.run()
    site.requests.clear()
    result = site.run()
    assert not result["changed"]
    assert site.requests == []
    assert set(result["files"].values()) == {"keep"}


def test_a_keyring_with_more_than_the_pinned_key_is_reduced_without_network(site: Site) -> None:
    site.keyring.write_bytes((site.keys / "bundle.asc").read_bytes())
    assert site.run()["files"][str(site.keyring)] == "replace"
    assert site.keyring.read_bytes() == (site.keys / "vendor.gpg").read_bytes()
    assert site.requests == []


def test_check_mode_predicts_without_network(site: Site) -> None:
    result = site.run(_ansible_check_mode=True)
    assert result["changed"]
    assert site.requests == []
    assert not site.source.exists()


def test_an_emptied_version_removes_the_pin(site: Site) -> None:
    site.run(pinned_packages=["docker-ce"], pinned_version="29.7")
    assert site.run()["files"][str(site.preferences)] == "remove"
    assert not site.preferences.exists()


def test_another_key_is_refused_with_both_fingerprints(site: Site) -> None:
    site.answer = (site.keys / "other.asc").read_bytes()
    result = site.run()
    assert result["failed"]
    assert VENDOR in result["msg"]
    assert OTHER in result["msg"]
    assert "rotated" in result["msg"]
    assert not site.source.exists()
    assert not site.keyring.exists()


def test_an_error_page_is_no_key(site: Site) -> None:
    site.answer = b"<!DOCTYPE html><title>404</title>"
    result = site.run()
    assert result["problems"][0]["code"] == "apt.key_refused"
    assert "DOCTYPE" in result["msg"]


def test_a_key_can_be_given_as_content(site: Site) -> None:
    assert site.run(key_url="", key_content=(site.keys / "vendor.asc").read_text())["changed"]
    assert site.requests == []


def test_a_short_fingerprint_is_refused(site: Site) -> None:
    assert "full fingerprint" in site.run(key_fingerprint="61511FFE")["msg"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("docker.list", "deb [signed-by=/etc/apt/keyrings/docker.asc] https://vendor.test/debian/ trixie stable\n"),
        ("x.sources", "Types: deb\nURIs: https://vendor.test/debian\nSuites: trixie\nComponents: stable\n"),
    ],
)
def test_a_repository_in_another_file_is_named(site: Site, name: str, text: str) -> None:
    (site.folder / "sources.list.d" / name).write_text(text)
    result = site.run()
    assert result["problems"][0]["code"] == "apt.duplicate_repository"
    assert name in result["msg"]
    assert not site.source.exists()


@pytest.mark.parametrize(
    ("name", "text", "after"),
    [
        (
            "docker.list",
            "# mine\ndeb https://vendor.test/debian/ trixie stable\ndeb https://other.test/x trixie main\n",
            "# mine\n# deb https://vendor.test/debian/ trixie stable\ndeb https://other.test/x trixie main\n",
        ),
        (
            "x.sources",
            "Types: deb\nURIs: https://vendor.test/debian\nSuites: trixie\nComponents: stable\n",
            "Enabled: no\nTypes: deb\nURIs: https://vendor.test/debian\nSuites: trixie\nComponents: stable\n",
        ),
    ],
)
def test_a_repository_in_another_file_is_disabled_when_asked_for(site: Site, name: str, text: str, after: str) -> None:
    other = site.folder / "sources.list.d" / name
    other.write_text(text)
    backup = other.with_name(f"{name}.orig")
    predicted = site.run(replace_duplicates=True, _ansible_check_mode=True)
    assert predicted["replaced"] == {str(other): str(backup)}
    assert other.read_text() == text
    assert not backup.exists()
    result = site.run(replace_duplicates=True)
    assert result["replaced"] == predicted["replaced"]
    assert (other.read_text(), backup.read_text()) == (after, text)
    assert site.source.exists()
    assert result["diff"][0] == {
        "before": text,
        "after": after,
        "before_header": str(other),
        "after_header": str(other),
    }
    again = site.run(replace_duplicates=True)
    assert (again["changed"], again["replaced"]) == (False, {})


def test_a_refused_key_leaves_the_other_file_alone(site: Site) -> None:
    other = site.folder / "sources.list.d" / "docker.list"
    other.write_text("deb https://vendor.test/debian trixie stable\n")
    site.answer = (site.keys / "other.asc").read_bytes()
    assert site.run(replace_duplicates=True)["failed"]
    assert other.read_text() == "deb https://vendor.test/debian trixie stable\n"
    assert list(other.parent.iterdir()) == [other]


def test_absent_removes_every_file(site: Site) -> None:
    site.run(pinned_packages=["docker-ce"], pinned_version="29.7")
    result = site.run(state="absent", key_fingerprint="")
    assert set(result["files"].values()) == {"remove"}
    assert not site.source.exists()
    assert not site.run(state="absent", key_fingerprint="")["changed"]
