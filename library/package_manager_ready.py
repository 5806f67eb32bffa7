#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Wait until the package manager can be used, and finish what was interrupted."""

from __future__ import annotations

DOCUMENTATION = r"""
module: package_manager_ready
short_description: Wait until the package manager can be used, and finish what was interrupted
description:
  - Waits for cloud-init to finish the host's first boot, then for whoever holds a lock of the package manager.
  - Never removes a lock and never stops a process. Where the wait was too short, it names the process.
  - Then, where asked for, runs C(dpkg --configure -a) for packages that an interruption left half configured, and
    installs again what it left half installed.
author:
  - The opensora-site authors (!UNKNOWN)
options:
  wait_timeout:
    description: Seconds to wait for cloud-init.
    type: int
    default: 900
  lock_timeout:
    description: Seconds to wait for the locks.
    type: int
    default: 600
  locks:
    description:
      - Lock files; one that does not exist is held by nobody. One that ends in C(.pid) is held by the process whose
        number it holds, as dnf does it.
    type: list
    elements: path
    default:
      - /var/lib/dpkg/lock-frontend
      - /var/lib/dpkg/lock
      - /var/lib/apt/lists/lock
      - /var/cache/apt/archives/lock
      - /var/lib/rpm/.rpm.lock
      - /usr/lib/sysimage/rpm/.rpm.lock
      - /var/cache/dnf/metadata_lock.pid
      - /var/cache/dnf/download_lock.pid
      - /var/lib/dnf/rpmdb_lock.pid
  configure:
    description: Whether to finish an interrupted change.
    type: bool
    default: false
  tolerated:
    description:
      - Packages that may stay half configured, because another role repairs them.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Waits for nothing and predicts the change.
    support: full
  diff_mode:
    description: Has no files to show.
    support: none
  idempotent:
    description: A second run has nothing to wait for or to finish.
    support: full
"""

EXAMPLES = r"""
- name: Wait for the package manager
  package_manager_ready:
    configure: true
"""

RETURN = r"""
waited_seconds:
  description: How long it took.
  returned: always
  type: int
problems:
  description: What is wrong, in the one shape of the project.
  returned: always
  type: list
  elements: dict
"""

import errno
import fcntl
import os
import re
import struct
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.file_modes import fix_umask
from ansible.module_utils.opensora.host_services import is_in_first_boot
from ansible.module_utils.opensora.packages import half_installed_packages, unconfigured_packages
from ansible.module_utils.opensora.problems import Problem, describe

_FLOCK = "hhqqi4x"  # struct flock of Linux on 64-bit machines: type, whence, start, length, process
_PAUSE_SECONDS = 3
_UPTIME = Path("/proc/uptime")
_DPKG_STATUS = Path("/var/lib/dpkg/status")


def lock_holder(path: str) -> int | None:
    """Return the process that holds a lock, or null; the lock itself is not taken.

    Args:
        path: The lock file.

    Returns:
        The process id; 0 where it is not of this process's namespace.
    """
    if path.endswith(".pid"):
        return _named_process(path)
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    try:
        question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, process = struct.unpack(_FLOCK, fcntl.fcntl(handle, fcntl.F_GETLK, question))
    finally:
        os.close(handle)
    return None if kind == fcntl.F_UNLCK else process


