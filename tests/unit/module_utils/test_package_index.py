"""Indexes of both kinds of repositories, and the order of versions that both package managers define."""

from __future__ import annotations

import gzip
import itertools
import lzma
import shutil
import subprocess

import pytest
from ansible.module_utils.opensora import package_index
from ansible.module_utils.opensora.package_index import (
    IndexFormatError,
    debian_version_key,
    newest_first,
    parse_listed_versions,
    parse_packages,
    parse_primary,
    primary_location,
    rpm_version_key,
    unpack,
)

PACKAGES = """\
Package: nvidia-driver-cuda
Version: 580.159.04-1
Architecture: amd64
Description: compute
 Version: 1 of the text is no field

Package: nvidia-driver-cuda
Version: 580.178.04-1

Package: nvidia-driver-cuda
Version: 580.65.06-1

Package: libcuda1
Version: 580.178.04-1
"""
REPOMD = b"""<?xml version="1.0"?><repomd xmlns="http://linux.duke.edu/metadata/repo">
<data type="filelists"><location href="repodata/f.xml.gz"/></data>
<data type="primary"><location href="repodata/abc-primary.xml.gz"/></data></repomd>"""
PRIMARY = b"""<?xml version="1.0"?><metadata xmlns="http://linux.duke.edu/metadata/common">
<package type="rpm"><name>nvidia-driver-cuda</name><version epoch="3" ver="580.159.04" rel="1.el9"/></package>
<package type="rpm"><name>nvidia-driver-cuda</name><version epoch="3" ver="580.178.04" rel="1.el9"/></package>
<package type="rpm"><name>dkms</name><version epoch="0" ver="3.1" rel="1"/></package></metadata>"""

# Each row from the oldest to the newest.
DEBIAN_ORDERS = [
    ["1.0~rc1-1", "1.0-1", "1.0-1+b1", "1.0-2", "1.0.1-1"],
    ["~~", "~~a", "~", "0", "a"],
    ["1.0~~", "1.0~", "1.0", "1.0a", "1.0+", "1.0."],
    ["580.65.06-1", "580.159.04-1", "580.178.04-1", "595.91.07-1", "1:550.163.01-2"],
    ["1.2.9-1", "1.2.10-1", "1.10-1"],
    ["0:1-1", "1-2", "1:0-1"],
    ["5:29.7.2-1~debian.12~bookworm", "5:29.7.2-1~debian.13~trixie"],
]
DEBIAN_SAME = [("1.0-0", "1.0"), ("0:1.2", "1.2"), ("1.00", "1.0"), ("1.", "1.0"), ("001", "1")]
RPM_ORDERS = [
    ["1.0~rc1-1", "1.0-1", "1.0^git1-1", "1.0.1-1"],
    ["580.65.06-1.el9", "580.159.04-1.el9", "3:550.1-1.el9"],
    ["1.0a-1", "1.0.1-1", "1.0.9-1", "1.0.10-1"],
]


@pytest.mark.parametrize("order", DEBIAN_ORDERS)
def test_debian_order(order: list[str]) -> None:
    keys = [debian_version_key(version) for version in order]
    for first, second in itertools.combinations(keys, 2):
        assert first < second
    assert newest_first(order[::-1], "apt") == order[::-1]
    assert newest_first(order, "apt") == order[::-1]


@pytest.mark.parametrize(("first", "second"), DEBIAN_SAME)
def test_debian_versions_that_are_the_same(first: str, second: str) -> None:
    assert debian_version_key(first) == debian_version_key(second)


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="the judge is dpkg itself")
@pytest.mark.parametrize("first", ["1.0~rc1", "1.0", "1.0-1+b1", "1:0", "580.65.06-1", "1.0a", "1.0+x", "0"])
@pytest.mark.parametrize("second", ["1.0", "1.0~", "2.0-1", "580.159.04-1", "1.0.0"])
def test_dpkg_agrees(first: str, second: str) -> None:
    order = "lt" if debian_version_key(first) < debian_version_key(second) else "ge"
    judge = ["dpkg", "--compare-versions", first, order, second]
    assert subprocess.run(judge, check=False).returncode == 0  # noqa: S603  the arguments stand above


@pytest.mark.parametrize("order", RPM_ORDERS)
def test_rpm_order(order: list[str]) -> None:
    keys = [rpm_version_key(version) for version in order]
    assert keys == sorted(keys)
    assert len({str(key) for key in keys}) == len(keys)
    assert newest_first(order, "dnf") == order[::-1]


def test_apt_index() -> None:
    newest = ["580.178.04-1", "580.159.04-1", "580.65.06-1"]
    assert parse_packages(PACKAGES) == {"libcuda1": ["580.178.04-1"], "nvidia-driver-cuda": newest}
    assert parse_packages(PACKAGES, {"nvidia-driver-cuda", "absent"}) == {"nvidia-driver-cuda": newest}
    assert parse_packages("") == {}


def test_page_of_a_proxy_is_no_index() -> None:
    with pytest.raises(IndexFormatError, match="<html>"):
        parse_packages("<html>please log in</html>")


def test_rpm_index() -> None:
    assert primary_location(REPOMD) == "repodata/abc-primary.xml.gz"
    assert parse_primary(PRIMARY, {"nvidia-driver-cuda"}) == {
        "nvidia-driver-cuda": ["3:580.178.04-1.el9", "3:580.159.04-1.el9"]
    }
    assert parse_primary(PRIMARY)["dkms"] == ["3.1-1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "no XML document"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "entities"),
        (b"<repomd/>", "no list of packages"),
    ],
)
def test_damaged_rpm_index(content: bytes, message: str) -> None:
    with pytest.raises(IndexFormatError, match=message):
        primary_location(content)


def test_unpack(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unpack(lzma.compress(b"abc"), "x/Packages.xz") == b"abc"
    assert unpack(gzip.compress(b"abc"), "x/Packages.gz") == b"abc"
    assert unpack(b"abc", "x/Packages") == b"abc"
    for content, path in ((b"<html>", "Packages.xz"), (b"<html>", "Packages.gz"), (gzip.compress(b"abc")[:9], "a.gz")):
        with pytest.raises(IndexFormatError, match="damaged"):
            unpack(content, path)
    with pytest.raises(IndexFormatError, match="zst"):
        unpack(b"", "primary.xml.zst")
    monkeypatch.setattr(package_index, "MAXIMUM_SIZE", 2)
    with pytest.raises(IndexFormatError, match="larger"):
        unpack(gzip.compress(b"abc"), "a.gz")


def test_versions_that_a_host_lists() -> None:
    madison = " nvidia-smi | 550.163.01-2 | http://deb.test trixie/non-free amd64 Packages\n" * 2
    assert parse_listed_versions(madison + "N: Unable to locate package x\n", "apt") == {"nvidia-smi": ["550.163.01-2"]}
    listed = "kmod-nvidia-open-dkms|3:580.159.04-1.el9\ndkms|0:3.1-1\n"
    assert parse_listed_versions(listed, "dnf") == {
        "dkms": ["3.1-1"],
        "kmod-nvidia-open-dkms": ["3:580.159.04-1.el9"],
    }
