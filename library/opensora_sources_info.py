#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Look up, from a host, what an image is built from."""

from __future__ import annotations

DOCUMENTATION = r"""
module: opensora_sources_info
short_description: Look up what an image is built from, and whether it can be reached from the host
description:
  - Resolves git references to commits and base images to digests, and asks whether package servers answer.
  - Runs on the host that will build, before anything is installed there. It needs Python's standard library only, and
    trusts the site's certificate authorities although the host doesn't yet.
  - Everything that is wrong is returned as a problem; the module itself doesn't fail because of it.
options:
  git:
    description: Git repositories over http or https.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name in the result., type: str, required: true}
      repository: {description: Address of the repository., type: str, required: true}
      reference: {description: "Branch, tag or full commit id.", type: str, required: true}
      variable: {description: Variable that holds the address. For messages., type: str, required: true}
      reference_variable: {description: Variable that holds the reference. For messages., type: str, required: true}
  images:
    description: Base images.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name in the result., type: str, required: true}
      reference: {description: Image reference., type: str, required: true}
      digest: {description: Digest when it is pinned apart from the reference., type: str, default: ""}
      variable: {description: Variable that holds the reference. For messages., type: str, required: true}
      environment: {description: Whether to read the environment that the image sets., type: bool, default: false}
  urls:
    description: Addresses that have to answer.
    type: list
    elements: dict
    default: []
    suboptions:
      url: {description: Address to ask., type: str, required: true}
      variable: {description: Variable that holds it. For messages., type: str, required: true}
      must_exist: {description: Whether the answer "not found" is a problem., type: bool, default: false}
  ca_certificates:
    description: Certificate authorities in PEM that are trusted besides the host's own.
    type: list
    elements: str
    default: []
  proxies:
    description: Proxies C(http_proxy), C(https_proxy) and C(no_proxy).
    type: dict
    default: {}
  registry:
    description: Registry of the site, C(host[:port][/path]), that O(registry_username) is a login for.
    type: str
    default: ""
  registry_username:
    description: Name for that registry. Empty takes the login that the user has on the host, if any.
    type: str
    default: ""
  registry_password:
    description: Password or token for that registry.
    type: str
    default: ""
  platform:
    description: Platform of the images.
    type: str
    default: linux/amd64
  docker_host:
    description: Address of the engine. An engine that does not answer has no images.
    type: str
    default: unix:///var/run/docker.sock
  build_key:
    description:
      - Build key that is known because everything is pinned. When the engine has its image, no server is asked.
    type: str
    default: ""
  timeout:
    description: Seconds that one server may take to answer.
    type: int
    default: 20
attributes:
  check_mode: {support: full, description: It never changes anything.}
  diff_mode: {support: none, description: There is nothing to compare.}
  idempotent: {support: full, description: It never changes anything.}
author: The opensora-site authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Look up the sources of the image
  opensora_sources_info:
    git:
      - name: application
        repository: https://github.com/hpcaitech/Open-Sora
        reference: main
        variable: opensora_image_repository
        reference_variable: opensora_image_git_reference
    images:
      - name: base
        reference: docker.io/nvidia/cuda:12.2.2-cudnn8-devel-ubuntu22.04
        variable: opensora_image_base
  register: sources
"""

RETURN = r"""
git:
  description: For each repository its C(commit), null when it could not be resolved.
  type: dict
  returned: always
images:
  description: For each image C(reference), C(digest), C(pinned) (the reference with its digest) and C(environment).
  type: dict
  returned: always
local_build_keys:
  description: Build keys of the images that the engine has.
  type: list
  elements: str
  returned: always
local_images:
  description: The images that carry a build key, as the engine lists them.
  type: list
  elements: dict
  returned: always
compressions:
  description: Programs of the host that can compress an image.
  type: list
  elements: str
  returned: always
asked:
  description: Whether servers were asked.
  type: bool
  returned: always
problems:
  description: What is wrong, each with layer, code, severity, message, next_action and evidence.
  type: list
  elements: dict
  returned: always
"""

import shutil
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.build_key import BUILD_KEY_LABEL
from ansible.module_utils.opensora.engine_socket import labelled_images
from ansible.module_utils.opensora.git_remote import GitRemote, GitRemoteError, ReferenceMissingError, is_full_commit
from ansible.module_utils.opensora.image_archive import COMPRESSIONS
from ansible.module_utils.opensora.image_reference import parse_image_reference
from ansible.module_utils.opensora.private_folder import login_configuration
from ansible.module_utils.opensora.problems import Problem, invalid_value
from ansible.module_utils.opensora.registry_client import RegistryClient, RegistryError
from ansible.module_utils.opensora.web_access import UnreachableError, WebAccess, use_proxies

_NOT_FOUND = 404
# What image_decision.local_images reads of an image.
_OF_AN_IMAGE = ("Id", "Created", "RepoDigests", "RepoTags", "Labels", "Size")
_SERVER_ERROR = 500


def unreachable(variable: str, value: str, reason: str) -> Problem:
    """Return the problem of a server that did not say what was asked."""
    return Problem(
        layer="network",
        code="source.unreachable",
        severity="error",
        message=f"{variable} is {value!r}: {reason}",
        next_action=f"Check {variable}, the name resolution and the proxy of this host; an air-gapped site names its "
        "mirror there.",
    )