def _named_process(path: str) -> int | None:
    """Return the process that a file names, or null where there is no such process any more."""
    try:
        process = int(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return process if Path(f"/proc/{process}").exists() else None


def command_of(process: int) -> str:
    """Return the command line of a process."""
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "unknown command"
    return " ".join(word.decode("utf-8", "replace") for word in words if word) or "unknown command"


class Waiter:
    """Waits, and keeps what it waited for."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.start = time.monotonic()

    def fail(self, code: str, message: str, next_action: str, evidence: tuple[str, ...] = ()) -> None:
        """End the module with one problem."""
        problem = Problem("packages", code, "error", message, next_action, evidence).as_dict()
        waited = int(time.monotonic() - self.start)
        self.module.fail_json(msg=describe(problem), problems=[problem], waited_seconds=waited, changed=False)

    def first_boot(self, limit: int) -> None:
        """Wait for cloud-init."""
        command = self.module.get_bin_path("cloud-init")
        deadline = time.monotonic() + limit
        while command:
            _, output, _ = self.module.run_command([command, "status"])
            match = re.search(r"^status: ([a-z ]+?)\s*$", output, re.MULTILINE)
            uptime = float(_UPTIME.read_text(encoding="ascii").split()[0])
            if match is None or not is_in_first_boot(match.group(1), uptime):
                return
            if time.monotonic() > deadline:
                self.fail(
                    "packages.cloud_init_running",
                    f"cloud-init had not finished the host's first boot after {limit} seconds: {match.group(1)}",
                    "Look at `cloud-init status --long`, or raise package_manager_wait_timeout.",
                )
            time.sleep(_PAUSE_SECONDS)

    def locks(self, paths: list[str], limit: int) -> None:
        """Wait for whoever holds a lock."""
        deadline = time.monotonic() + limit
        while True:
            held = [(path, process) for path in paths for process in [lock_holder(path)] if process is not None]
            if not held:
                return
            if time.monotonic() > deadline:
                process = held[0][1]
                self.fail(
                    "packages.lock_held",
                    f"The package manager was in use for {limit} seconds by process {process}: {command_of(process)}",
                    "Let it finish, or find out why it hangs; raise package_manager_lock_timeout for a slow host.",
                    tuple(f"{path}: process {process}" for path, process in held),
                )
            time.sleep(_PAUSE_SECONDS)


def configure(module: AnsibleModule, waiter: Waiter) -> None:
    """Finish an interrupted change; only what another role repairs may stay half configured."""
    environment = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    rc, output, errors = module.run_command(
        ["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"], environ_update=environment
    )
    half = half_installed_packages(_DPKG_STATUS.read_text(encoding="utf-8", errors="replace"))
    half = [name for name in half if name not in module.params["tolerated"]]
    if half:
        # A host that lost its power while a package was unpacked: only its archive has the files that are missing.
        rc, output, errors = module.run_command(
            [
                *("apt-get", "--yes", "--fix-broken", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=600"),
                *("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"),
                *("install", "--reinstall", *half),
            ],
            environ_update=environment,
        )
    left = unconfigured_packages(_DPKG_STATUS.read_text(encoding="utf-8", errors="replace"))
    left = [name for name in left if name not in module.params["tolerated"]]
    if left:
        waiter.fail(
            "packages.broken",
            f"`{'apt-get install --reinstall' if half else 'dpkg --configure -a'}` ended with {rc} and left "
            f"{', '.join(left)}",
            "Read what it says and repair these packages by hand.",
            tuple((errors or output).strip().splitlines()[-8:]),
        )


def main() -> None:
    """Run the module."""
    fix_umask()
    module = AnsibleModule(
        argument_spec={
            "wait_timeout": {"type": "int", "default": 900},
            "lock_timeout": {"type": "int", "default": 600},
            "locks": {
                "type": "list",
                "elements": "path",
                "default": [
                    "/var/lib/dpkg/lock-frontend",
                    "/var/lib/dpkg/lock",
                    "/var/lib/apt/lists/lock",
                    "/var/cache/apt/archives/lock",
                    "/var/lib/rpm/.rpm.lock",
                    "/usr/lib/sysimage/rpm/.rpm.lock",
                    "/var/cache/dnf/metadata_lock.pid",
                    "/var/cache/dnf/download_lock.pid",
                    "/var/lib/dnf/rpmdb_lock.pid",
                ],
            },
            "configure": {"type": "bool", "default": False},
            "tolerated": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    result: dict[str, Any] = {"changed": parameters["configure"], "waited_seconds": 0, "problems": []}
    if module.check_mode:
        module.exit_json(**result)
    waiter = Waiter(module)
    waiter.first_boot(parameters["wait_timeout"])
    waiter.locks(parameters["locks"], parameters["lock_timeout"])
    if parameters["configure"]:
        configure(module, waiter)
    module.exit_json(**{**result, "waited_seconds": int(time.monotonic() - waiter.start)})


if __name__ == "__main__":
    main()
