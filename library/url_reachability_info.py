#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Ask from a host whether addresses answer."""

from __future__ import annotations

DOCUMENTATION = r"""
module: url_reachability_info
short_description: Ask from a host whether addresses answer, and say which do not and why
description:
  - Sends one request to each address, all at the same time, from the host that will need it. Nothing is changed.
  - The certificates and proxies of a site can be given, so that a host is asked before they are installed on it.
options:
  urls:
    description: The addresses, each with the variable that set it.
    type: list
    elements: dict
    required: true
    suboptions:
      variable:
        description: Name of the variable, which a message names.
        type: str
        required: true
      url:
        description: The address that has to answer.
        type: str
        required: true
      accepted_statuses:
        description: Error statuses that still mean a working server, such as 401 of a registry.
        type: list
        elements: int
        default: []
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
    default: 20
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
- name: Ask whether the engine's repository answers
  url_reachability_info:
    urls:
      - variable: docker_engine_repository_url
        url: https://download.docker.com/linux/debian/dists/trixie/InRelease
"""

RETURN = r"""
problems:
  description: One problem for each address that does not answer, in the one shape of the project.
  returned: always
  type: list
  elements: dict
"""

import urllib.error
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.problems import Problem
from ansible.module_utils.opensora.web_access import UnreachableError, WebAccess, use_proxies

MAXIMUM_REQUESTS = 8  # at the same time, so that a slow server costs its own time only


def fault(web: WebAccess, url: str, accepted: list[int]) -> str:
    """Return why an address does not answer as needed; empty when it does."""
    try:
        with web.open(url) as answer:
            answer.read(1)
    except urllib.error.HTTPError as error:
        return "" if error.code in accepted else f"the server answers {error.code} {error.reason}"
    except (UnreachableError, OSError) as error:
        return str(error)
    return ""


def check(web: WebAccess, entry: dict[str, Any]) -> Problem | None:
    """Return the problem of one address, or null."""
    reason = fault(web, entry["url"], entry["accepted_statuses"])
    if not reason:
        return None
    return Problem(
        layer="network",
        code="url.unreachable",
        severity="error",
        message=f"{entry['variable']}: {entry['url']} cannot be reached from this host: {reason}",
        next_action=f"Correct {entry['variable']}, or the site's proxies and certificates (site_trust_*), and try "
        "the address from the host itself.",
    )


def main() -> None:
    """Run the module."""
    text: dict[str, Any] = {"type": "str", "default": ""}
    module = AnsibleModule(
        argument_spec={
            "urls": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "variable": {"type": "str", "required": True},
                    "url": {"type": "str", "required": True},
                    "accepted_statuses": {"type": "list", "elements": "int", "default": []},
                },
            },
            "ca_certificates": {"type": "list", "elements": "str", "default": []},
            "http_proxy": text,
            "https_proxy": text,
            "no_proxy": text,
            "timeout": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    use_proxies({name: module.params[name] for name in ("http_proxy", "https_proxy", "no_proxy")})
    web = WebAccess(module.params["ca_certificates"], module.params["timeout"])
    # One address may serve several variables; each is asked once and named by the first.
    entries = {entry["url"]: entry for entry in reversed(module.params["urls"])}
    with ThreadPoolExecutor(max_workers=MAXIMUM_REQUESTS) as pool:
        found = list(pool.map(partial(check, web), reversed(entries.values())))
    module.exit_json(changed=False, problems=[problem.as_dict() for problem in found if problem])


if __name__ == "__main__":
    main()
