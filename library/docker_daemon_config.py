#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Merge keys into the configuration file of the Docker Engine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_daemon_config
short_description: Merge keys into the configuration file of the Docker Engine
description:
  - Merges the given keys into C(daemon.json) and keeps every other key. Mappings are merged at every depth. Lists in
    which the order means nothing (C(exec-opts), C(insecure-registries), C(registry-mirrors), C(labels) and the like)
    gain what they lack. Any other value is replaced.
  - The order of keys and the formatting are no difference.
  - A file that is not one JSON object, or that has a key twice, is reported with its place and left untouched. An empty
    file is an empty object.
  - A setting that the service gives the engine on its command line is refused, because the engine would not start.
  - The new file is checked by C(dockerd --validate) where the engine is installed, and replaces the old one in one
    step.
  - A running engine is reloaded or restarted when the file changed. When it does not answer again, the old file is put
    back and the engine is restarted with it.
options:
  config:
    description: The keys asked for.
    type: dict
    required: true
  path:
    description: The configuration file.
    type: path
    default: /etc/docker/daemon.json
  service:
    description: Name of the engine's service.
    type: str
    default: docker
  socket:
    description: Socket of the engine, of which C(/_ping) is asked.
    type: path
    default: /var/run/docker.sock
  dockerd:
    description: The engine's program, which checks the new file. It may be absent.
    type: str
    default: dockerd
  restart_timeout:
    description: Seconds that the engine has to answer again after a restart.
    type: int
    default: 120
  restart_required:
    description:
      - Restart the engine even when the file is as wanted, because the caller saw that the running engine does not have
        what the file says.
    type: bool
    default: false
  backup:
    description: Keep a copy of the old file beside it when it changes.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode and predict the change without making it.
    support: full
  diff_mode:
    description: Returns the file's text before and after.
    support: full
  idempotent:
    description: A second run changes nothing.
    support: full
notes:
  - A restart stops containers unless C(live-restore) is on. Keys that the engine takes over on a reload (registry
    mirrors, insecure registries, labels, debug, download limits) do not restart it.
author:
  - The opensora-site authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Register the runtime of the container toolkit
  docker_daemon_config:
    config:
      runtimes:
        nvidia:
          path: nvidia-container-runtime
          args: []
      features:
        cdi: true
"""

RETURN = r"""
config:
  description: The configuration as it is in the file now, or would be.
  returned: always
  type: dict
changed_keys:
  description: Top-level keys whose meaning changed.
  returned: always
  type: list
  elements: str
action:
  description: What the running engine needed (C(none), C(reload), C(restart)); C(none) as well when it does not run.
  returned: always
  type: str
backup_file:
  description: The copy of the old file.
  returned: when one was made
  type: str
problems:
  description: What is wrong, in the one shape of the project.
  returned: always
  type: list
  elements: dict
