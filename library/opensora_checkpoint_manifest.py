#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Make a manifest of weights, from the hub or from a folder."""

from __future__ import annotations

DOCUMENTATION = r"""
module: opensora_checkpoint_manifest
short_description: Make a manifest of weights, from the hub or from a folder
description:
  - Asks the hub for the files of a commit with their sizes and digests. It keeps the sha256 of large files; small ones
    are fetched and digested here, and compared with the digest that git has of them.
  - Or reads a folder that holds the files already. Whoever makes a manifest from a folder vouches for what is in it.
options:
  repository:
    description: C(owner/name) on the hub.
    type: str
    required: true
  revision:
    description: Branch, tag or commit id. The hub says which commit it is; for a O(folder) it has to be the commit id.
    type: str
    required: true
  folder:
    description: Folder with the files, on the host that runs this; empty asks the hub.
    type: path
    default: ""
  exclude:
    description: Shell patterns of paths to leave out, such as V(flux1-dev.safetensors).
    type: list
    elements: str
    default: []
  endpoint:
    description: Address of the hub, or of a mirror that speaks its protocol.
    type: str
    default: https://huggingface.co
  token:
    description: Token for a gated or private repository.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Reads as in a real run.
  diff_mode:
    support: none
    description: Changes nothing that could be compared.
  idempotent:
    support: full
    description: Never changes anything.
author: The opensora-site authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Ask the hub for the weights without the image model
  opensora_checkpoint_manifest:
    repository: hpcai-tech/Open-Sora-v2
    revision: main
    exclude: [flux1-dev.safetensors, "*.md"]
  register: made
"""

RETURN = r"""
manifest:
  description: C(repository), C(revision) and C(files), as the module M(opensora_checkpoint) takes it.
  type: dict
  returned: success
bytes:
  description: Bytes of all files.
  type: int
  returned: success
problems:
  description: What is wrong.
  type: list
  elements: dict
  returned: always
"""

import hashlib
import json
import urllib.error
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.checkpoint_failure import (
    FetchError,
    failure,
    network_failure,
    size_failure,
    status_failure,
)
from ansible.module_utils.opensora.checkpoint_manifest import (
    ListedFile,
    ManifestFile,
    folder_files,
    git_object_id,
    hub_listing,
    read_manifest,
)
from ansible.module_utils.opensora.checkpoint_mirror import TokenAccess
from ansible.module_utils.opensora.file_modes import fix_umask
from ansible.module_utils.opensora.problems import Problem
from ansible.module_utils.opensora.web_access import UnreachableError

# A small file of a repository, which git holds itself; the hub keeps larger ones apart, with their sha256.
MAXIMUM_SMALL_BYTES = 64 * 1024**2


class Hub:
    """The hub's interface for listings.

    Args:
        endpoint: Its address.
        repository: ``owner/name``.
        token: Token; empty for none.
    """

    def __init__(self, endpoint: str, repository: str, token: str) -> None:
        self._endpoint = endpoint.rstrip("/")
        self._repository = repository
        self._access = TokenAccess(token)

    def files(self, revision: str, exclude: list[str]) -> tuple[str, list[ManifestFile]]:
        """Return the commit of a revision and its files.

        Args:
            revision: Branch, tag or commit id.
            exclude: Shell patterns of paths to leave out.

        Raises:
            FetchError: The hub can't be asked.
        """
        url = f"{self._endpoint}/api/models/{self._repository}/revision/{quote(revision, safe='')}"
        try:
            commit, listed = hub_listing(json.loads(self._get(f"{url}?blobs=true")), exclude)
        except ValueError as error:
            advice = "Check the endpoint: it has to speak the hub's protocol."
            raise failure("network", "no_listing", f"{url}: {error}", advice) from error
        return commit, [self._digested(commit, file) for file in listed]

    def _digested(self, commit: str, file: ListedFile) -> ManifestFile:
        if file.sha256:
            return ManifestFile(file.path, file.size, file.sha256)
        url = f"{self._endpoint}/{self._repository}/resolve/{commit}/{quote(file.path)}"
        content = self._get(url)
        digest = hashlib.sha256(content).hexdigest()
        manifest_file = ManifestFile(file.path, file.size, digest)
        if len(content) != file.size:
            raise size_failure(url, len(content), manifest_file)
        if file.git_object_id and git_object_id(content) != file.git_object_id:
            message = f"{url} is not what the listing of the commit names ({file.git_object_id})"
            raise failure("network", "digest_differs", message, "Ask again, or ask another endpoint.")
        return manifest_file

    def _get(self, url: str) -> bytes:
        try:
            with self._access.open(url, headers=self._access.headers) as response:
                content = response.read(MAXIMUM_SMALL_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                raise status_failure(url, error.code, has_token=bool(self._access.headers)) from None
        except (UnreachableError, OSError) as error:
            raise network_failure(url, str(error)) from None
        if len(content) > MAXIMUM_SMALL_BYTES:
            message = f"{url.partition('?')[0]} has more than {MAXIMUM_SMALL_BYTES} bytes and no sha256 in the listing"
            raise failure("network", "no_listing", message, "Check the endpoint: it has to speak the hub's protocol.")
        return content


def main() -> None:
    """Make the manifest, and see that it is one."""
    fix_umask()
    module = AnsibleModule(
        argument_spec={
            "repository": {"type": "str", "required": True},
            "revision": {"type": "str", "required": True},
            "folder": {"type": "path", "default": ""},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "endpoint": {"type": "str", "default": "https://huggingface.co"},
            "token": {"type": "str", "default": "", "no_log": True},
        },
        supports_check_mode=True,
    )
    wish = module.params
    try:
        if wish["folder"]:
            commit, files = wish["revision"], list(folder_files(Path(wish["folder"]), wish["exclude"]))
        else:
            commit, files = Hub(wish["endpoint"], wish["repository"], wish["token"]).files(
                wish["revision"], wish["exclude"]
            )
    except FetchError as error:
        fail(module, [error.problem])
    except OSError as error:
        place = error.filename or wish["folder"]
        module.fail_json(msg=f"{place}: {error.strerror or error}. Look at that folder and run again.", problems=[])
    data: dict[str, Any] = {
        "repository": wish["repository"],
        "revision": commit,
        "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in files],
    }
    manifest, problems = read_manifest(data, "the manifest that was made")
    if manifest is None:
        fail(module, problems)
    module.exit_json(changed=False, manifest=manifest.as_dict(), bytes=manifest.total_bytes, problems=[])


def fail(module: AnsibleModule, problems: list[Problem]) -> NoReturn:
    """End with problems."""
    module.fail_json(
        msg="\n".join(f"{problem.message}. {problem.next_action}" for problem in problems),
        problems=[problem.as_dict() for problem in problems],
    )


if __name__ == "__main__":
    main()
