#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Ask a package repository which versions it offers."""

from __future__ import annotations

DOCUMENTATION = r"""
module: package_index_info
short_description: Ask a package repository which versions it offers, before the host's package manager knows it
description:
  - Fetches the index of a flat apt repository or the list of packages of an rpm repository and returns the versions of
    the packages asked for. Nothing is changed, and nothing is installed from what was read here.
  - The certificates and proxies of a site can be given, so that a repository is asked before they are installed on the
    host.
options:
  manager:
    description: Kind of the repository.
    type: str
    choices: [apt, dnf]
    required: true
  url:
    description: Address of the repository; the folder that holds C(Packages), or C(repodata).
    type: str
    required: true
  packages:
    description: Packages to look for; empty for all.
    type: list
    elements: str
    default: []
  key_url:
    description: Address of the key that signs the repository; empty to leave it unchecked.
    type: str
    default: ""
  key_fingerprint:
    description: Full fingerprint that the key is to have.
    type: str
    default: ""
  ca_certificates:
    description: PEM certificates that are trusted besides the host's own.
    type: list
    elements: str
    default: []
  http_proxy:
    description: Proxy for http addresses.
    type: str
    default: ""
  https_proxy:
    description: Proxy for https addresses.
    type: str
    default: ""
  no_proxy:
    description: Hosts reached directly, separated by commas.
    type: str
    default: ""
  timeout:
    description: Seconds that one wait for an answer may take.
    type: int
    default: 30
attributes:
  check_mode:
    description: Can run in check mode; it never changes anything.
    support: full
  diff_mode:
    description: Returns no difference, because nothing changes.
    support: none
  idempotent:
    description: Nothing changes.
    support: full
author:
  - The opensora-site authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Ask which drivers the repository offers
  package_index_info:
    manager: apt
    url: https://mirror.example/cuda/repos/debian13/x86_64
    packages: [nvidia-driver-cuda, nvidia-kernel-open-dkms]
    key_url: https://mirror.example/cuda/repos/debian13/x86_64/8793F200.pub
    key_fingerprint: 02182E60104FCDC26EAE1B8597A5D4CB8793F200
"""

RETURN = r"""
offered:
  description: The versions of each package, newest first; a package that is not offered is absent.
  returned: always
  type: dict
  sample:
    nvidia-driver-cuda: [580.178.04-1, 580.159.04-1]
address:
  description: Address of the index that was read; empty where none could be.
  returned: always
  type: str
reached:
  description: Whether the server answered at all.
  returned: always
  type: bool
problems:
  description: Why the index could not be read, or that the key is another one, in the one shape of the project.
  returned: always
  type: list
  elements: dict
"""

import ssl
import urllib.error
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.openpgp import select_key
from ansible.module_utils.opensora.package_index import (
    MAXIMUM_SIZE,
    IndexFormatError,
    Offered,
    parse_packages,
    parse_primary,
    primary_location,
    unpack,
)
from ansible.module_utils.opensora.problems import Problem
from ansible.module_utils.opensora.web_access import UnreachableError, WebAccess, use_proxies

APT_INDEXES = ("Packages.xz", "Packages.gz", "Packages")
KEY_SIZE_LIMIT = 1024 * 1024  # bytes; the keyrings of whole distributions stay below 200 KB
NOT_THERE = (403, 404, 410)  # object stores answer 403 for what they don't have


class IndexReader:
    """Fetches one repository's index.

    Args:
        web: How servers are reached.
        url: Address of the repository.
        names: Packages to look for; empty for all.
    """

    def __init__(self, web: WebAccess, url: str, names: set[str]) -> None:
        self.web = web
        self.url = url.rstrip("/")
        self.names = names
        self.address = ""

    def fetch(self, path: str) -> bytes:
        """Return an unpacked file of the repository."""
        self.address = f"{self.url}/{path}"
        with self.web.open(self.address) as answer:
            return unpack(answer.read(MAXIMUM_SIZE), path)

    def fetch_if_there(self, path: str) -> bytes | None:
        """Return an unpacked file of the repository, or null where it has none of this name."""
        try:
            return self.fetch(path)
        except urllib.error.HTTPError as error:
            if error.code in NOT_THERE:
                return None
            raise

    def check_key(self, key_url: str, fingerprint: str) -> None:
        """Refuse a key that is not the pinned one."""
        self.address = key_url
        with self.web.open(key_url) as answer:
            select_key(answer.read(KEY_SIZE_LIMIT), fingerprint)

    def read_apt(self) -> Offered:
        """Return what a flat apt repository offers, from the smallest form of its index that the server has."""
        packed = (self.fetch_if_there(path) for path in APT_INDEXES[:-1])
        content = next((content for content in packed if content is not None), None)
        if content is None:
            content = self.fetch(APT_INDEXES[-1])
        return parse_packages(content.decode("utf-8", "replace"), self.names)

    def read_dnf(self) -> Offered:
        """Return what an rpm repository offers."""
        return parse_primary(self.fetch(primary_location(self.fetch("repodata/repomd.xml"))), self.names)


def index_problem(address: str, error: Exception) -> Problem:
    """Return the problem of an index or a key that could not be used."""
    if isinstance(error, ValueError):
        return Problem(
            layer="packages",
            code="index.key_refused",
            severity="error",
            message=f"The key of the repository from {address} was refused: {error}",
            next_action="If it is another key, the vendor may have rotated it: compare it with the vendor's "
            "announcement, and only then change the pinned fingerprint. If it is no key, correct its address.",
        )
    answered = isinstance(error, (urllib.error.HTTPError, IndexFormatError))
    reason = (
        f"the server answers {error.code} {error.reason}" if isinstance(error, urllib.error.HTTPError) else str(error)
    )
    return Problem(
        layer="network",
        code="index.unusable" if answered else "index.unreachable",
        severity="error",
        message=f"The index of the repository cannot be read from {address}: {reason}",
        next_action="Correct the address of the repository: it is the folder that holds Packages or repodata."
        if answered
        else "Correct the address of the repository, or the site's proxies and certificates (site_trust_*).",
    )


def main() -> None:
    """Run the module."""
    text: dict[str, Any] = {"type": "str", "default": ""}
    texts: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "manager": {"type": "str", "choices": ["apt", "dnf"], "required": True},
            "url": {"type": "str", "required": True},
            "packages": texts,
            "key_url": {**text, "no_log": False},
            "key_fingerprint": {**text, "no_log": False},
            "ca_certificates": texts,
            "http_proxy": text,
            "https_proxy": text,
            "no_proxy": text,
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    use_proxies({name: parameters[name] for name in ("http_proxy", "https_proxy", "no_proxy")})
    result: dict[str, Any] = {"changed": False, "offered": {}, "address": "", "reached": True, "problems": []}
    address = parameters["url"]
    try:
        # A damaged certificate of the site is an ssl.SSLError, which is an OSError.
        web = WebAccess(parameters["ca_certificates"], parameters["timeout"])
        reader = IndexReader(web, parameters["url"], set(parameters["packages"]))
        try:
            if parameters["key_url"]:
                reader.check_key(parameters["key_url"], parameters["key_fingerprint"])
            result["offered"] = reader.read_apt() if parameters["manager"] == "apt" else reader.read_dnf()
            result["address"] = reader.address
        finally:
            address = reader.address
    except (IndexFormatError, ValueError, urllib.error.HTTPError, UnreachableError, ssl.SSLError, OSError) as error:
        problem = index_problem(address, error)
        result["reached"] = problem.code != "index.unreachable"
        result["problems"] = [problem.as_dict()]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
