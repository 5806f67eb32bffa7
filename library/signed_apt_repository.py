#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Set up a package repository of which the key is pinned by its full fingerprint."""

from __future__ import annotations

DOCUMENTATION = r"""
module: signed_apt_repository
short_description: Set up a package repository of which the key is pinned by its full fingerprint
description:
  - Writes the keyring, the source in the deb822 format and, where asked for, a preferences file that keeps packages at
    one version.
  - The key is fetched only while the keyring does not hold the pinned key, and only the pinned key of a bundle is kept.
  - A key with another fingerprint is refused, and so is an answer that is no key, such as the page of a proxy.
  - A repository that another file already offers is refused with that file's name, or disabled there with
    O(replace_duplicates). The package manager stops working altogether when two entries of one repository name
    different keys.
options:
  name:
    description: Name of the files, without folder and ending.
    type: str
    required: true
  state:
    description: Whether the files are to be there.
    type: str
    choices: [present, absent]
    default: present
  types:
    description: Types of packages.
    type: list
    elements: str
    default: [deb]
  uris:
    description: Addresses of the repository. C($(ARCH)) stands for the host's architecture.
    type: list
    elements: str
    default: []
  suites:
    description: Suites, or one path that ends in a slash for a flat repository.
    type: list
    elements: str
    default: []
  components:
    description: Components; none for a flat repository.
    type: list
    elements: str
    default: []
  architectures:
    description: Architectures that the entry is limited to; none for all of the host.
    type: list
    elements: str
    default: []
  architecture:
    description: The host's Debian architecture, by which C($(ARCH)) is replaced when entries are compared.
    type: str
    default: amd64
  key_url:
    description: Address of the key, armoured or binary.
    type: str
    default: ""
  key_content:
    description: The key itself, armoured; for a site where the host cannot fetch it.
    type: str
    default: ""
  key_fingerprint:
    description: Full fingerprint of the primary key; blanks are allowed.
    type: str
    default: ""
  pinned_packages:
    description: Packages that are kept at O(pinned_version).
    type: list
    elements: str
    default: []
  pinned_version:
    description: A package version, or its beginning up to a separator. Empty removes the preferences file.
    type: str
    default: ""
  replace_duplicates:
    description:
      - Disable the entries of the same repository in other files instead of refusing them. The former text of such a
        file stays beside it with the ending C(.orig), or C(.1.orig) and so on where that exists with another text.
    type: bool
    default: false
  timeout:
    description: Seconds that one wait for the server of the key may take.
    type: int
    default: 30
  directory:
    description: The package manager's configuration folder.
    type: path
    default: /etc/apt
attributes:
  check_mode:
    description: Can run in check mode and predict the change; the key is not fetched then.
    support: full
  diff_mode:
    description: Returns source and preferences before and after.
    support: full
  idempotent:
    description: A second run changes nothing and needs no network.
    support: full
author:
  - The opensora-site authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Set up the repository of the container toolkit
  signed_apt_repository:
    name: nvidia-container-toolkit
    uris: ["https://nvidia.github.io/libnvidia-container/stable/deb/$(ARCH)"]
    suites: [/]
    key_url: https://nvidia.github.io/libnvidia-container/gpgkey
    key_fingerprint: C95B 321B 61E8 8C18 09C4 F759 DDCA E044 F796 ECB0
    pinned_packages: [nvidia-container-toolkit]
    pinned_version: 1.20.0-1
"""

RETURN = r"""
files:
  description: What happens to each file (C(create), C(replace), C(remove) or C(keep)), by its path.
  returned: always
  type: dict
replaced:
  description: The former text of each file in which an entry was disabled, or would be in check mode, by its path.
  returned: always
  type: dict
key:
  description: Fingerprint and user identifiers of the key in the keyring.
  returned: when a key is, or was put, in the keyring
  type: dict
problems:
  description: What is wrong, in the one shape of the project.
  returned: always
  type: list
  elements: dict
"""

import tempfile
import urllib.error
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.apt_repository import (
    Repository,
    entries_of,
    render_preferences,
    render_source,
)
from ansible.module_utils.opensora.apt_sources import AptSource, disable_entries, parse_sources
from ansible.module_utils.opensora.file_backup import backup_of, keep_former
from ansible.module_utils.opensora.file_modes import fix_umask
from ansible.module_utils.opensora.openpgp import (
    OpenPgpError,
    PublicKey,
    normalize_fingerprint,
    select_key,
)
from ansible.module_utils.opensora.problems import Layer, Problem, describe
from ansible.module_utils.opensora.web_access import UnreachableError, WebAccess

