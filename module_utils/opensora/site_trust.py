# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What a site adds to a host so that it reaches the world: check its certificates, find the distribution's mirrors."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.apt_repository import normalize_uri
from ansible.module_utils.opensora.apt_sources import is_distribution_source
from ansible.module_utils.opensora.problems import Problem, invalid_value
from ansible.module_utils.opensora.value_syntax import address_problems, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible.module_utils.opensora.apt_sources import AptSource

# Where a family of distributions keeps additional certificates, and the command that updates its bundle.
STORES = {"debian": {"directory": "/usr/local/share/ca-certificates", "command": "update-ca-certificates"}}
FILE_PREFIX = "opensora-site-"
PROXY_FILE = "apt.conf.d/90opensora-site-proxy"  # below the package manager's configuration folder

SECURITY_SUFFIXES = ("-security", "/updates")

_DIRECT_HOST = re.compile(
    r"(?:\*?\.)?[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:/[0-9]{1,3})?(?::[0-9]{1,5})?|\*|"
    r"\[?[0-9A-Fa-f:.]+\]?(?:/[0-9]{1,3})?"
)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def certificates_of(content: str) -> list[str]:
    """Return each certificate of a PEM text, without what stands around it."""
    return [found.group(0).replace("\r\n", "\n").strip() + "\n" for found in _CERTIFICATE.finditer(content)]


def _certificate_fault(content: str, now: float) -> str:
    """Return what is wrong with the content of one entry; empty when nothing is."""
    if "PRIVATE KEY-----" in content:
        return "holds a private key; only the certificate belongs here, so replace that key"
    certificates = certificates_of(content)
    if not certificates:
        return "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"
    for number, certificate in enumerate(certificates, 1):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cadata=certificate)
        except (ssl.SSLError, ValueError) as error:
            return f"holds a damaged certificate (number {number}): {error}"
        details = context.get_ca_certs()
        if not details:
            return f"holds a certificate (number {number}) that is not one of a certificate authority"
        end = str(details[0]["notAfter"])
        if ssl.cert_time_to_seconds(end) < now:
            return f"holds a certificate (number {number}) that expired on {end}"
    return ""


def certificate_problems(entries: list[Mapping[str, Any]], now: float) -> list[Problem]:
    """Return what is wrong with the certificates of a site.

    Args:
        entries: The variable ``site_trust_ca_certificates``: ``{name, content}`` each.
        now: The time, in seconds since 1970, at which they have to be valid.
    """
    problems = []
    seen: set[str] = set()
    for entry in entries:
        name = str(entry.get("name", ""))
        fault = ""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            fault = "has a name that is not made of letters, digits, '.', '_' and '-'"
        elif name in seen:
            fault = "has a name that stands twice"
        else:
            fault = _certificate_fault(str(entry.get("content", "")), now)
        seen.add(name)
        if fault:
            problems.append(
                Problem(
                    layer="configuration",
                    code="site_trust.certificate",
                    severity="error",
                    message=f"The entry {name!r} of site_trust_ca_certificates {fault}",
                    next_action="Give the PEM certificate of the site's certificate authority, as text.",
                )
            )
    return problems


def certificate_files(entries: list[Mapping[str, Any]]) -> dict[str, str]:
    """Return the files for the system's store, name to content.

    The store wants one certificate a file, so an entry with several becomes several files.

    Args:
        entries: As for ``certificate_problems``.
    """
    files = {}
    for entry in entries:
        certificates = certificates_of(str(entry["content"]))
        for number, certificate in enumerate(certificates, 1):
            suffix = f"-{number}" if len(certificates) > 1 else ""
            files[f"{FILE_PREFIX}{entry['name']}{suffix}.crt"] = certificate
    return files


