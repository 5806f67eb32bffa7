"""Certificates of a site are checked before a host sees them; only the distribution's own sources are moved."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from ansible.module_utils.opensora.apt_sources import parse_sources
from ansible.module_utils.opensora.site_trust import (
    certificate_files,
    certificate_problems,
    mirror_for,
    proxy_configuration,
    required_urls,
    url_problems,
)

if TYPE_CHECKING:
    from pathlib import Path

FAR_AWAY = 200 * 365 * 24 * 3600.0  # seconds; past the end of the fixture certificates


@pytest.fixture
def certificates(root: Path) -> Path:
    return root / "tests" / "fixtures" / "certificates"


def test_a_certificate_of_an_authority_is_accepted(certificates: Path) -> None:
    content = (certificates / "authority.pem").read_text()
    entries = [{"name": "site", "content": f"# comment\n{content}"}, {"name": "two", "content": content + content}]
    assert certificate_problems(entries, time.time()) == []
    assert list(certificate_files(entries)) == [
        "opensora-site-site.crt",
        "opensora-site-two-1.crt",
        "opensora-site-two-2.crt",
    ]
    assert certificate_files(entries)["opensora-site-site.crt"] == content


def test_what_cannot_work_is_reported_with_its_entry(certificates: Path) -> None:
    good = (certificates / "authority.pem").read_text()
    broken = good.replace(good.splitlines()[3], good.splitlines()[3][::-1])
    faults = [
        ("", good, "letters, digits"),
        ("../x", good, "letters, digits"),
        ("empty", "", "no certificate"),
        ("html", "<html>404</html>", "no certificate"),
        ("cut", good[:200], "no certificate"),
        ("broken", broken, "damaged"),
        ("server", (certificates / "server.pem").read_text(), "not one of a certificate authority"),
        ("key", good + "-----BEGIN PRIVATE KEY-----\n", "private key"),
    ]
    for name, content, said in faults:
        problems = certificate_problems([{"name": name, "content": content}], time.time())
        assert len(problems) == 1, name
        assert f"The entry {name!r} of site_trust_ca_certificates" in problems[0].message
        assert said in problems[0].message
    twice = certificate_problems([{"name": "a", "content": good}, {"name": "a", "content": good}], time.time())
    assert "stands twice" in twice[0].message
    assert "expired on" in certificate_problems([{"name": "a", "content": good}], FAR_AWAY)[0].message


@pytest.mark.parametrize("url", ["mirror.test/debian", "ftp://mirror.test", "http://", "/path"])
def test_addresses_are_checked(url: str) -> None:
    problems = url_problems({"site_trust_http_proxy": url, "site_trust_https_proxy": "", "a": "http://p:3128"})
    assert [problem.message.split(" ")[0] for problem in problems] == ["site_trust_http_proxy"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("deb http://x.test/debian trixie main contrib", "mirror"),
        ("deb http://x.test/debian trixie-updates main", "mirror"),
        ("deb http://x.test/debian-security trixie-security main", "security"),
        ("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://x.test trixie main", "mirror"),
        ("deb [signed-by=/etc/apt/keyrings/third.gpg] https://third.test/debian trixie main", ""),
        ("deb https://download.test/linux/debian trixie stable", ""),
        ("deb https://third.test/deb /", ""),
        ("deb http://x.test/debian bookworm main", ""),
    ],
)
def test_only_the_own_sources_of_the_distribution_are_moved(line: str, expected: str) -> None:
    (source,) = parse_sources("/etc/apt/sources.list", line)
    assert mirror_for(source, "trixie", "mirror", "security") == expected


def test_the_proxy_configuration_of_the_package_manager() -> None:
    assert proxy_configuration("", "", "x.test") == ""
    text = proxy_configuration("http://p:3128", "", ".x.test, 10.0.0.1")
    assert 'Acquire::http::Proxy "http://p:3128";\n' in text
    assert 'Acquire::https::Proxy::x.test "DIRECT";\n' in text
    assert "Acquire::https::Proxy " not in text


def test_a_mirror_is_asked_only_until_the_host_uses_it() -> None:
    mirror = "https://m.test/debian"
    assert required_urls([], "trixie", mirror, "") == [
        {"variable": "site_trust_debian_mirror_url", "url": "https://m.test/debian/dists/trixie/InRelease"}
    ]
    assert required_urls([{"uris": [f"{mirror}/"]}], "trixie", mirror, "") == []
