#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Give a host the certificates, package proxies and package mirrors of its site."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_trust
short_description: Give a host the certificates, package proxies and package mirrors of its site
description:
  - Puts certificates of the site's authorities into the system's store and updates its bundle. Files of this module
    that are no longer asked for are removed.
  - Writes the package manager's proxy configuration, or removes it.
  - Points the distribution's own package sources to the site's mirrors, in both file formats, and keeps the first
    original of each file beside it with the ending C(.orig), which the package manager ignores. Sources of third
    parties are left alone.
options:
  ca_certificates:
    description: Certificates of the site's authorities.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the certificate's file, without folder and ending.
        type: str
        required: true
      content:
        description: The certificate in PEM form; several are split into one file each.
        type: str
        required: true
  certificate_directory:
    description: Folder of the system's store that is meant for additional certificates.
    type: path
    default: /usr/local/share/ca-certificates
  update_command:
    description: Command that updates the system's bundle.
    type: list
    elements: str
    default: [update-ca-certificates]
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
  mirror_url:
    description: The site's mirror of the distribution's packages.
    type: str
    default: ""
  security_mirror_url:
    description: The site's mirror of the distribution's security updates.
    type: str
    default: ""
  codename:
    description: Code name of the distribution's release.
    type: str
    default: ""
  package_directory:
    description: The package manager's configuration folder.
    type: path
    default: /etc/apt
attributes:
  check_mode:
    description: Can run in check mode and predict the change without making it.
    support: full
  diff_mode:
    description: Returns each changed file before and after.
    support: full
  idempotent:
    description: A second run changes nothing.
    support: full
author:
  - The opensora-site authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Trust the authority of the site
  site_trust:
    ca_certificates:
      - name: example-site
        content: "{{ lookup('ansible.builtin.file', 'example-site.pem') }}"
"""

RETURN = r"""
certificates_changed:
  description: Whether the system's store changed, so that running services still use the old one.
  returned: always
  type: bool
update_command_missing:
  description: Whether the command that updates the bundle does not exist on the host.
  returned: always
  type: bool
problems:
  description: What is wrong, in the one shape of the project.
  returned: always
  type: list
  elements: dict
"""

import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.apt_repository import rewrite_uris
from ansible.module_utils.opensora.file_modes import fix_umask
from ansible.module_utils.opensora.problems import describe
from ansible.module_utils.opensora.site_trust import (
    FILE_PREFIX,
    PROXY_FILE,
    STORES,
    certificate_files,
    certificate_problems,
    mirror_for,
    proxy_configuration,
)


class SiteTrust:
    """Reads, decides and writes what a site adds to a host."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.store = Path(module.params["certificate_directory"])
        self.packages = Path(module.params["package_directory"])

    def wanted_certificates(self) -> dict[Path, str | None]:
        """Return the certificate files; null for those that are no longer asked for."""
        wanted: dict[Path, str | None] = dict.fromkeys(self.store.glob(f"{FILE_PREFIX}*.crt"))
        for name, content in certificate_files(self.module.params["ca_certificates"]).items():
            wanted[self.store / name] = content
        return wanted

    def wanted_sources(self) -> dict[Path, str | None]:
        """Return the package manager's sources with the site's mirrors in them."""
        mirror, security = self.module.params["mirror_url"], self.module.params["security_mirror_url"]
        if not mirror and not security:
            return {}
        folder = self.packages / "sources.list.d"
        paths = [self.packages / "sources.list", *sorted(folder.glob("*.list")), *sorted(folder.glob("*.sources"))]
        codename = self.module.params["codename"]
        return {
            path: rewrite_uris(
                str(path),
                path.read_text(encoding="utf-8"),
                lambda source: mirror_for(source, codename, mirror, security),
            )
            for path in paths
            if path.is_file()
        }

    def wanted_proxy(self) -> dict[Path, str | None]:
        """Return the package manager's proxy configuration."""
        names = ("http_proxy", "https_proxy", "no_proxy")
        try:
            text = proxy_configuration(*(self.module.params[name] for name in names))
        except ValueError as error:
            self.module.fail_json(msg=str(error), problems=[])
        return {self.packages / PROXY_FILE: text or None}

    def apply(self, wanted: dict[Path, str | None], *, keep_original: bool = False) -> list[dict[str, str]]:
        """Bring files to their wanted content and return the differences."""
        differences = []
        for path, content in wanted.items():
            found = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
            if found == content:
                continue
            differences.append(
                {
                    "before": found or "",
                    "after": content or "",
                    "before_header": str(path),
                    "after_header": str(path),
                }
            )
            if self.module.check_mode:
                continue
            if content is None:
                path.unlink()
                continue
            original = path.with_name(f"{path.name}.orig")
            if keep_original and found is not None and not original.exists():
                original.write_text(found, encoding="utf-8")
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            fresh = Path(self.module.tmpdir) / path.name
            fresh.write_text(content, encoding="utf-8")
            fresh.chmod(0o644)
            self.module.atomic_move(str(fresh), str(path))
        return differences

    def update_bundle(self, *, changed: bool) -> bool:
        """Update the system's bundle; return whether the command for it is missing."""
        command = self.module.params["update_command"]
        program = self.module.get_bin_path(command[0])
        if changed and program and not self.module.check_mode:
            rc, out, err = self.module.run_command([program, *command[1:]])
            if rc != 0:
                self.module.fail_json(msg=f"{' '.join(command)} failed with {rc}: {err or out}", problems=[])
        return program is None

    def run(self) -> None:
        """Bring certificates, proxies and mirrors to what was asked for."""
        problems = [
            problem.as_dict() for problem in certificate_problems(self.module.params["ca_certificates"], time.time())
        ]
        if problems:
            self.module.fail_json(msg="\n".join(map(describe, problems)), problems=problems)
        certificates = self.apply(self.wanted_certificates())
        missing = self.update_bundle(changed=bool(certificates))
        others = self.apply(self.wanted_proxy()) + self.apply(self.wanted_sources(), keep_original=True)
        self.module.exit_json(
            changed=bool(certificates or others),
            certificates_changed=bool(certificates),
            update_command_missing=missing,
            diff=certificates + others,
            problems=[],
        )


def main() -> None:
    """Run the module."""
    fix_umask()
    text: dict[str, Any] = {"type": "str", "default": ""}
    module = AnsibleModule(
        argument_spec={
            "ca_certificates": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "content": {"type": "str", "required": True},
                },
            },
            "certificate_directory": {"type": "path", "default": STORES["debian"]["directory"]},
            "update_command": {"type": "list", "elements": "str", "default": [STORES["debian"]["command"]]},
            "http_proxy": text,
            "https_proxy": text,
            "no_proxy": text,
            "mirror_url": text,
            "security_mirror_url": text,
            "codename": text,
            "package_directory": {"type": "path", "default": "/etc/apt"},
        },
        supports_check_mode=True,
    )
    SiteTrust(module).run()


if __name__ == "__main__":
    main()