"""

import contextlib
import http.client
import os
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.daemon_config import (
    Merge,
    flag_conflicts,
    flags_of_unit,
    merge,
    needed_action,
)
from ansible.module_utils.opensora.file_modes import fix_umask
from ansible.module_utils.opensora.json_document import (
    BYTE_ORDER_MARK,
    DocumentError,
    decode_text,
    parse_object,
    render_object,
)
from ansible.module_utils.opensora.problems import Problem, describe

PING_INTERVAL = 0.5  # seconds between two questions to an engine that is starting
JOURNAL_LINES = 15


class EngineConnection(http.client.HTTPConnection):
    """HTTP over the engine's socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=5)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket instead of a network address."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def answers(path: str) -> bool:
    """Return whether an engine answers on a socket."""
    connection = EngineConnection(path)
    try:
        connection.request("GET", "/_ping")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class DaemonConfig:
    """Reads, decides and writes the configuration of one engine."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.path = os.path.realpath(module.params["path"])
        self.service: str = module.params["service"]
        self.content: bytes | None = Path(self.path).read_bytes() if Path(self.path).exists() else None
        self.result: dict[str, Any] = {"changed": False, "changed_keys": [], "action": "none", "problems": []}

    def fail(self, code: str, message: str, next_action: str, evidence: tuple[str, ...] = ()) -> NoReturn:
        """End the module with one problem."""
        problem = Problem("engine", code, "error", message, next_action, evidence).as_dict()
        # Whatever was predicted before, a failure leaves the host as it was.
        unchanged = {"changed": False, "action": "none", "problems": [problem]}
        self.module.fail_json(msg=describe(problem), **{**self.result, **unchanged})

    def read(self) -> tuple[str, dict[str, Any]]:
        """Return text and meaning of the file that is there."""
        try:
            text = decode_text(self.content or b"")
            return text, parse_object(text)
        except DocumentError as error:
            self.fail(
                "daemon_config.unreadable",
                f"{self.path} is not a valid configuration: {error}",
                "Correct the file by hand; it was left untouched.",
            )

    def run(self) -> None:
        """Bring the file, and a running engine, to what was asked for."""
        text, found = self.read()
        outcome = merge(found, self.module.params["config"])
        if outcome.conflicts:
            self.fail(
                "daemon_config.contradiction",
                f"{self.path} and the keys asked for contradict each other: {'; '.join(outcome.conflicts)}",
                "Remove one of the two settings: from the file, or from docker_engine_daemon_config.",
            )
        new_text = render_object(outcome.config, text.lstrip(BYTE_ORDER_MARK)) if outcome.changed_keys else text
        self.result.update(
            changed=bool(outcome.changed_keys),
            changed_keys=list(outcome.changed_keys),
            config=outcome.config,
            diff={
                "before": text,
                "after": new_text,
                "before_header": self.path,
                "after_header": self.path,
            },
        )
        if outcome.changed_keys or self.module.params["restart_required"]:
            self.change(new_text, outcome)
        self.module.exit_json(**self.result)

    def change(self, new_text: str, outcome: Merge) -> None:
        """Write the file and make a running engine take it over."""
        unit = self.unit()
        running = unit.get("ActiveState") in {"active", "reloading"}
        action = "restart" if self.module.params["restart_required"] else needed_action(outcome.changed_keys)
        self.result["action"] = action if running else "none"
        self.result["changed"] = bool(outcome.changed_keys) or self.result["action"] != "none"
        if outcome.changed_keys:
            self.refuse_flags(unit, outcome.config)
            self.write(new_text)
        if running and not self.module.check_mode:
            self.take_over(action, int(unit.get("MainPID", "0")))

    def unit(self) -> dict[str, str]:
        """Return what the service manager knows of the engine; empty where there is no service manager."""
        systemctl = self.module.get_bin_path("systemctl")
        if not systemctl:
            return {}
        _, out, _ = self.module.run_command(
            [systemctl, "show", f"{self.service}.service", "--property=ActiveState,ExecStart,MainPID"]
        )
        return dict(line.partition("=")[::2] for line in out.splitlines())

    def refuse_flags(self, unit: dict[str, str], config: dict[str, Any]) -> None:
        """Fail when a setting of the file also stands on the engine's command line."""
        command_line = flags_of_unit(unit.get("ExecStart", ""))
        with contextlib.suppress(OSError):
            if unit.get("MainPID", "0") != "0":  # the running engine shows variables of the unit expanded
                raw = Path(f"/proc/{unit['MainPID']}/cmdline").read_bytes()
                command_line = raw.decode("utf-8", "replace").rstrip("\0").split("\0")
        conflicts = flag_conflicts(command_line, config)
        if conflicts:
            self.fail(
                "daemon_config.flag_conflict",
                f"The engine would not start: {'; '.join(conflicts)}",
                f"Remove the setting from the unit of {self.service} (systemctl edit {self.service}) or from the file.",
                (" ".join(command_line),),
            )

    def write(self, text: str) -> None:
        """Check the new text with the engine's own program and put it in place."""
        dockerd = self.module.get_bin_path(self.module.params["dockerd"])
        folder = Path(self.path).parent
        if not self.module.check_mode:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        elif not dockerd:
            return
        # Beside the file, so that the replacement is one step; in check mode the engine's folder is not touched.
        with tempfile.NamedTemporaryFile(
            mode="w",
            encoding="utf-8",
            dir=self.module.tmpdir if self.module.check_mode else folder,
            prefix=".daemon.json.",
            delete=False,
        ) as handle:
            handle.write(text)
        self.module.add_cleanup_file(handle.name)
        if dockerd:
            self.validate(dockerd, handle.name)
        if self.module.check_mode:
            return
        if self.module.params["backup"] and self.content is not None:
            self.result["backup_file"] = self.module.backup_local(self.path)
        if self.content is None:
            Path(handle.name).chmod(0o644)
        self.module.atomic_move(handle.name, self.path)

    def validate(self, dockerd: str, path: str) -> None:
        """Fail when the engine's own program refuses a file."""
        rc, out, err = self.module.run_command([dockerd, "--validate", "--config-file", path])
        if rc == 0 or "unknown flag: --validate" in err:  # engines before 23.0 cannot check
            return
        self.fail(
            "daemon_config.refused",
            f"The engine refuses the new content of {self.path}, which was left untouched",
            "Correct the keys asked for in docker_engine_daemon_config.",
            tuple((err or out).replace(path, self.path).strip().splitlines()[-5:]),
        )

    def take_over(self, action: str, process: int) -> None:
        """Reload or restart the engine; put the old file back when it does not return."""
        began = time.time()
        if action == "reload":
            # Not through the unit, whose own reload calls a program that small systems do not have.
            os.kill(process, signal.SIGHUP)
            returned = self.wait()
        else:
            returned = self.restart()
        if returned:
            return
        journal = self.journal(began)
        old = "there was no file before"
        if self.result["changed_keys"]:
            old = "the old file was put back"
            if self.content is None:
                Path(self.path).unlink()
            else:
                # In place, so that mode and owner stay as they are.
                Path(self.path).write_bytes(self.content)
            backup = self.result.pop("backup_file", None)
            if backup:
                Path(backup).unlink()
        back = self.restart()
        self.fail(
            "engine.not_returned",
            f"The Docker Engine did not return after its {action}; {old} and the engine "
            + ("runs with it again" if back else "does not start with it either"),
            f"Read the lines below and 'journalctl -u {self.service}', correct docker_engine_daemon_config, run again.",
            journal,
        )

    def restart(self) -> bool:
        """Restart the service; return whether the engine answers again."""
        systemctl = self.module.get_bin_path("systemctl", required=True)
        # Several starts in a row are what the service manager otherwise refuses.
        self.module.run_command([systemctl, "reset-failed", f"{self.service}.service"])
        rc, _, _ = self.module.run_command([systemctl, "restart", f"{self.service}.service"])
        return rc == 0 and self.wait()

    def wait(self) -> bool:
        """Return whether the engine answers within the time it has."""
        deadline = time.monotonic() + self.module.params["restart_timeout"]
        while time.monotonic() < deadline:
            if answers(self.module.params["socket"]):
                return True
            time.sleep(PING_INTERVAL)
        return False

    def journal(self, began: float) -> tuple[str, ...]:
        """Return the last lines that the engine wrote since a moment."""
        journalctl = self.module.get_bin_path("journalctl")
        if not journalctl:
            return ()
        _, out, _ = self.module.run_command(
            [journalctl, f"--unit={self.service}.service", f"--since=@{int(began)}", "--no-pager", "--output=cat"]
        )
        return tuple(out.splitlines()[-JOURNAL_LINES:])


def main() -> None:
    """Run the module."""
    fix_umask()
    module = AnsibleModule(
        argument_spec={
            "config": {"type": "dict", "required": True},
            "path": {"type": "path", "default": "/etc/docker/daemon.json"},
            "service": {"type": "str", "default": "docker"},
            "socket": {"type": "path", "default": "/var/run/docker.sock"},
            "dockerd": {"type": "str", "default": "dockerd"},
            "restart_timeout": {"type": "int", "default": 120},
            "restart_required": {"type": "bool", "default": False},
            "backup": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    DaemonConfig(module).run()


if __name__ == "__main__":
    main()
