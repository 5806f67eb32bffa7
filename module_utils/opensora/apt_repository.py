# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""One repository of the Debian package manager: render its source and its pin, find it in what is configured."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible.module_utils.opensora.apt_sources import parse_sources, split_stanzas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ansible.module_utils.opensora.apt_sources import AptSource

# apt's own rule (apt_preferences): above 1000 a version is installed even when that is a downgrade.
PIN_PRIORITY = 1001

_URIS = re.compile(r"^URIs:[^\n]*(?:\n[ \t]+[^\n]*)*", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Repository:
    """A repository as it is to be configured.

    Attributes:
        uris: Addresses; ``$(ARCH)`` stands for the host's architecture.
        suites: Suites, or one path that ends in a slash for a flat repository.
        components: Components; empty for a flat repository.
        architectures: Architectures it is limited to; empty for all of the host.
        types: ``deb``, ``deb-src`` or both.
        signed_by: Path of the keyring.
    """

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    architectures: tuple[str, ...]
    types: tuple[str, ...]
    signed_by: str

    def __post_init__(self) -> None:
        """Refuse a word that the package manager would read as several, or as another field."""
        for words in (self.uris, self.suites, self.components, self.architectures, self.types, (self.signed_by,)):
            for word in words:
                _require_word(word)


def _require_word(text: str) -> None:
    if not text or not text.isprintable() or re.search(r"\s", text):
        raise ValueError(f"{text!r} is not one word, as the package manager's files need it")


def normalize_uri(uri: str, architecture: str = "") -> str:
    """Return an address in the form in which two spellings of one repository are equal.

    Args:
        uri: As written in a sources file.
        architecture: The host's Debian architecture, which replaces ``$(ARCH)``; empty to leave it.
    """
    if architecture:
        uri = uri.replace("$(ARCH)", architecture)
    scheme, separator, rest = uri.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}{separator}{host.lower()}{slash}{path}"


def render_source(repository: Repository, comment: str) -> str:
    """Return the text of a ``.sources`` file with one entry.

    Args:
        repository: The repository.
        comment: A line put above it, without the comment sign.
    """
    rows = [
        ("Types", repository.types),
        ("URIs", repository.uris),
        ("Suites", repository.suites),
        ("Components", repository.components),
        ("Architectures", repository.architectures),
        ("Signed-By", (repository.signed_by,)),
    ]
    return "\n".join([f"# {comment}", *(f"{name}: {' '.join(values)}" for name, values in rows if values)]) + "\n"


def entries_of(
    sources: Iterable[AptSource], uris: Iterable[str], suites: Iterable[str], architecture: str
) -> list[AptSource]:
    """Return the enabled entries of a repository, also those of its source packages, which need the same key.

    Args:
        sources: The entries of all files.
        uris: Addresses of the repository.
        suites: Its suites.
        architecture: The host's Debian architecture.
    """
    addresses = {normalize_uri(uri, architecture) for uri in uris}
    wanted = set(suites)
    return [
        source
        for source in sources
        if source.enabled
        and addresses & {normalize_uri(uri, architecture) for uri in source.uris}
        and wanted & set(source.suites)
    ]


def version_matches(version: str, wanted: str) -> bool:
    """Say whether a package version is the one that was asked for.

    Args:
        version: Full version of a package, such as ``5:29.7.2-1~debian.13~trixie``.
        wanted: A full version, or its beginning up to a separator: ``29.7`` fits ``29.7.2`` and not ``29.70``. The
            epoch may be left out.
    """
    for candidate in (version, version.partition(":")[2]):
        rest = candidate[len(wanted) :]
        if candidate.startswith(wanted) and not (rest[:1].isdigit() and wanted[-1:].isdigit()):
            return True
    return False


def version_pattern(version: str) -> str:
    """Return the regular expression of the package manager that matches like ``version_matches``.

    Args:
        version: A full version, or its beginning.
    """
    escaped = re.sub(r"([.+^*?()\[\]{}|\\])", r"\\\1", version)
    end = "([^0-9]|$)" if version[-1:].isdigit() else ""
    return f"/^([0-9]+:)?{escaped}{end}/"


def render_preferences(packages: Iterable[str], version: str, comment: str) -> str:
    """Return the text of a preferences file that keeps packages at one version.

    Args:
        packages: Names of the packages.
        version: As for ``version_matches``.
        comment: A line put above, without the comment sign.

    Raises:
        ValueError: A package or the version is not one word.
    """
    packages = list(packages)
    for word in (*packages, version):
        _require_word(word)
    lines = (
        f"# {comment}",
        f"Package: {' '.join(packages)}",
        f"Pin: version {version_pattern(version)}",
        f"Pin-Priority: {PIN_PRIORITY}",
    )
    return "\n".join(lines) + "\n"


def rewrite_uris(path: str, text: str, choose: Callable[[AptSource], str]) -> str:
    """Return a sources file with the addresses of some entries replaced, every other character kept.

    Args:
        path: Path of the file; its name tells the format.
        text: The whole text of the file.
        choose: Called with an entry; returns its new address, or an empty string to leave it.
    """
    if path.endswith(".sources"):
        return "".join(_rewrite_stanza(path, part, choose) for part in split_stanzas(text))
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        for source in parse_sources(path, line):
            address = _new_address(source, choose)
            if address:
                lines[number] = line.replace(source.uris[0], address, 1)
    return "".join(lines)


def _new_address(source: AptSource, choose: Callable[[AptSource], str]) -> str:
    address = choose(source)
    same = {normalize_uri(uri) for uri in source.uris} == {normalize_uri(address)}
    return "" if same else address


def _rewrite_stanza(path: str, part: str, choose: Callable[[AptSource], str]) -> str:
    for source in parse_sources(path, part):
        address = _new_address(source, choose)
        found = _URIS.search(part)
        if address and found:
            part = f"{part[: found.start()]}URIs: {address}{part[found.end() :]}"
    return part
