#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Provide the weights of the model, as a manifest names them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: opensora_checkpoint
short_description: Provide the weights of the model, as a manifest names them
description:
  - Compares the files of a folder with a manifest by size and sha256, and fetches what is missing or damaged, one file
    at a time. A download goes on where an earlier one ended. A file is put into its place in one step when it is whole
    and verified; until then the one that was there stays.
  - The digest of a file is remembered with its size, times and inode, so that a second run reads only what has changed.
  - One run at a time works on a folder; another one waits and finds the files.
options:
  manifest:
    description:
      - The manifest. C(repository), C(revision) (a full commit id) and C(files) with C(path), C(size) and C(sha256).
    type: dict
    required: true
  directory:
    description: Folder of the weights on the host.
    type: path
    required: true
  source:
    description:
      - V(none) fetches nothing and fails when a file is missing or damaged. V(hub) fetches with the library of the hub,
        which the Python that runs the module has to have. V(mirror) fetches from a folder of a web server. V(parts)
        takes what was brought into the folder C(.opensora-checkpoint/parts) already.
    type: str
    choices: [none, hub, mirror, parts]
    default: none
  endpoint:
    description: Address of the hub, or of a mirror that speaks its protocol.
    type: str
    default: https://huggingface.co
  mirror_url:
    description: Address of the folder that holds the files by their paths; needed for O(source=mirror).
    type: str
    default: ""
  token:
    description: Token for the hub or the mirror.
    type: str
    default: ""
  verify:
    description:
      - V(changed) reads the files whose digest is not remembered, V(full) all of them, V(sizes) none, for a look
        beforehand.
    type: str
    choices: [sizes, changed, full]
    default: changed
  reserve_bytes:
    description: Bytes that have to stay free on the file system.
    type: int
    default: 1073741824
  retries:
    description: How often in a row to ask a server again when nothing more has come.
    type: int
    default: 6
  timeout:
    description: Seconds that all may take.
    type: int
    default: 86400
  proxies:
    description: The site's C(http_proxy), C(https_proxy) and C(no_proxy).
    type: dict
    default: {}
  progress:
    description: Show each step on the controller while it runs.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: Says what is missing or damaged and whether there is room; asks no server.
  diff_mode:
    support: full
    description: Shows which files of the manifest change their state, by path.
  idempotent:
    support: full
    description: A file that is what the manifest says is neither fetched nor written.
author: The opensora-site authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Fetch the weights from a mirror of the site
  opensora_checkpoint:
    manifest: "{{ lookup('ansible.builtin.file', 'open-sora-v2.json') | from_json }}"
    directory: /srv/opensora/ckpts
    source: mirror
    mirror_url: https://mirror.example.org/open-sora-v2

- name: Read every byte of them again
  opensora_checkpoint:
    manifest: "{{ lookup('ansible.builtin.file', 'open-sora-v2.json') | from_json }}"
    directory: /srv/opensora/ckpts
    verify: full
"""

RETURN = r"""
checkpoint:
  description:
    - The weights. C(directory), C(repository), C(revision), C(manifest_digest), C(files) and C(bytes) of the manifest,
      and C(complete), whether the folder now holds all of it.
  type: dict
  returned: success
action:
  description: V(none), V(fetch), V(repair) (of permissions) or V(complete) (all is there and this is noted).
  type: str
  returned: success
wanted:
  description:
    - The files that were missing or damaged, each with C(path), C(size), C(sha256), C(status), C(reason) and
      C(collected).
  type: list
  elements: dict
  returned: always
fetched:
  description: Paths of the files that were fetched.
  type: list
  elements: str
  returned: success
fetched_bytes:
  description: Bytes that were fetched.
  type: int
  returned: success
room_bytes:
  description: Bytes that the file system needs for what is to be fetched.
  type: int
  returned: success
problems:
  description: What is wrong.
  type: list
  elements: dict
  returned: always
