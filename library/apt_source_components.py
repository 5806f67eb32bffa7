#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Add components to the distribution's own apt sources."""

from __future__ import annotations

DOCUMENTATION = r"""
module: apt_source_components
short_description: Add components to the distribution's own apt sources
description:
  - Adds components to every entry of the distribution's own repositories, in both file formats of apt, where they are
    missing. Entries of other repositories, comments and the order of everything stay as they are.
  - Leaves a backup of each file beside it before it is changed.
author:
  - The opensora-site authors (!UNKNOWN)
options:
  codename:
    description: Codename of the distribution, such as V(trixie).
    type: str
    required: true
  components:
    description: Components that every own entry must have.
    type: list
    elements: str
    required: true
  directory:
    description: Folder of apt's configuration.
    type: path
    default: /etc/apt
attributes:
  check_mode:
    description: Predicts the same files and changes none.
    support: full
  diff_mode:
    description: Shows each changed file before and after.
    support: full
  idempotent:
    description: A second run changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: Allow packages that are not free software
  apt_source_components:
    codename: trixie
    components: [contrib, non-free, non-free-firmware]
"""

RETURN = r"""
paths:
  description: Files that were changed, or would be in check mode.
  returned: always
  type: list
  elements: str
backup_files:
  description: The backups that were made.
  returned: always
  type: list
  elements: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.apt_sources import with_components
from ansible.module_utils.opensora.file_modes import fix_umask

ARGUMENT_SPEC = {
    "codename": {"type": "str", "required": True},
    "components": {"type": "list", "elements": "str", "required": True},
    "directory": {"type": "path", "default": "/etc/apt"},
}


def read_changes(directory: Path, codename: str, components: list[str]) -> dict[Path, tuple[str, str]]:
    """Return the files that lack a component, with their text before and after."""
    changes = {}
    parts = directory / "sources.list.d"
    for path in [directory / "sources.list", *sorted([*parts.glob("*.list"), *parts.glob("*.sources")])]:
        if not path.is_file():
            continue
        before = path.read_text(encoding="utf-8")
        after = with_components(str(path), before, codename, components)
        if after != before:
            changes[path] = (before, after)
    return changes


def main() -> None:
    """Run the module."""
    fix_umask()
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    options = module.params
    try:
        changes = read_changes(Path(options["directory"]), options["codename"], options["components"])
    except (OSError, UnicodeDecodeError) as error:
        module.fail_json(msg=f"apt's sources cannot be read: {error}")
    backups = []
    if not module.check_mode:
        for path, (_, after) in changes.items():
            backups.append(module.backup_local(str(path)))
            new = Path(module.tmpdir) / path.name
            new.write_text(after, encoding="utf-8")
            module.atomic_move(str(new), str(path))
    diff = [
        {"before": before, "after": after, "before_header": str(path), "after_header": str(path)}
        for path, (before, after) in changes.items()
    ]
    module.exit_json(changed=bool(changes), paths=[str(path) for path in changes], backup_files=backups, diff=diff)


if __name__ == "__main__":
    main()
