# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Print what the doctor found on all hosts, and write the same as JSON on the control node."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import ansible.module_utils
from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

# Ansible adds module_utils/ of a project for modules only; an action plugin runs on the controller.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora.connection import unreadable_host  # noqa: E402  the path has to be known first
from ansible.module_utils.opensora.doctor_report import (  # noqa: E402
    HostReport,
    ServiceReading,
    failure_text,
    is_service_asked,
    make_report,
    render_reports,
    unreadable_report,
)
from ansible.module_utils.opensora.plain_data import plain  # noqa: E402

display = Display()

ARGUMENT_SPEC = {
    "hosts": {"type": "list", "elements": "str", "required": True},
    "path": {"type": "str", "required": True},
    "fail": {"type": "raw", "default": False},
}


class ActionModule(ActionBase):
    """Reads what the tasks before left in the variables of each host; asks no host anything."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Report all hosts."""
        super().run(tmp, task_vars)
        del tmp
        _, arguments = self.validate_argument_spec(ARGUMENT_SPEC)
        must_fail = read_flag(arguments["fail"])
        hostvars = (task_vars or {})["hostvars"]
        reports = {host: host_report(hostvars[host]) for host in arguments["hosts"]}
        path = write_report(arguments["path"], reports)
        display.display(f"\n{render_reports(reports)}\n\nThe same as JSON: {path}\n")
        failure = failure_text(reports)
        return {
            "changed": False,
            "failed": bool(must_fail and failure),
            "msg": failure or f"{len(reports)} host(s), nothing is broken",
            "path": str(path),
        }


def read_flag(value: object) -> bool:
    """Return whether the run shall end with an error; a text typed on a command line is fine.

    Raises:
        AnsibleActionFail: It is neither yes nor no.
    """
    try:
        return bool(boolean(value, strict=True))
    except TypeError as error:
        raise AnsibleActionFail(f"opensora_doctor_fail is {value!r}, allowed is true or false") from error


def host_report(variables: Any) -> HostReport:
    """Return the report of one host.

    Args:
        variables: The host's variables.
    """
    result = plain(variables.get("__gpu_host") or {})
    if result.get("unreachable") or result.get("failed"):
        return unreadable_report([unreadable_host(result).as_dict()])
    # gpu_host may still be that of an earlier play, so that it is not enough that it is there.
    unreadable = plain(variables.get("__doctor_unreadable") or {}).get("problems") or []
    host = plain(variables.get("gpu_host") or {})
    if unreadable or not host:
        return unreadable_report(unreadable or [unreadable_host({"unreachable": True}).as_dict()])
    root = str(variables.get("gpu_host_probe_root") or "/")
    return make_report(host, _service_reading(variables) if is_service_asked(host, root) else ServiceReading(), root)


def _service_reading(variables: Any) -> ServiceReading:
    """Return what the tasks before found out about the service."""
    read = plain(variables.get("__opensora_service_verify") or {})
    answers = read.get("results") or []
    # Of several services the first that is not well stands for them; what is wrong with the others is listed as well.
    answer = next((one for one in answers if one.get("problems")), answers[0] if answers else {})
    plan = plain(variables.get("__opensora_service_plan") or {})
    failed = plain(variables.get("__doctor_service_failure") or {})
    if not failed and (read.get("failed") or read.get("unreachable")):
        failed = next((one for one in answers if one.get("failed") or one.get("unreachable")), read)
    return ServiceReading(
        service=None if failed else answer.get("service"),
        problems=() if failed else tuple(problem for one in [*answers, plan] for problem in one.get("problems") or []),
        failure=_first_line(failed),
    )


def _first_line(result: dict[str, Any]) -> str:
    """Return what a failed task says, in one line; empty where none failed."""
    if not result:
        return ""
    lines = [line.strip() for line in str(result.get("msg") or "").splitlines() if line.strip()]
    return lines[0] if lines else "reading the service failed"


def write_report(target: str, reports: dict[str, HostReport]) -> Path:
    """Write the reports as JSON, whole or not at all, and return the file's path.

    Args:
        target: Path of the file; a relative one is below the current folder.
        reports: Reports by the hosts' names.

    Raises:
        AnsibleActionFail: The path is no file that can be written here.
    """
    allowed = "allowed is the path of a file on this machine that this user can write"
    if not target.strip() or target.endswith("/") or Path(target).is_dir():
        raise AnsibleActionFail(f"opensora_doctor_report is {target!r}, {allowed}")
    path = Path.cwd() / Path(target).expanduser()
    data = {
        "generated": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "hosts": {name: report.as_dict() for name, report in reports.items()},
    }
    draft = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as stream:
            draft = stream.name
            json.dump(data, stream, indent=2)
            stream.write("\n")
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    except OSError as error:
        if draft and os.path.lexists(draft):
            Path(draft).unlink()
        raise AnsibleActionFail(f"opensora_doctor_report is {target!r}, {allowed}: {error}") from error
    return path
