# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Read apt's source entries in both file formats, add components to the distribution's own ones, disable some."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_ONE_LINE = re.compile(r"^(?P<head>\s*(?P<type>deb(?:-src)?)\s+(?:\[(?P<options>[^\]]*)\]\s+)?)(?P<rest>[^#]*[^#\s])")
_ENABLED = re.compile(r"^Enabled:[^\r\n]*(?:\r?\n[ \t]+[^\r\n]*)*", re.IGNORECASE | re.MULTILINE)
_FIELD = re.compile(r"^[A-Za-z]", re.MULTILINE)
# What a server of repositories wrote into the list that was asked for, seen in lists of NVIDIA's container toolkit.
_REFUSAL = re.compile(r"^#\s*Unsupported distribution", re.IGNORECASE)
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
        architectures: Architectures that the entry is limited to; empty for all of the host.
        line: Number of the entry's line, or of the first line of its stanza, from 1.
    """

    path: str
    format: Format
    types: list[str]
    uris: list[str]
    suites: list[str]
    components: list[str]
    signed_by: str | None
    enabled: bool
    architectures: list[str] = field(default_factory=list)
    line: int = 0

    @property
    def place(self) -> str:
        """File and line of the entry, for people."""
        return f"{self.path}, {'line' if self.format == 'list' else 'stanza at line'} {self.line}"

    def as_dict(self) -> dict[str, Any]:
        """Return the entry as plain data for a module result."""
        return asdict(self)


@dataclass(frozen=True)
class UnreadableLine:
    """A line of a source file that is neither an entry nor a comment, or what a server wrote instead of a repository.

    Attributes:
        path: File that holds it.
        line: Its number, from 1.
        text: The line.
    """

    path: str
    line: int
    text: str

    def as_dict(self) -> dict[str, Any]:
        """Return the line as plain data for a module result."""
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
        path,
        "list",
        [match.group("type")],
        words[:1],
        words[1:2],
        words[2:],
        options.get("signed-by"),
        enabled=True,
        architectures=options.get("arch", "").replace(",", " ").split(),
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


def _is_enabled(fields: dict[str, str]) -> bool:
    return fields.get("enabled", "yes").lower() not in ("no", "false", "0", "off", "without", "disable")


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
        _is_enabled(fields),
        fields.get("architectures", "").split(),
    )


def split_stanzas(text: str) -> list[str]:
    """Return the stanzas of a deb822 text with their separators, so that joining them gives the text again."""
    return re.split(r"(\n[ \t]*\n+)", text)


def _numbered_stanzas(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield the position of each stanza among the parts of a text, its first line's number, and the stanza."""
    number = 1
    for position, part in enumerate(split_stanzas(text)):
        lines = part.split("\n")
        first = next((index for index, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
        if first is not None:
            yield position, number + first, part
        number += len(lines) - 1


def parse_sources(path: str, text: str) -> list[AptSource]:
    """Return the entries of one file; the format follows from its name, as apt does it.

    Args:
        path: Path of the file, ending in ``.list`` or ``.sources``.
        text: Its text; lines and stanzas that are no entries are left out.
    """
    if path.endswith(".sources"):
        found = [(number, _stanza_entry(path, stanza)) for _, number, stanza in _numbered_stanzas(text)]
    else:
        found = [(number, _line_entry(path, line)) for number, line in enumerate(text.split("\n"), 1)]
    return [replace(entry, line=number) for number, entry in found if entry is not None]


def unreadable_lines(path: str, text: str) -> list[UnreadableLine]:
    """Return the lines of one file at which apt stops, and a server's refusal in a file without entries.

    Args:
        path: Path of the file, ending in ``.list`` or ``.sources``.
        text: Its text.
    """
    if path.endswith(".sources"):
        candidates = [
            (number, part, _stanza_entry(path, part))
            for _, number, part in _numbered_stanzas(text)
            if _is_enabled(_stanza_fields(part))
        ]
    else:
        candidates = [
            (number, line, _line_entry(path, line))
            for number, line in enumerate(text.split("\n"), 1)
            if line.strip() and not line.lstrip().startswith("#")
        ]
    found = [
        (number, next(line for line in part.split("\n") if line.strip() and not line.startswith("#")))
        for number, part, entry in candidates
        if entry is None or (entry.enabled and _lacks_components(entry))
    ]
    if not found and all(entry is None for _, _, entry in candidates):
        found = [(number, line) for number, line in enumerate(text.split("\n"), 1) if _REFUSAL.match(line)]
    return [UnreadableLine(path, number, line.strip()) for number, line in found]


def _lacks_components(entry: AptSource) -> bool:
    return not entry.components and not all(suite.endswith("/") for suite in entry.suites)


def disable_entries(path: str, text: str, lines: Collection[int]) -> str:
    """Return a source file's text with some entries disabled, every other byte kept.

    A line becomes a comment, a stanza gets ``Enabled: no``; a stanza that apt cannot read becomes comments.

    Args:
        path: Path of the file, ending in ``.list`` or ``.sources``.
        text: Its present text.
        lines: Numbers of the entries, as in ``AptSource.line`` and ``UnreadableLine.line``.
    """
    if not path.endswith(".sources"):
        return "\n".join(
            _commented(line) if number in lines else line for number, line in enumerate(text.split("\n"), 1)
        )
    unreadable = {entry.line for entry in unreadable_lines(path, text)}
    parts = split_stanzas(text)
    for position, number, part in _numbered_stanzas(text):
        if number in lines:
            parts[position] = (
                "\n".join(map(_commented, part.split("\n"))) if number in unreadable else _disabled_stanza(part)
            )
    return "".join(parts)


def _commented(line: str) -> str:
    return line if not line.strip() or line.lstrip().startswith("#") else f"# {line}"


def _disabled_stanza(stanza: str) -> str:
    found = _ENABLED.search(stanza)
    if found:
        return f"{stanza[: found.start()]}Enabled: no{stanza[found.end() :]}"
    first = _FIELD.search(stanza)
    if first is None:
        return stanza
    newline = "\r\n" if "\r\n" in stanza else "\n"
    return f"{stanza[: first.start()]}Enabled: no{newline}{stanza[first.start() :]}"


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
