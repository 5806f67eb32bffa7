"""Sources, pins and what is already configured."""

from __future__ import annotations

import re

import pytest
from ansible.module_utils.opensora.apt_repository import (
    Repository,
    entries_of,
    normalize_uri,
    render_preferences,
    render_source,
    rewrite_uris,
    version_matches,
    version_pattern,
)
from ansible.module_utils.opensora.apt_sources import parse_sources

TOOLKIT = "https://vendor.test/stable/deb/$(ARCH)"


def test_a_flat_repository_has_no_components() -> None:
    text = render_source(
        Repository((TOOLKIT,), ("/",), (), (), ("deb",), "/etc/apt/keyrings/toolkit.gpg"), "Written by a test"
    )
    assert text == (
        "# Written by a test\nTypes: deb\nURIs: https://vendor.test/stable/deb/$(ARCH)\nSuites: /\n"
        "Signed-By: /etc/apt/keyrings/toolkit.gpg\n"
    )
    assert parse_sources("x.sources", text)[0].suites == ["/"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (TOOLKIT, "https://vendor.test/stable/deb/amd64/"),
        ("https://Vendor.test/linux/debian/", "https://vendor.test/linux/debian"),
    ],
)
def test_two_spellings_of_one_address(first: str, second: str) -> None:
    assert normalize_uri(first, "amd64") == normalize_uri(second, "amd64")
    assert normalize_uri("https://vendor.test/A") != normalize_uri("https://vendor.test/a")


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("d.list", "deb [arch=amd64 signed-by=/k.asc] https://vendor.test/debian trixie stable", 1),
        ("d.list", "# deb https://vendor.test/debian trixie stable", 0),
        ("d.list", "deb-src https://vendor.test/debian trixie stable", 1),
        ("d.list", "deb https://vendor.test/debian bookworm stable", 0),
        ("d.sources", "Types: deb\nURIs: https://vendor.test/debian/\nSuites: bookworm trixie\nComponents: stable", 1),
        ("d.sources", "Enabled: no\nTypes: deb\nURIs: https://vendor.test/debian\nSuites: trixie\nComponents: a", 0),
    ],
)
def test_the_same_repository_in_another_file(path: str, text: str, found: int) -> None:
    assert len(entries_of(parse_sources(path, text), ["https://vendor.test/debian"], ["trixie"], "amd64")) == found


@pytest.mark.parametrize(
    ("version", "wanted", "expected"),
    [
        ("5:29.7.2-1~debian.13~trixie", "5:29.7.2-1~debian.13~trixie", True),
        ("5:29.7.2-1~debian.13~trixie", "29.7.2", True),
        ("5:29.7.2-1~debian.13~trixie", "29.7", True),
        ("5:29.70.1-1~debian.13~trixie", "29.7", False),
        ("5:29.7.20-1", "29.7.2", False),
        ("5:29.7.2-1", "9.7.2", False),
        ("1.20.0-1", "1.20.0-1", True),
        ("1.20.0-10", "1.20.0-1", False),
        ("1.20.0-1", "1.2", False),
        ("1.20.0-1", "1.", True),
    ],
)
def test_versions_match_alike_in_the_decision_and_in_the_pin(version: str, wanted: str, expected: bool) -> None:
    assert version_matches(version, wanted) is expected
    pattern = version_pattern(wanted)
    assert pattern.startswith("/")
    assert bool(re.search(pattern.strip("/"), version)) is expected


def test_the_pin_allows_a_downgrade() -> None:
    text = render_preferences(["docker-ce", "docker-ce-cli"], "29.7", "Written by a test")
    assert "Package: docker-ce docker-ce-cli\nPin: version /^([0-9]+:)?29\\.7([^0-9]|$)/\nPin-Priority: 1001\n" in text


MIRROR = "https://mirror.test/debian"


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("a.list", "deb http://a.test/d trixie main # note\n", f"deb {MIRROR} trixie main # note\n"),
        ("a.list", "deb [arch=amd64] http://a.test/d trixie main", f"deb [arch=amd64] {MIRROR} trixie main"),
        ("a.list", f"deb {MIRROR}/ trixie main\n", f"deb {MIRROR}/ trixie main\n"),
        ("a.list", "deb http://b.test/d other main\n", "deb http://b.test/d other main\n"),
        (
            "a.sources",
            (
                "# c\nTypes: deb\nURIs: http://a.test/d\n http://a2.test/d\nSuites: trixie\nComponents: main\n\n"
                "Types: deb\nURIs: http://b.test\nSuites: other\nComponents: main\n"
            ),
            (
                f"# c\nTypes: deb\nURIs: {MIRROR}\nSuites: trixie\nComponents: main\n\n"
                "Types: deb\nURIs: http://b.test\nSuites: other\nComponents: main\n"
            ),
        ),
    ],
)
def test_only_chosen_addresses_are_rewritten(path: str, before: str, after: str) -> None:
    assert rewrite_uris(path, before, lambda source: MIRROR if "trixie" in source.suites else "") == after
