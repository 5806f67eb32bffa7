# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Read apt's source entries in both file formats, and add components to the distribution's own ones."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

_ONE_LINE = re.compile(r"^(?P<head>\s*(?P<type>deb(?:-src)?)\s+(?:\[(?P<options>[^\]]*)\]\s+)?)(?P<rest>[^#]*[^#\s])")
Format = Literal["list", "deb822"]


@dataclass(frozen=True)
class AptSource:
    """One entry: a line of a ``.list`` file, or a stanza of a ``.sources`` file.

    Attributes:
        path: File that holds the entry.
        format: ``list`` or ``deb822``.
        types: ``deb``, ``deb-src``.
        uris: Repository addresses.
        suites: Suites, such as ``trixie`` or ``trixie-updates``; one that ends in ``/`` has no components.
        components: Components, such as ``main``.
        signed_by: Keyring path or fingerprint, ``inline`` for a key in the file itself, or null.
        enabled: Whether apt uses the entry.
    """

    path: str
    format: Format
    types: list[str]
    uris: list[str]
    suites: list[str]
    components: list[str]
    signed_by: str | None
    enabled: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the entry as plain data for a module result."""
        return asdict(self)


def _line_entry(path: str, line: str) -> AptSource | None:
    match = _ONE_LINE.match(line)
    if match is None:
        return None
    words = match.group("rest").split()
    options = dict(option.split("=", 1) for option in (match.group("options") or "").split() if "=" in option)
    if len(words) < 2:  # noqa: PLR2004  an entry has at least an address and a suite
        return None
    return AptSource(
        path, "list", [match.group("type")], words[:1], words[1:2], words[2:], options.get("signed-by"), enabled=True
    )


def _stanza_fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        head = re.match(r"^([A-Za-z][A-Za-z0-9-]*):(.*)$", line)
        if head:
            name = head.group(1).lower()
            fields[name] = head.group(2).strip()
        elif name and line[:1] in " \t":
            fields[name] += "\n" + line.strip()
    return fields


def _stanza_entry(path: str, stanza: str) -> AptSource | None:
    fields = _stanza_fields(stanza)
    if "uris" not in fields or "suites" not in fields:
        return None
    signed_by = fields.get("signed-by")
    return AptSource(
        path,
        "deb822",
        fields.get("types", "deb").split(),
        fields["uris"].split(),
        fields["suites"].split(),
        fields.get("components", "").split(),
        ("inline" if "BEGIN PGP" in signed_by else signed_by) if signed_by else None,
        fields.get("enabled", "yes").lower() not in ("no", "false", "0", "off", "without", "disable"),
    )


def split_stanzas(text: str) -> list[str]:
    """Return the stanzas of a deb822 text with their separators, so that joining them gives the text again."""
    return re.split(r"(\n[ \t]*\n+)", text)


def parse_sources(path: str, text: str) -> list[AptSource]:
    """Return the entries of one file; the format follows from its name, as apt does it.

    Args:
        path: Path of the file, ending in ``.list`` or ``.sources``.
        text: Its text; lines and stanzas that are no entries are left out.
    """
    if path.endswith(".sources"):
        entries = [_stanza_entry(path, stanza) for stanza in split_stanzas(text)]
    else:
        entries = [_line_entry(path, line) for line in text.splitlines()]
    return [entry for entry in entries if entry is not None]


def is_distribution_source(source: AptSource, codename: str) -> bool:
    """Return whether an entry serves the distribution's own packages, also through a mirror.

    A third party's repository can have the same suite and a component ``main``, so its keyring decides: the
    distribution's, or none together with an address that names the distribution.

    Args:
        source: The entry.
        codename: The distribution's codename, such as ``trixie``.
    """
    suites = {suite.split("/")[0] for suite in source.suites}
    allowed = {
        codename,
        *(f"{codename}-{pocket}" for pocket in ("updates", "security", "backports", "proposed-updates")),
    }
    if not source.enabled or "deb" not in source.types or "main" not in source.components or not suites <= allowed:
        return False
    if source.signed_by is not None:
        return re.search(r"(debian|ubuntu)-archive", source.signed_by) is not None
    return any(re.search(r"debian|ubuntu", urlsplit(uri).netloc + urlsplit(uri).path) for uri in source.uris)


def missing_components(source: AptSource, wanted: list[str]) -> list[str]:
    """Return the wanted components that an entry lacks, in the order asked for."""
    return [component for component in wanted if component not in source.components]


def with_components(path: str, text: str, codename: str, wanted: list[str]) -> str:
    """Return a source file's text with components added to the distribution's own entries, all else untouched.

    Args:
        path: Path of the file, ending in ``.list`` or ``.sources``.
        text: Its present text.
        codename: The distribution's codename.
        wanted: Components that every own entry must have.
    """
    if not path.endswith(".sources"):
        lines = text.splitlines(keepends=True)
        for number, line in enumerate(lines):
            entry = _line_entry(path, line)
            match = _ONE_LINE.match(line)
            if entry and match and is_distribution_source(entry, codename):
                added = "".join(f" {component}" for component in missing_components(entry, wanted))
                lines[number] = line[: match.end()] + added + line[match.end() :]
        return "".join(lines)
    parts = split_stanzas(text)
    for number, part in enumerate(parts):
        stanza = _stanza_entry(path, part)
        if stanza and is_distribution_source(stanza, codename):
            added = "".join(f" {component}" for component in missing_components(stanza, wanted))
            head = re.search(r"(?im)^Components:[^\n]*\S", part)
            if head:
                parts[number] = part[: head.end()] + added + part[head.end() :]
    return "".join(parts)
