"""What a host has of its site is read by digests, and only a difference makes the role work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.opensora.apt_sources import parse_sources
from ansible.module_utils.opensora.command_runner import command_runner
from ansible.module_utils.opensora.host_probe import HostProbe
from ansible.module_utils.opensora.site_trust import PROXY_FILE, STORES, certificate_files, proxy_configuration
from ansible.module_utils.opensora.site_trust_state import describe_site_trust, differs

if TYPE_CHECKING:
    from pathlib import Path

STORE = STORES["debian"]["directory"].lstrip("/")
SOURCE = (
    "Types: deb\nURIs: http://archive.test/debian\nSuites: trixie\nComponents: main\n"
    "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
)
NOTHING = {
    "ca_certificates": [],
    "http_proxy": "",
    "https_proxy": "",
    "no_proxy": "",
    "debian_mirror_url": "",
    "debian_security_mirror_url": "",
}


def host(tmp_path: Path, files: dict[str, str], source: str = SOURCE) -> dict[str, Any]:
    """Return the part of a host's description that the decision needs."""
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    probe = HostProbe(str(tmp_path), command_runner(str(tmp_path), {}, {}, 10.0))
    entries = [entry.as_dict() for entry in parse_sources("/etc/apt/sources.list.d/debian.sources", source)]
    trust = describe_site_trust(probe, "debian")
    return {"os": {"family": "debian", "codename": "trixie"}, "site_trust": trust, "apt_sources": entries}


def test_a_host_that_nothing_is_asked_of_differs_in_nothing(tmp_path: Path) -> None:
    assert differs(host(tmp_path, {}), NOTHING) is False


def test_certificates(tmp_path: Path, root: Path) -> None:
    authority = (root / "tests/fixtures/certificates/authority.pem").read_text()
    settings = {**NOTHING, "ca_certificates": [{"name": "site", "content": authority}]}
    assert differs(host(tmp_path, {}), settings) is True
    files = {f"{STORE}/{name}": text for name, text in certificate_files(settings["ca_certificates"]).items()}
    # Without the program that updates the bundle the file alone is of no use.
    assert differs(host(tmp_path, files), settings) is True
    files["usr/sbin/update-ca-certificates"] = ""
    assert differs(host(tmp_path, files), settings) is False
    # What another tool put there is not ours to compare; what we put there and is not asked for any more is.
    assert differs(host(tmp_path, {f"{STORE}/other.crt": authority}), settings) is False
    assert differs(host(tmp_path, {}), NOTHING) is True


@pytest.mark.parametrize(
    ("found", "asked", "different"),
    [
        ("", "", False),
        ("", "http://proxy.test:3128", True),
        ("http://proxy.test:3128", "http://proxy.test:3128", False),
        ("http://proxy.test:3128", "http://other.test:3128", True),
        ("http://proxy.test:3128", "", True),
    ],
)
def test_proxies(tmp_path: Path, found: str, asked: str, different: bool) -> None:
    files = {f"etc/apt/{PROXY_FILE}": proxy_configuration(found, "", "")} if found else {}
    described = host(tmp_path, files)
    assert differs(described, {**NOTHING, "http_proxy": asked}) is different
    assert "proxy.test" not in str(described)


@pytest.mark.parametrize(
    ("source", "mirror", "different"),
    [
        (SOURCE, "", False),
        (SOURCE, "http://mirror.test/debian", True),
        (
            SOURCE.replace("http://archive.test/debian", "http://mirror.test/debian/"),
            "http://mirror.test/debian",
            False,
        ),
        # A third party's repository stays where it is.
        (SOURCE.replace("debian-archive", "vendor"), "http://mirror.test/debian", False),
        (SOURCE + "Enabled: no\n", "http://mirror.test/debian", False),
    ],
)
def test_mirrors(tmp_path: Path, source: str, mirror: str, different: bool) -> None:
    assert differs(host(tmp_path, {}, source), {**NOTHING, "debian_mirror_url": mirror}) is different