COMMENT = "Written by opensora-site; changes made here are replaced."
KEY_SIZE_LIMIT = 1024 * 1024  # bytes; the keyrings of whole distributions stay below 200 KB


class SignedRepository:
    """Reads, decides and writes the files of one repository."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        name = module.params["name"]
        folder = Path(module.params["directory"])
        self.keyring = folder / "keyrings" / f"{name}.gpg"
        self.source = folder / "sources.list.d" / f"{name}.sources"
        self.preferences = folder / "preferences.d" / f"{name}.pref"
        self.folder = folder
        self.replaced: dict[Path, str] = {}
        self.result: dict[str, Any] = {"changed": False, "files": {}, "replaced": {}, "problems": []}

    def fail(self, layer: Layer, code: str, message: str, next_action: str, evidence: tuple[str, ...] = ()) -> NoReturn:
        """End the module with one problem."""
        problem = Problem(layer, code, "error", message, next_action, evidence).as_dict()
        self.module.fail_json(**{**self.result, "msg": describe(problem), "problems": [problem]})

    def run(self) -> None:
        """Bring the three files to what was asked for."""
        wanted: dict[Path, bytes | None] = {self.preferences: None, self.source: None, self.keyring: None}
        if self.module.params["state"] == "present":
            wanted = self.wanted_files()
        # The keyring comes first and goes last, so that no moment leaves a source without its key.
        removing = self.module.params["state"] == "absent"
        differences = [self.replace(path, text) for path, text in self.replaced.items()]
        found = {path: path.read_bytes() if path.is_file() else None for path in wanted}
        for path, content in sorted(wanted.items(), key=lambda item: (item[0] == self.keyring) == removing):
            self.apply(path, found[path], content)
        self.result["diff"] = differences + [
            {
                "before": (found[path] or b"").decode("utf-8", "replace"),
                "after": (wanted[path] or b"").decode("utf-8", "replace"),
                "before_header": str(path),
                "after_header": str(path),
            }
            for path in (self.source, self.preferences)
            if found[path] != wanted[path]
        ]
        self.module.exit_json(**self.result)

    def wanted_files(self) -> dict[Path, bytes | None]:
        """Return the wanted content of each file; null for a file that is not to be there."""
        parameters = self.module.params
        try:
            fingerprint = normalize_fingerprint(parameters["key_fingerprint"])
        except ValueError as error:
            self.module.fail_json(msg=f"key_fingerprint: {error}", **self.result)
        self.find_duplicates()
        try:
            repository = self.wanted_repository()
            preferences = self.wanted_preferences()
        except ValueError as error:
            self.module.fail_json(msg=f"the repository {parameters['name']}: {error}", **self.result)
        return {
            self.keyring: self.wanted_keyring(fingerprint),
            self.source: render_source(repository, COMMENT).encode(),
            self.preferences: preferences.encode() if preferences else None,
        }

    def wanted_repository(self) -> Repository:
        """Return the repository that was asked for."""
        parameters = self.module.params
        return Repository(
            uris=tuple(parameters["uris"]),
            suites=tuple(parameters["suites"]),
            components=tuple(parameters["components"]),
            architectures=tuple(parameters["architectures"]),
            types=tuple(parameters["types"]),
            signed_by=str(self.keyring),
        )

    def wanted_preferences(self) -> str:
        """Return the text of the preferences that keep the packages at their version; empty for none."""
        parameters = self.module.params
        if not parameters["pinned_version"]:
            return ""
        return render_preferences(parameters["pinned_packages"], parameters["pinned_version"], COMMENT)

    def find_duplicates(self) -> None:
        """Plan to disable the entries of the repository in other files, or fail when that is not asked for."""
        paths = [self.folder / "sources.list", *sorted((self.folder / "sources.list.d").glob("*"))]
        entries = [
            entry
            for path in paths
            if path.suffix in {".list", ".sources"} and path != self.source and path.is_file()
            for entry in parse_sources(str(path), self.text_of(path))
        ]
        parameters = self.module.params
        same = entries_of(entries, parameters["uris"], parameters["suites"], parameters["architecture"])
        if same and parameters["replace_duplicates"]:
            self.plan_replacement(same)
        elif same:
            self.fail(
                "packages",
                "apt.duplicate_repository",
                f"The repository {' '.join(parameters['uris'])} is already configured in "
                + ", ".join(sorted({entry.path for entry in same})),
                f"Remove that entry, so that {self.source} with the pinned key is the only one.",
                tuple(f"{entry.path}: Signed-By {entry.signed_by or 'not set'}" for entry in same),
            )

    def text_of(self, path: Path) -> str:
        """Return the text of a file, octets that are no text kept as they are."""
        return path.read_bytes().decode("utf-8", "surrogateescape")

    def plan_replacement(self, entries: list[AptSource]) -> None:
        """Note the text that the files of some entries are to have."""
        for name in sorted({entry.path for entry in entries}):
            numbers = {entry.line for entry in entries if entry.path == name}
            self.replaced[Path(name)] = disable_entries(name, self.text_of(Path(name)), numbers)

    def replace(self, path: Path, text: str) -> dict[str, str]:
        """Write a file in which another entry of the repository is disabled, and return the difference."""
        before = self.text_of(path)
        place = path.resolve()
        backup = backup_of(place) if self.module.check_mode else keep_former(place)
        self.result["replaced"][str(path)] = str(backup)
        self.result["changed"] = True
        if not self.module.check_mode:
            self.write(place, text.encode("utf-8", "surrogateescape"))
        printable = [part.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for part in (before, text)]
        return dict(zip(("before", "after", "before_header", "after_header"), (*printable, str(path), str(path))))

    def wanted_keyring(self, fingerprint: str) -> bytes | None:
        """Return the pinned key: from the keyring that is there, from the content given, or from its address."""
        try:
            key = select_key(self.keyring.read_bytes(), fingerprint)
        except (OSError, OpenPgpError):
            if self.module.check_mode and not self.module.params["key_content"]:
                return b""  # predicted only: a host without the site's certificates may not reach the server yet
            key = self.new_key(fingerprint)
        self.result["key"] = {"fingerprint": key.fingerprint, "user_ids": list(key.user_ids)}
        return key.content

    def new_key(self, fingerprint: str) -> PublicKey:
        """Return the pinned key from the content given or from its address."""
        url = self.module.params["key_url"]
        content = self.module.params["key_content"].encode() or self.fetch(url)
        try:
            return select_key(content, fingerprint)
        except OpenPgpError as error:
            self.fail(
                "packages",
                "apt.key_refused",
                f"The key of the repository {self.module.params['name']} from "
                f"{'key_content' if self.module.params['key_content'] else url} was refused: {error}",
                "If it is another key, the vendor may have rotated the key: compare it with the vendor's announcement, "
                "and only then change the pinned fingerprint. If it is no key, correct the address.",
            )

    def fetch(self, url: str) -> bytes:
        """Return the answer of a server."""
        if not url:
            self.module.fail_json(msg="one of key_url and key_content is needed", **self.result)
        try:
            with WebAccess(timeout=self.module.params["timeout"]).open(url) as answer:
                return answer.read(KEY_SIZE_LIMIT)
        except (UnreachableError, urllib.error.HTTPError, OSError) as error:
            self.fail(
                "network",
                "apt.key_unreachable",
                f"The key of the repository {self.module.params['name']} cannot be fetched from {url}: {error}",
                "Correct the address, the site's proxies or certificates, or name a mirror of the site.",
            )

    def apply(self, path: Path, found: bytes | None, content: bytes | None) -> None:
        """Write or remove one file where it differs."""
        if found == content:
            action = "keep"
        elif content is None:
            action = "remove"
        else:
            action = "create" if found is None else "replace"
        self.result["files"][str(path)] = action
        self.result["changed"] = self.result["changed"] or action != "keep"
        if self.module.check_mode or action == "keep":
            return
        if content is None:
            path.unlink()
            return
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.write(path, content)
        path.chmod(0o644)  # the package manager reads it as its own unprivileged user

    def write(self, path: Path, content: bytes) -> None:
        """Put a file in its place in one step."""
        # Not in the package manager's folder, where a file left behind would be read.
        with tempfile.NamedTemporaryFile(dir=self.module.tmpdir, delete=False) as handle:
            handle.write(content)
        Path(handle.name).chmod(0o644)
        self.module.atomic_move(handle.name, str(path))


def main() -> None:
    """Run the module."""
    fix_umask()
    texts: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "types": {**texts, "default": ["deb"]},
            "uris": texts,
            "suites": texts,
            "components": texts,
            "architectures": texts,
            "architecture": {"type": "str", "default": "amd64"},
            "key_url": {"type": "str", "default": "", "no_log": False},
            "key_content": {"type": "str", "default": "", "no_log": False},
            "key_fingerprint": {"type": "str", "default": "", "no_log": False},
            "pinned_packages": texts,
            "pinned_version": {"type": "str", "default": ""},
            "replace_duplicates": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 30},
            "directory": {"type": "path", "default": "/etc/apt"},
        },
        required_if=[("state", "present", ("uris", "suites", "key_fingerprint"))],
        supports_check_mode=True,
    )
    SignedRepository(module).run()


if __name__ == "__main__":
    main()