"""

import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.checkpoint_decision import Decision, Room, decide
from ansible.module_utils.opensora.checkpoint_failure import disk_failure
from ansible.module_utils.opensora.checkpoint_hub import HubLibraryError, HubSource
from ansible.module_utils.opensora.checkpoint_manifest import Manifest, ManifestFile, read_manifest
from ansible.module_utils.opensora.checkpoint_mirror import FetchError, MirrorSource, TokenAccess, WeightsSource
from ansible.module_utils.opensora.checkpoint_share import ReceivedParts
from ansible.module_utils.opensora.checkpoint_state import CheckpointFolder
from ansible.module_utils.opensora.checkpoint_transfer import Fetcher
from ansible.module_utils.opensora.file_modes import fix_umask
from ansible.module_utils.opensora.host_lock import LockedError, Reporter, exclusive
from ansible.module_utils.opensora.image_transfer import size_text
from ansible.module_utils.opensora.private_folder import secret_words
from ansible.module_utils.opensora.problems import Problem
from ansible.module_utils.opensora.web_access import use_proxies


class Run:
    """One run of the module.

    Args:
        module: The module.
        manifest: What is wanted.
    """

    def __init__(self, module: AnsibleModule, manifest: Manifest) -> None:
        self._module = module
        self._wish = module.params
        self._manifest = manifest
        self._folder = CheckpointFolder(Path(module.params["directory"]))
        self._reporter = Reporter(module.params["_progress_path"], secret_words([module.params["token"]]))
        self._deadline = time.monotonic() + module.params["timeout"]
        self._writes = not module.check_mode

    def run(self) -> NoReturn:
        """Read, decide, act, and read again."""
        foreign = self._folder.foreign_state()
        if foreign:
            advice = "Remove it: it would let that user decide what counts as verified."
            self._fail([Problem("disk", "checkpoint.foreign_state", "error", foreign, advice)], None)
        try:
            self._open()
            lock = self._folder.state / "lock"
            with exclusive(lock, self._deadline, self._reporter, "fetch") if self._writes else nullcontext():
                self._work()
        except FetchError as error:
            self._fail([error.problem], None)
        except LockedError as error:
            advice = "Look at that process on the host, and run again when it has ended."
            self._fail([Problem("application", "checkpoint.locked", "error", str(error), advice)], None)
        except OSError as error:
            self._fail([disk_failure(str(self._folder.path), error).problem], None)

    def _open(self) -> None:
        """Make the folders. Those of the user's own are read where nothing can be remembered in them, too."""
        if self._wish["source"] == "none" and not self._folder.path.is_dir():
            self._writes = False
        if not self._writes:
            return
        try:
            self._folder.open()
        except OSError:
            if self._wish["source"] != "none":
                raise
            self._writes = False

    def _work(self) -> NoReturn:
        decision = self._decide(self._wish["verify"])
        if self._module.check_mode:
            self._exit(decision, [], 0, is_complete=decision.action == "none" and not decision.wanted)
        if self._writes:
            self._folder.write_memory(self._manifest)
        errors = [problem for problem in decision.problems if problem.severity == "error"]
        if errors:
            self._fail(errors, decision)
        fetched: list[str] = []
        count = 0
        if decision.action == "fetch":
            fetched, count = self._fetch(decision)
        for path, mode in decision.modes.items():
            (self._folder.path / path).chmod(mode)
        for item in decision.items:
            if item.file.path in decision.modes:
                self._folder.remember(item.file)
        self._finish(decision, fetched)
        self._exit(decision, fetched, count, is_complete=True)

    def _decide(self, verify: Any) -> Decision:
        found = self._folder.read(self._manifest, verify, self._say_reading)
        return decide(
            self._manifest,
            found,
            self._wish["source"],
            str(self._folder.path),
            Room(_free_bytes(self._folder.path), self._wish["reserve_bytes"]),
        )

    def _say_reading(self, position: int, file: ManifestFile) -> None:
        self._reporter.say(f"verifying {position}/{len(self._manifest.files)} {file.path} ({size_text(file.size)})")

    def _fetch(self, decision: Decision) -> tuple[list[str], int]:
        fetcher = Fetcher(
            self._folder,
            self._source(decision),
            retries=self._wish["retries"],
            deadline=self._deadline,
            timeout=self._wish["timeout"],
            say=self._reporter.say,
        )
        # From here on the folder holds something between two manifests, until all is there.
        self._folder.remove_marker()
        fetched: list[str] = []
        total = len(self._manifest.files)
        positions = {item.file.path: position for position, item in enumerate(decision.items, 1)}
        for item in decision.wanted:
            try:
                fetcher.fetch(item, f"{positions[item.file.path]}/{total}")
            except FetchError as error:
                self._folder.write_memory(self._manifest)
                self._fail([error.problem], decision, fetched)
            fetched.append(item.file.path)
            self._folder.write_memory(self._manifest)
        return fetched, fetcher.bytes

    def _source(self, decision: Decision) -> WeightsSource:
        wish = self._wish
        use_proxies({name: str(value) for name, value in wish["proxies"].items()})
        if wish["source"] == "parts":
            return ReceivedParts()
        if wish["source"] == "mirror":
            return MirrorSource(wish["mirror_url"], TokenAccess(wish["token"]))
        try:
            return HubSource(self._manifest, wish["endpoint"], wish["token"], self._folder.parts)
        except HubLibraryError as error:
            advice = "Let the role opensora_checkpoint make its virtual environment, or set its source to mirror."
            self._fail([Problem("packages", "checkpoint.no_library", "error", str(error), advice)], decision)

    def _finish(self, decision: Decision, fetched: Sequence[str]) -> None:
        """Look again, and note that all is there."""
        if decision.action == "none":
            if self._wish["source"] != "none":
                self._folder.remove_parts()
            return
        again = self._decide("changed")
        if again.wanted or again.modes:
            lines = [f"{item.file.path}: {item.reason}" for item in again.wanted] + list(again.modes)
            message = (
                f"after the {decision.action} {self._folder.path} still differs from the manifest: {'; '.join(lines)}"
            )
            advice = "Look at what else writes into that folder, and run again."
            self._fail([Problem("disk", "checkpoint.changed_meanwhile", "error", message, advice)], decision, fetched)
        self._folder.write_memory(self._manifest)
        self._folder.write_marker(self._manifest)
        self._folder.remove_parts()

    def _exit(self, decision: Decision, fetched: Sequence[str], count: int, *, is_complete: bool) -> NoReturn:
        self._module.exit_json(
            changed=decision.action != "none",
            action=decision.action,
            checkpoint={
                "directory": str(self._folder.path),
                "repository": self._manifest.repository,
                "revision": self._manifest.revision,
                "manifest_digest": self._manifest.digest,
                "files": len(self._manifest.files),
                "bytes": self._manifest.total_bytes,
                "complete": is_complete,
            },
            fetched=list(fetched),
            fetched_bytes=count,
            room_bytes=decision.room_bytes,
            wanted=_wanted(decision),
            problems=[problem.as_dict() for problem in decision.problems],
            diff=self._diff(decision),
        )

    def _diff(self, decision: Decision) -> dict[str, str]:
        acts = decision.action != "none"
        return {
            "before": "".join(f"{item.file.path}: {item.status}, {item.reason}\n" for item in decision.wanted if acts)
            + "".join(f"{path}: permissions\n" for path in decision.modes if acts),
            "after": "".join(
                f"{item.file.path}: {item.file.size} bytes, {item.file.sha256}\n" for item in decision.wanted if acts
            )
            + "".join(f"{path}: permissions {mode:04o}\n" for path, mode in decision.modes.items() if acts),
            "before_header": f"weights in {self._folder.path}",
            "after_header": f"{self._manifest.repository} at {self._manifest.revision}",
        }

    def _fail(self, problems: Sequence[Problem], decision: Decision | None, fetched: Sequence[str] = ()) -> NoReturn:
        lines = [
            line for problem in problems for line in (f"{problem.message}. {problem.next_action}", *problem.evidence)
        ]
        self._module.fail_json(
            msg=self._reporter.hide("\n".join(lines)),
            problems=[problem.as_dict() for problem in problems],
            wanted=_wanted(decision),
            fetched=list(fetched),
        )


