# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Print how all hosts are doing, and write the same as a page and as JSON on the control node."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import ansible.module_utils
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

# Ansible adds module_utils/ of a project for modules only; an action plugin runs on the controller.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora.plain_data import plain  # noqa: E402  the path has to be known first
from ansible.module_utils.opensora.status_history import (  # noqa: E402
    bounded,
    make_entry,
    parse_history,
    render_history,
)
from ansible.module_utils.opensora.status_page import render_page  # noqa: E402
from ansible.module_utils.opensora.status_report import HostStatus, make_host, summary  # noqa: E402
from ansible.module_utils.opensora.status_table import render_status  # noqa: E402

display = Display()

ARGUMENT_SPEC = {
    "hosts": {"type": "list", "elements": "str", "required": True},
    "directory": {"type": "str", "required": True},
    "template": {"type": "str", "required": True},
    "history_length": {"type": "int", "required": True},
}
PAGE_FILE = "index.html"
STATUS_FILE = "status.json"
HISTORY_FILE = "history.jsonl"


class ActionModule(ActionBase):
    """Reads what the task before left in the variables of each host; asks no host anything."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Show all hosts."""
        super().run(tmp, task_vars)
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENT_SPEC)
        hostvars = (task_vars or {})["hostvars"]
        hosts = [
            make_host(str(name), plain(hostvars[name].get("__opensora_status_answer") or {}))
            for name in arguments["hosts"]
        ]
        template = Path(arguments["template"]).read_text(encoding="utf-8")
        page = write_status(arguments["directory"], hosts, template, arguments["history_length"], int(time.time()))
        display.display(f"\n{render_status(hosts)}\n\nAs a page: {page}\n")
        return {"changed": False, "msg": summary(hosts), "path": str(page)}


def write_status(target: str, hosts: list[HostStatus], template: str, history_length: int, now: int) -> Path:
    """Write page, JSON and history, each whole or not at all, and return the page's path.

    Args:
        target: Folder; a relative one is below the current folder.
        hosts: All hosts of the run.
        template: Template of the page.
        history_length: Runs of each host that the history keeps.
        now: Time of the run in seconds since 1970.

    Raises:
        AnsibleActionFail: The folder can't be written to.
    """
    folder = Path(os.path.normpath(Path.cwd() / Path(target).expanduser()))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        history = folder / HISTORY_FILE
        earlier = parse_history(history.read_text(encoding="utf-8", errors="replace")) if history.exists() else []
        entries = bounded([*earlier, *(make_entry(host, now) for host in hosts)], history_length)
        data = {
            "generated": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
            "hosts": {host.name: host.as_dict() for host in hosts},
        }
        _write(history, render_history(entries))
        _write(folder / STATUS_FILE, f"{json.dumps(data, indent=2)}\n")
        _write(folder / PAGE_FILE, render_page(template, hosts, entries, now))
    except OSError as error:
        allowed = "a folder of this machine that this user can write to"
        raise AnsibleActionFail(f"opensora_status_directory is {target!r}, allowed is {allowed}: {error}") from error
    return folder / PAGE_FILE


def _write(path: Path, text: str) -> None:
    """Write a file that everyone may read, so that nobody ever sees half of it."""
    draft = ""
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as stream:
            draft = stream.name
            stream.write(text)
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    except OSError:
        if draft and os.path.lexists(draft):
            Path(draft).unlink()
        raise