def look_up_git(web: WebAccess, wish: dict[str, Any], asking: bool) -> tuple[dict[str, Any], list[Problem]]:
    """Return the commit of a repository's reference."""
    reference = wish["reference"]
    if not asking:
        return {"commit": reference if is_full_commit(reference) else None}, []
    try:
        return {"commit": GitRemote(web, wish["repository"]).resolve(reference)}, []
    except ReferenceMissingError as error:
        allowed = f"a branch, tag or full commit id of {wish['repository']}: {error}"
        return {"commit": None}, [invalid_value(wish["reference_variable"], reference, allowed)]
    except GitRemoteError as error:
        return {"commit": None}, [unreachable(wish["variable"], wish["repository"], str(error))]


def look_up_image(
    client: RegistryClient, wish: dict[str, Any], platform: str, asking: bool
) -> tuple[dict[str, Any], list[Problem]]:
    """Return the digest of an image."""
    found: dict[str, Any] = {"reference": wish["reference"], "digest": None, "pinned": None, "environment": {}}
    try:
        reference = parse_image_reference(wish["reference"])
    except ValueError as error:
        return found, [invalid_value(wish["variable"], wish["reference"], f"an image reference ({error})")]
    digest = wish["digest"] or reference.digest
    try:
        if digest:
            reference = reference.pinned(digest)
        if asking:
            digest = client.digest(reference)
        if asking and digest and wish["environment"]:
            found["environment"] = client.environment(reference.pinned(digest), platform)
    except RegistryError as error:
        return found, [unreachable(wish["variable"], wish["reference"], str(error))]
    if not digest:
        return found, [invalid_value(wish["variable"], str(reference), f"an image that {reference.registry} has")]
    return {**found, "digest": digest, "pinned": str(reference.pinned(digest))}, []


def look_up_url(web: WebAccess, wish: dict[str, Any]) -> list[Problem]:
    """Return why an address does not answer; any answer that is no server error will do."""
    try:
        web.open(wish["url"]).close()
    except UnreachableError as error:
        return [unreachable(wish["variable"], wish["url"], f"the server can't be reached: {error}")]
    except urllib.error.HTTPError as error:
        error.close()
        if error.code >= _SERVER_ERROR or (error.code == _NOT_FOUND and wish["must_exist"]):
            return [unreachable(wish["variable"], wish["url"], f"the server answered with status {error.code}")]
    return []


def main() -> None:
    """Look everything up at the same time and collect what is wrong."""
    text = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            "git": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": text,
                    "repository": text,
                    "reference": text,
                    "variable": text,
                    "reference_variable": text,
                },
            },
            "images": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": text,
                    "reference": text,
                    "digest": {"type": "str", "default": ""},
                    "variable": text,
                    "environment": {"type": "bool", "default": False},
                },
            },
            "urls": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"url": text, "variable": text, "must_exist": {"type": "bool", "default": False}},
            },
            "ca_certificates": {"type": "list", "elements": "str", "default": []},
            "proxies": {"type": "dict", "default": {}},
            "registry": {"type": "str", "default": ""},
            "registry_username": {"type": "str", "default": ""},
            "registry_password": {"type": "str", "default": "", "no_log": True},
            "platform": {"type": "str", "default": "linux/amd64"},
            "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
            "build_key": {"type": "str", "default": "", "no_log": False},
            "timeout": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    wish = module.params
    images = labelled_images(wish["docker_host"], BUILD_KEY_LABEL) or []
    keys = sorted({str((image.get("Labels") or {}).get(BUILD_KEY_LABEL)) for image in images})
    asking = not wish["build_key"] or wish["build_key"] not in keys

    use_proxies(wish["proxies"])
    try:
        web = WebAccess(wish["ca_certificates"], wish["timeout"])
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"ca_certificates can't be used: {error}")
    stored = Path("~/.docker/config.json").expanduser()
    configuration = login_configuration(
        stored.read_text(encoding="utf-8") if stored.is_file() else "",
        wish["registry"],
        wish["registry_username"],
        wish["registry_password"],
    )
    client = RegistryClient(web, configuration)
    with ThreadPoolExecutor(max_workers=8) as pool:
        git = {entry["name"]: pool.submit(look_up_git, web, entry, asking) for entry in wish["git"]}
        bases = {
            entry["name"]: pool.submit(look_up_image, client, entry, wish["platform"], asking)
            for entry in wish["images"]
        }
        urls = [pool.submit(look_up_url, web, entry) for entry in wish["urls"] if asking]
    problems = [problem for future in (*git.values(), *bases.values()) for problem in future.result()[1]]
    problems += [problem for future in urls for problem in future.result()]
    module.exit_json(
        changed=False,
        git={name: future.result()[0] for name, future in git.items()},
        images={name: future.result()[0] for name, future in bases.items()},
        local_build_keys=keys,
        local_images=[{name: image.get(name) for name in _OF_AN_IMAGE} for image in images],
        compressions=[name for name in COMPRESSIONS if shutil.which(name)],
        asked=asking,
        problems=[problem.as_dict() for problem in problems],
    )


if __name__ == "__main__":
    main()
