# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Judge the settings of the weights before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.opensora.checkpoint_manifest import read_manifest
from ansible.module_utils.opensora.problems import Problem, invalid_value
from ansible.module_utils.opensora.value_syntax import address_problems, path_problems, proxy_problems

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# A server that answers in one of these ways is there; what it says of a file is seen when the file is fetched.
_ANSWERS = [401, 403, 404, 405]


def setting_problems(settings: Mapping[str, Any], manifest: object) -> list[Problem]:
    """Return what is wrong with the wish for the weights.

    Args:
        settings: ``source``, ``manifest`` (a path), ``mirror_url``, ``endpoint``, ``token``, and by their full names in
            ``folders`` the folders that a shell reads or a command is given.
        manifest: What the manifest's file holds; None when there is no manifest.
    """
    source = settings["source"]
    if not settings["manifest"]:
        if source == "none":
            return []
        return [
            Problem(
                "configuration",
                "checkpoint.no_manifest",
                "error",
                f"opensora_checkpoint_source is {source!r}, and opensora_checkpoint_manifest names no manifest",
                "Make one with playbooks/checkpoint_manifest.yml and name it; docs/checkpoints.md says how.",
            )
        ]
    _, problems = read_manifest(manifest, f"opensora_checkpoint_manifest {settings['manifest']}")
    # Ansible hands the path of the interpreter in the library's folder to a shell.
    for name, path in (settings.get("folders") or {}).items():
        problems += path_problems(name, path, plain=name == "opensora_checkpoint_library_directory")
    problems += proxy_problems(settings.get("proxies") or {})
    if settings.get("index_url"):
        problems += address_problems("opensora_checkpoint_library_index_url", settings["index_url"])
    if source in ("mirror", "hub"):
        variable = "opensora_checkpoint_mirror_url" if source == "mirror" else "opensora_checkpoint_endpoint"
        problems += _address_problems(variable, str(address_of(settings)), has_token=bool(settings["token"]))
    return problems


def address_of(settings: Mapping[str, Any]) -> str:
    """Return the address that files come from; empty when they come from none."""
    return str({"mirror": settings["mirror_url"], "hub": settings["endpoint"]}.get(settings["source"], ""))


def required_urls(settings: Mapping[str, Any], problems: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the server that has to answer, as url_reachability_info takes it.

    Args:
        settings: See setting_problems().
        problems: What is known to be wrong; an address that is refused is not asked.
    """
    address = address_of(settings)
    if not address or any(problem["code"] == "variable.invalid" for problem in problems):
        return []
    variable = "opensora_checkpoint_mirror_url" if settings["source"] == "mirror" else "opensora_checkpoint_endpoint"
    return [{"variable": variable, "url": f"{address.rstrip('/')}/", "accepted_statuses": _ANSWERS}]


def _address_problems(variable: str, address: str, *, has_token: bool) -> list[Problem]:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    del port
    if not host or parts.scheme not in ("http", "https"):
        return [invalid_value(variable, address, "an http or https address")]
    if parts.username or parts.password or parts.query or parts.fragment:
        # The value itself may hold a secret.
        allowed = "an address without a login, '?' and '#'; a token goes into opensora_checkpoint_token"
        return [invalid_value(variable, f"{parts.scheme}://{host}/...", allowed)]
    wrong = address_problems(variable, address)
    if wrong:
        return wrong
    if has_token and parts.scheme == "http" and host not in _LOOPBACK:
        return [
            Problem(
                "configuration",
                "checkpoint.token_in_the_clear",
                "warning",
                f"{variable} is {address!r}: everyone on the way can read opensora_checkpoint_token",
                "Use an https address, or no token.",
            )
        ]
    return []