def _wanted(decision: Decision | None) -> list[dict[str, Any]]:
    return [
        {
            "path": item.file.path,
            "size": item.file.size,
            "sha256": item.file.sha256,
            "status": item.status,
            "reason": item.reason,
            "collected": item.collected,
        }
        for item in (decision.wanted if decision else ())
    ]


def _free_bytes(path: Path) -> int:
    """Return the free bytes of the file system that a path is on, or would be."""
    while not path.exists():
        path = path.parent
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def main() -> None:
    """Provide the weights."""
    fix_umask()
    module = AnsibleModule(
        argument_spec={
            "manifest": {"type": "dict", "required": True},
            "directory": {"type": "path", "required": True},
            "source": {"type": "str", "choices": ["none", "hub", "mirror", "parts"], "default": "none"},
            "endpoint": {"type": "str", "default": "https://huggingface.co"},
            "mirror_url": {"type": "str", "default": ""},
            "token": {"type": "str", "default": "", "no_log": True},
            "verify": {"type": "str", "choices": ["sizes", "changed", "full"], "default": "changed"},
            "reserve_bytes": {"type": "int", "default": 1024**3},
            "retries": {"type": "int", "default": 6},
            "timeout": {"type": "int", "default": 86400},
            "proxies": {"type": "dict", "default": {}},
            "progress": {"type": "bool", "default": True},
            # Set by the action plugin of the same name, which reads there what happens.
            "_progress_path": {"type": "path"},
        },
        supports_check_mode=True,
    )
    manifest, problems = read_manifest(module.params["manifest"], "manifest")
    if manifest is None:
        module.fail_json(
            msg="; ".join(f"{problem.message}. {problem.next_action}" for problem in problems),
            problems=[problem.as_dict() for problem in problems],
        )
    Run(module, manifest).run()


if __name__ == "__main__":
    main()
