# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What system a host runs, from os-release and the kernel's own words."""

from __future__ import annotations

import re
import shlex
from typing import Any

# The names that package repositories use for the machine's architecture.
_DEB_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64el", "s390x": "s390x"}
_DEBIAN_FAMILY = {"debian", "ubuntu"}
_REDHAT_FAMILY = {"rhel", "fedora", "centos", "rocky", "almalinux", "ol", "amzn"}


def parse_os_release(text: str) -> dict[str, str]:
    """Return the assignments of an os-release file with shell quotes removed; lines that are none are left out."""
    values = {}
    for line in text.splitlines():
        match = re.match(r"\s*([A-Z][A-Z0-9_]*)=(.*)$", line)
        if match is None:
            continue
        try:
            words = shlex.split(match.group(2))
        except ValueError:
            words = [match.group(2).strip("\"'")]
        values[match.group(1)] = " ".join(words)
    return values


def describe_system(os_release: str, machine: str, kernel: str) -> dict[str, Any]:
    """Return the ``os`` part of the host's description.

    A derivative keeps its own id, while ``codename`` and ``repository_id`` are those of the distribution whose
    packages it uses, because no vendor serves a repository for the derivative itself.

    Args:
        os_release: Text of the os-release file; empty when the host has none.
        machine: The kernel's word for the machine, such as ``x86_64``.
        kernel: Release of the running kernel.
    """
    values = parse_os_release(os_release)
    system_id = values.get("ID", "").lower() or None
    like = values.get("ID_LIKE", "").lower().split()
    lineage = ([system_id] if system_id else []) + like
    if _DEBIAN_FAMILY.intersection(lineage):
        family = "debian"
    elif _REDHAT_FAMILY.intersection(lineage):
        family = "redhat"
    else:
        family = "other"
    version = values.get("VERSION_ID") or None
    major = re.match(r"\d+", version or "")
    codename = values.get("VERSION_CODENAME") or None
    repository_id = system_id
    if system_id not in _DEBIAN_FAMILY and family == "debian":
        repository_id = "ubuntu" if values.get("UBUNTU_CODENAME") else "debian"
        codename = values.get("UBUNTU_CODENAME") or values.get("DEBIAN_CODENAME") or codename
    return {
        "id": system_id,
        "id_like": like,
        "family": family,
        "repository_id": repository_id,
        "name": values.get("PRETTY_NAME") or values.get("NAME") or None,
        "version": version,
        "major": int(major.group()) if major else None,
        "codename": codename,
        "arch": machine,
        "deb_arch": _DEB_ARCHITECTURES.get(machine),
        "kernel": kernel,
    }
