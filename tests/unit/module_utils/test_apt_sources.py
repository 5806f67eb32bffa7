"""apt's sources in both formats: read, recognised and completed without touching anything else."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.apt_sources import (
    disable_entries,
    is_distribution_source,
    parse_sources,
    unreadable_lines,
    with_components,
)

COMPONENTS = ["contrib", "non-free", "non-free-firmware"]
LIST = "/etc/apt/sources.list"
DEB822 = "/etc/apt/sources.list.d/debian.sources"

STANZAS = """\
# the distribution
Types: deb deb-src
# a comment inside
URIs: http://mirror.example.org/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://apt.example.org/
Suites: trixie
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: http://mirror.example.org/debian
Suites: trixie-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def test_one_line_format() -> None:
    text = (
        "# deb http://mirror.example.org/debian trixie contrib\n"
        "deb [arch=amd64 signed-by=/etc/apt/keyrings/docker.asc] "
        "https://download.docker.com/linux/debian trixie stable # x\n"
        "deb-src http://mirror.example.org/debian trixie main\n"
        "deb https://nvidia.github.io/libnvidia-container/stable/deb/$(ARCH) /\n"
        "deb broken\n\n"
    )
    entries = parse_sources(LIST, text)
    assert [(entry.types, entry.suites, entry.components) for entry in entries] == [
        (["deb"], ["trixie"], ["stable"]),
        (["deb-src"], ["trixie"], ["main"]),
        (["deb"], ["/"], []),
    ]
    assert entries[0].signed_by == "/etc/apt/keyrings/docker.asc"
    assert entries[0].uris == ["https://download.docker.com/linux/debian"]
    assert entries[1].signed_by is None


def test_stanza_format() -> None:
    first, second, third = parse_sources(DEB822, STANZAS)
    assert first.types == ["deb", "deb-src"]
    assert first.suites == ["trixie", "trixie-updates"]
    assert second.signed_by == "inline"
    assert (first.enabled, third.enabled) == (True, False)


@pytest.mark.parametrize(
    ("line", "own"),
    [
        ("deb http://mirror.example.org/debian trixie main", True),
        ("deb http://mirror.example.org/debian-security trixie-security main", True),
        ("deb https://mirror.example.org/debian trixie main contrib", True),
        (
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] https://mirror.example.org/x trixie main",
            True,
        ),
        ("deb [signed-by=/usr/share/keyrings/tailscale.gpg] https://pkgs.example.com/debian trixie main", False),
        ("deb http://apt.example.org trixie main", False),
        ("deb http://mirror.example.org/debian bookworm main", False),
        ("deb http://apt.example.org/debian trixie-pgdg main", False),
        ("deb http://mirror.example.org/debian trixie contrib", False),
        ("deb-src http://mirror.example.org/debian trixie main", False),
    ],
)
def test_own_source(line: str, own: bool) -> None:
    (entry,) = parse_sources(LIST, line)
    assert is_distribution_source(entry, "trixie") is own


def test_components_of_lines() -> None:
    text = (
        "# hand-made\n"
        "deb http://mirror.example.org/debian trixie main non-free   # keep\n"
        "deb [signed-by=/etc/x.gpg] https://apt.example.org trixie main\n"
    )
    after = with_components(LIST, text, "trixie", COMPONENTS)
    assert after == (
        "# hand-made\n"
        "deb http://mirror.example.org/debian trixie main non-free contrib non-free-firmware   # keep\n"
        "deb [signed-by=/etc/x.gpg] https://apt.example.org trixie main\n"
    )
    assert with_components(LIST, after, "trixie", COMPONENTS) == after


def test_components_of_stanzas() -> None:
    after = with_components(DEB822, STANZAS, "trixie", COMPONENTS)
    assert after == STANZAS.replace("Components: main\n", "Components: main contrib non-free non-free-firmware\n", 1)
    assert with_components(DEB822, after, "trixie", COMPONENTS) == after


def test_nothing_to_add() -> None:
    assert with_components(DEB822, STANZAS, "trixie", ["main"]) == STANZAS
    assert with_components(LIST, "", "trixie", COMPONENTS) == ""


def test_place_and_architectures() -> None:
    text = "\n# x\ndeb [arch=amd64,arm64] https://apt.example.org trixie main\n"
    (entry,) = parse_sources(LIST, text)
    assert (entry.line, entry.architectures, entry.place) == (3, ["amd64", "arm64"], f"{LIST}, line 3")
    first, second, third = parse_sources(DEB822, STANZAS)
    assert [source.line for source in (first, second, third)] == [2, 9, 19]
    assert third.place.startswith(f"{DEB822}, stanza at line ")


def test_a_line_becomes_a_comment() -> None:
    text = "# hand-made\r\ndeb https://a.example.org trixie main\r\n\r\n\tdeb https://b.example.org trixie main # é"
    numbers = [entry.line for entry in parse_sources(LIST, text)]
    assert disable_entries(LIST, text, numbers[1:]) == text.replace("\tdeb", "# \tdeb")
    after = disable_entries(LIST, text, numbers)
    assert after == text.replace("\tdeb", "# \tdeb").replace("deb https://a", "# deb https://a")
    assert parse_sources(LIST, after) == []
    assert disable_entries(LIST, after, numbers) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# x\nTypes: deb\nURIs: u\nSuites: /\n", "# x\nEnabled: no\nTypes: deb\nURIs: u\nSuites: /\n"),
        ("Types: deb\r\nURIs: u\r\nSuites: /\r\n", "Enabled: no\r\nTypes: deb\r\nURIs: u\r\nSuites: /\r\n"),
        ("Types: deb\nURIs: u\nenabled: yes\nSuites: /", "Types: deb\nURIs: u\nEnabled: no\nSuites: /"),
        ("Types: deb\nEnabled:\n yes\nURIs: u\nSuites: /\n", "Types: deb\nEnabled: no\nURIs: u\nSuites: /\n"),
        ("Types: deb\n# why\nURIs: u\n", "# Types: deb\n# why\n# URIs: u\n"),  # apt stops at it whatever it says
    ],
)
def test_a_stanza_is_disabled(before: str, after: str) -> None:
    text = f"{STANZAS}\n \n{before}"
    number = STANZAS.count("\n") + 3 + before.startswith("#")
    assert disable_entries(DEB822, text, [number]) == f"{STANZAS}\n \n{after}"
    assert unreadable_lines(DEB822, after) == []
    assert not any(entry.enabled for entry in parse_sources(DEB822, after))


def test_unreadable_lines() -> None:
    text = "# x\ndeb https://a.example.org trixie main\n<html>\n\n  <p>no</p>\n"
    assert [(line.line, line.text) for line in unreadable_lines(LIST, text)] == [(3, "<html>"), (5, "<p>no</p>")]
    assert unreadable_lines(LIST, text)[0].as_dict() == {"path": LIST, "line": 3, "text": "<html>"}
    assert unreadable_lines(DEB822, STANZAS) == []
    refusal = "# Unsupported distribution!\n"
    assert [line.text for line in unreadable_lines(LIST, refusal)] == [refusal.strip()]
    assert unreadable_lines(LIST, f"{refusal}deb https://a.example.org trixie main\n") == []