def unsupported_family(host_os: Mapping[str, Any]) -> Problem:
    """Return the problem of a system whose store of certificates is not known.

    Args:
        host_os: ``gpu_host.os``.
    """
    return Problem(
        layer="configuration",
        code="system.unsupported",
        severity="error",
        message=f"The host runs {host_os.get('name') or 'an unknown system'}, to which site_trust_* cannot be applied",
        next_action="Use Debian or Ubuntu; or set the host up for its site yourself, with site_trust_* empty for it.",
    )


def url_problems(urls: Mapping[str, str]) -> list[Problem]:
    """Return a problem for each address that is set and is not one.

    Args:
        urls: Variable name to value.
    """
    allowed = "an address with http:// or https://, or empty"
    return [
        problem for variable, value in urls.items() if value for problem in address_problems(variable, value, allowed)
    ]


def no_proxy_problems(value: str) -> list[Problem]:
    """Return what is wrong with the hosts that are reached directly.

    Args:
        value: The variable ``site_trust_no_proxy``.
    """
    if all(_DIRECT_HOST.fullmatch(host) for host in _direct_hosts(value)):
        return []
    allowed = "names, addresses and networks separated by commas, such as .example.org,10.0.0.0/8"
    return [invalid_value("site_trust_no_proxy", shortened(value), allowed)]


def _direct_hosts(value: str) -> list[str]:
    return [host for host in (name.strip() for name in value.split(",")) if host]


def mirror_for(source: AptSource, codename: str, mirror: str, security_mirror: str) -> str:
    """Return the site's mirror for one entry of the package manager; empty when the entry is to be left.

    Only the distribution's own entries are moved; what a third party offers stays where it is.

    Args:
        source: The entry.
        codename: Code name of the distribution's release.
        mirror: The site's mirror of the distribution; empty for none.
        security_mirror: The site's mirror of its security updates; empty for none.
    """
    if not is_distribution_source(source, codename):
        return ""
    security = all(suite.endswith(SECURITY_SUFFIXES) for suite in source.suites)
    return security_mirror if security else mirror


def proxy_configuration(http_proxy: str, https_proxy: str, no_proxy: str) -> str:
    """Return the package manager's proxy configuration; empty when there is no proxy.

    Args:
        http_proxy: Proxy for http addresses, or empty.
        https_proxy: Proxy for https addresses, or empty.
        no_proxy: Hosts reached directly, separated by commas.

    Raises:
        ValueError: A value would be read as more than itself.
    """
    wrong = url_problems({"http_proxy": http_proxy, "https_proxy": https_proxy}) + no_proxy_problems(no_proxy)
    if wrong:
        raise ValueError(wrong[0].message)
    lines = []
    if http_proxy:
        lines.append(f'Acquire::http::Proxy "{http_proxy}";')
    if https_proxy:
        lines.append(f'Acquire::https::Proxy "{https_proxy}";')
    if lines:
        for host in filter(None, (name.lstrip("*.") for name in _direct_hosts(no_proxy))):
            lines += [f'Acquire::{scheme}::Proxy::{host} "DIRECT";' for scheme in ("http", "https")]
    return "".join(f"{line}\n" for line in ["# Written by opensora-site, role site_trust", *lines]) if lines else ""


def required_urls(
    sources: list[dict[str, Any]], codename: str, mirror: str, security_mirror: str
) -> list[dict[str, str]]:
    """Return the addresses of the site's mirrors that the host does not use yet.

    Args:
        sources: ``gpu_host.apt_sources``.
        codename: Code name of the distribution's release.
        mirror: The site's mirror of the distribution; empty for none.
        security_mirror: The site's mirror of its security updates; empty for none.
    """
    used = {normalize_uri(uri) for source in sources for uri in source.get("uris", [])}
    wanted = (
        ("site_trust_debian_mirror_url", mirror, codename),
        ("site_trust_debian_security_mirror_url", security_mirror, f"{codename}-security"),
    )
    return [
        {"variable": variable, "url": f"{url.rstrip('/')}/dists/{suite}/InRelease"}
        for variable, url, suite in wanted
        if url and normalize_uri(url) not in used
    ]
