# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Read the index of a package repository: which versions of which packages it offers, newest first."""

from __future__ import annotations

import gzip
import io
import lzma
import re
import xml.etree.ElementTree as ET
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

Offered = dict[str, list[str]]

# Bytes of an unpacked index. NVIDIA's are below 20 MB, a whole distribution's below 60 MB.
MAXIMUM_SIZE = 256 * 1024 * 1024
_COMMON = "{http://linux.duke.edu/metadata/common}"
_REPO = "{http://linux.duke.edu/metadata/repo}"
# Order of the characters of a Debian version (Debian Policy 5.6.12): ~ before the end, then letters, then the rest.
_END = 0
_BEFORE_THE_END = -1
_AFTER_LETTERS = 256


class IndexFormatError(Exception):
    """An index cannot be read; the text says why."""


def _character_order(character: str) -> int:
    if character == "~":
        return _BEFORE_THE_END
    return ord(character) if character.isalpha() else ord(character) + _AFTER_LETTERS


def _debian_part_key(part: str) -> list[tuple[tuple[int, ...], int]]:
    """Return the key of an upstream version or a revision: runs of other characters and numbers take turns."""
    runs = [
        ((*(_character_order(character) for character in text), _END), int(digits or 0))
        for text, digits in re.findall(r"(\D*)(\d*)", part)
    ]
    end = ((_END,), 0)
    while runs and runs[-1] == end:
        runs.pop()  # a missing number counts as 0
    return [*runs, end]


DebianKey = tuple[int, list[tuple[tuple[int, ...], int]], list[tuple[tuple[int, ...], int]]]


def debian_version_key(version: str) -> DebianKey:
    """Return a Debian version as a value that sorts as ``dpkg --compare-versions`` does.

    Args:
        version: ``[epoch:]upstream[-revision]``, such as ``5:29.7.2-1~debian.13~trixie``.
    """
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    if not dash:
        upstream, revision = rest, ""
    return (int(epoch) if epoch.isdigit() else 0, _debian_part_key(upstream), _debian_part_key(revision))


RpmKey = tuple[int, list[tuple[int, int, str]], list[tuple[int, int, str]]]


def _rpm_part_key(part: str) -> list[tuple[int, int, str]]:
    """Return the key of a version or release: ~ before the end, then ^, then letters, then numbers."""
    key = []
    for sign, digits, letters in re.findall(r"([~^])|(\d+)|([a-zA-Z]+)", part):
        if sign:
            key.append((-1 if sign == "~" else 1, 0, ""))
        else:
            key.append((3, int(digits), "") if digits else (2, 0, letters))
    return [*key, (0, 0, "")]


def rpm_version_key(version: str) -> RpmKey:
    """Return an rpm version as a value that sorts as rpm does.

    Args:
        version: ``[epoch:]version[-release]``, such as ``3:580.159.04-1.el9``.
    """
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    number, _, release = rest.partition("-")
    return (int(epoch) if epoch.isdigit() else 0, _rpm_part_key(number), _rpm_part_key(release))


def newest_first(versions: Iterable[str], manager: str) -> list[str]:
    """Return the different versions in the order of the package manager, newest first.

    Args:
        versions: Full versions.
        manager: ``apt`` or ``dnf``.
    """
    if manager == "apt":
        return sorted(set(versions), key=debian_version_key, reverse=True)
    return sorted(set(versions), key=rpm_version_key, reverse=True)


def _sorted(found: dict[str, list[str]], manager: str) -> Offered:
    return {name: newest_first(versions, manager) for name, versions in sorted(found.items())}


