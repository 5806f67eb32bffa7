#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Disable the source entries that keep apt from working."""

from __future__ import annotations

DOCUMENTATION = r"""
module: apt_sources_repair
short_description: Disable the source entries that keep apt from working
description:
  - Works on the files alone, in both formats of apt, so that it also helps where apt itself stops at its sources.
  - Disables lines that are no entries (such as a web page that was saved as a list), entries of repositories that do
    not exist for this host, and all but one of the entries that name different keys for one repository.
  - Of entries that contradict each other it keeps the one in a file of O(keep), else one whose keyring exists on the
    host, else the one that offers most, else the one in the deb822 format. An entry that offers something which the
    kept one lacks is left, and the module fails with its place, unless its keyring is missing.
  - Keeps the former text of each file beside it with the ending C(.orig), or C(.1.orig) and so on where that exists
    with another text. apt passes over these names silently.
options:
  repository_id:
    description: The distribution whose packages the host uses, such as V(debian) or V(ubuntu).
    type: str
    required: true
  codename:
    description: Codename of that distribution's release, such as V(trixie).
    type: str
    required: true
  architecture:
    description: The host's Debian architecture.
    type: str
    default: amd64
  keep:
    description: Files whose entries stay where another contradicts them.
    type: list
    elements: path
    default: []
  directory:
    description: Folder of apt's configuration.
    type: path
    default: /etc/apt
attributes:
  check_mode:
    description: Predicts the same entries and changes none.
    support: full
  diff_mode:
    description: Shows each changed file before and after.
    support: full
  idempotent:
    description: A second run finds nothing to disable.
    support: full
author:
  - The opensora-site authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Make apt work again
  apt_sources_repair:
    repository_id: debian
    codename: trixie
    keep: [/etc/apt/sources.list.d/docker.sources]
"""

RETURN = r"""
disabled:
  description: The entries that were disabled, or would be in check mode, with C(path), C(line), C(code), C(reason).
  returned: always
  type: list
  elements: dict
backup_files:
  description: Where the former text of each changed file is, by the path of the file.
  returned: always
  type: dict
problems:
  description: What is wrong, in the one shape of the project.
  returned: always
  type: list
  elements: dict
"""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.apt_source_repair import plan_repair
from ansible.module_utils.opensora.file_backup import backup_of, keep_former
from ansible.module_utils.opensora.file_modes import fix_umask
from ansible.module_utils.opensora.problems import describe

ARGUMENT_SPEC: dict[str, Any] = {
    "repository_id": {"type": "str", "required": True},
    "codename": {"type": "str", "required": True},
    "architecture": {"type": "str", "default": "amd64"},
    "keep": {"type": "list", "elements": "path", "default": []},
    "directory": {"type": "path", "default": "/etc/apt"},
}


def read_files(directory: Path) -> dict[str, str]:
    """Return the text of the files that apt reads, octets that are no text kept as they are."""
    parts = directory / "sources.list.d"
    paths = [directory / "sources.list", *(sorted(parts.iterdir()) if parts.is_dir() else [])]
    return {
        str(path): path.read_bytes().decode("utf-8", "surrogateescape")
        for path in paths
        if re.fullmatch(r"[A-Za-z0-9_.-]+\.(list|sources)", path.name) and path.is_file()
    }


def shown(text: str) -> str:
    """Return a text as it can be printed."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def main() -> None:
    """Run the module."""
    fix_umask()
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    options = module.params
    system = {
        "id": options["repository_id"],
        "repository_id": options["repository_id"],
        "codename": options["codename"],
        "deb_arch": options["architecture"],
    }
    backups: dict[str, str] = {}
    try:
        files = read_files(Path(options["directory"]))
        repair = plan_repair(
            files, system, keep=options["keep"], keyring_exists=lambda keyring: Path(keyring).is_file()
        )
        for name, text in repair.texts.items():
            path = Path(name).resolve()  # a link of a configuration tool stays a link
            backups[name] = str(backup_of(path) if module.check_mode else keep_former(path))
            if not module.check_mode:
                fresh = Path(module.tmpdir) / path.name
                fresh.write_bytes(text.encode("utf-8", "surrogateescape"))
                module.atomic_move(str(fresh), str(path))
    except OSError as error:
        module.fail_json(msg=f"apt's sources cannot be repaired: {error}", backup_files=backups)
    problems = [problem.as_dict() for problem in repair.problems]
    result: dict[str, Any] = {
        "changed": bool(repair.texts),
        "disabled": [asdict(entry) for entry in repair.disabled],
        "backup_files": backups,
        "problems": problems,
        "diff": [
            {"before": shown(files[path]), "after": shown(text), "before_header": path, "after_header": path}
            for path, text in repair.texts.items()
        ],
    }
    if problems:
        module.fail_json(msg="\n".join(map(describe, problems)), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
