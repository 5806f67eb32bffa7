# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What a host has of its site already, and whether anything of it differs from what is asked for."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.apt_repository import normalize_uri
from ansible.module_utils.opensora.apt_sources import AptSource
from ansible.module_utils.opensora.site_trust import (
    FILE_PREFIX,
    PROXY_FILE,
    STORES,
    certificate_files,
    mirror_for,
    proxy_configuration,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ansible.module_utils.opensora.host_probe import HostProbe

_PROGRAM_FOLDERS = ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin")
_PROXY_PATH = f"/etc/apt/{PROXY_FILE}"


def describe_site_trust(probe: HostProbe, family: str) -> dict[str, Any]:
    """Return the files that the role site_trust owns on a host, by their digests, and whether its store can be updated.

    A proxy's address may carry a password, so no content is returned.

    Args:
        probe: The host.
        family: Family of its distribution.
    """
    store = STORES.get(family)
    paths = [_PROXY_PATH]
    if store:
        directory = store["directory"]
        paths += [f"{directory}/{name}" for name in probe.names(directory) if _is_own_certificate(name)]
    contents = {path: probe.octets(path) for path in paths}
    return {
        "files": {path: digest(content) for path, content in contents.items() if content is not None},
        "can_update": store is not None
        and any(probe.exists(f"{folder}/{store['command']}") for folder in _PROGRAM_FOLDERS),
    }


def digest(content: bytes) -> str:
    """Return the SHA-256 digest of a file's content."""
    return hashlib.sha256(content).hexdigest()


def _is_own_certificate(name: str) -> bool:
    return name.startswith(FILE_PREFIX) and name.endswith(".crt")


def wanted_files(settings: Mapping[str, Any], family: str) -> dict[str, str]:
    """Return the files that a site's settings ask for, path to digest.

    Args:
        settings: The role's variables without their prefix.
        family: Family of the host's distribution.
    """
    files = {}
    if family in STORES:
        directory = STORES[family]["directory"]
        files = {f"{directory}/{name}": text for name, text in certificate_files(settings["ca_certificates"]).items()}
    proxy = proxy_configuration(settings["http_proxy"], settings["https_proxy"], settings["no_proxy"])
    if proxy:
        files[_PROXY_PATH] = proxy
    return {path: digest(text.encode()) for path, text in files.items()}


def differs(host: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Say whether a host lacks something that its site asks for, or has something that it does not ask for any more.

    Args:
        host: The fact ``gpu_host``.
        settings: The role's variables without their prefix.
    """
    family = str(host["os"].get("family"))
    found = host["site_trust"]
    wanted = wanted_files(settings, family)
    if wanted != found["files"] or (settings["ca_certificates"] and not found["can_update"]):
        return True
    mirrors = settings["debian_mirror_url"], settings["debian_security_mirror_url"]
    return any(_moves(AptSource(**entry), str(host["os"].get("codename")), *mirrors) for entry in host["apt_sources"])


def _moves(source: AptSource, codename: str, mirror: str, security_mirror: str) -> bool:
    address = mirror_for(source, codename, mirror, security_mirror)
    return bool(address) and {normalize_uri(uri) for uri in source.uris} != {normalize_uri(address)}