def parse_packages(text: str, names: Collection[str] = ()) -> Offered:
    """Return what an apt repository offers.

    Args:
        text: Text of a ``Packages`` index.
        names: Packages to look for; empty for all.

    Raises:
        IndexFormatError: The text is no index, such as the page of a proxy.
    """
    if text.strip() and not re.search(r"^Package: ", text, re.MULTILINE):
        raise IndexFormatError(f"it is no index of packages, it begins with {text.strip()[:60]!r}")
    found: dict[str, list[str]] = {}
    for paragraph in re.split(r"\n\s*\n", text):
        name = re.search(r"^Package: (\S+)$", paragraph, re.MULTILINE)
        version = re.search(r"^Version: (\S+)$", paragraph, re.MULTILINE)
        if name and version and (not names or name.group(1) in names):
            found.setdefault(name.group(1), []).append(version.group(1))
    return _sorted(found, "apt")


def _xml(content: bytes, what: str) -> ET.Element:
    # Entities are how a small document becomes a huge one, and no index has any.
    if b"<!ENTITY" in content:
        raise IndexFormatError(f"{what} declares entities")
    try:
        return ET.fromstring(content)  # noqa: S314  entities are refused above
    except ET.ParseError as error:
        raise IndexFormatError(f"{what} is no XML document: {error}") from error


def primary_location(content: bytes) -> str:
    """Return the address of the list of packages, relative to the repository, from its ``repomd.xml``.

    Args:
        content: The document.

    Raises:
        IndexFormatError: It is no such document.
    """
    for data in _xml(content, "repomd.xml").iter(f"{_REPO}data"):
        location = data.find(f"{_REPO}location")
        if data.get("type") == "primary" and location is not None and location.get("href"):
            return str(location.get("href"))
    raise IndexFormatError("repomd.xml names no list of packages")


def parse_primary(content: bytes, names: Collection[str] = ()) -> Offered:
    """Return what an rpm repository offers.

    Args:
        content: The unpacked ``primary.xml``.
        names: Packages to look for; empty for all.

    Raises:
        IndexFormatError: It is no such document.
    """
    found: dict[str, list[str]] = {}
    for package in _xml(content, "primary.xml").iter(f"{_COMMON}package"):
        name = package.findtext(f"{_COMMON}name")
        version = package.find(f"{_COMMON}version")
        if not name or version is None or (names and name not in names):
            continue
        epoch, number, release = (version.get(key) or "" for key in ("epoch", "ver", "rel"))
        found.setdefault(name, []).append(f"{epoch + ':' if epoch not in ('', '0') else ''}{number}-{release}")
    return _sorted(found, "dnf")


def unpack(content: bytes, path: str) -> bytes:
    """Return the content of an index that may be packed.

    Args:
        content: What the server sent.
        path: Its address; the ending tells how it is packed.

    Raises:
        IndexFormatError: It is damaged, larger than any index, or packed in a way that Python cannot read.
    """
    try:
        if path.endswith(".xz"):
            with lzma.LZMAFile(io.BytesIO(content)) as packed:
                unpacked = packed.read(MAXIMUM_SIZE + 1)
        elif path.endswith(".gz"):
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as zipped:
                unpacked = zipped.read(MAXIMUM_SIZE + 1)
        elif path.endswith((".bz2", ".zst")):
            raise IndexFormatError(f"{path.rpartition('.')[2]} cannot be unpacked here")
        else:
            unpacked = content
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise IndexFormatError(f"it is damaged: {error}") from error
    if len(unpacked) > MAXIMUM_SIZE:
        raise IndexFormatError(f"it is larger than {MAXIMUM_SIZE} bytes")
    return unpacked


def parse_listed_versions(text: str, manager: str) -> Offered:
    """Return what the package manager of a host offers, from the lines of its own list.

    Args:
        text: Lines of ``apt-cache madison``, which are name, version and source between bars, or of ``dnf repoquery``
            whose format is ``name|epoch:version-release``.
        manager: ``apt`` or ``dnf``.
    """
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) > 1 and fields[0] and fields[1]:
            found.setdefault(fields[0], []).append(re.sub(r"^0:", "", fields[1]))
    return _sorted(found, manager)
