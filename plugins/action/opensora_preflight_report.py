# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Fail once, with the problems of all hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ansible.module_utils
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

# Ansible adds module_utils/ of a project for modules only; an action plugin runs on the controller.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora.connection import unreadable_host  # noqa: E402  the path has to be known first
from ansible.module_utils.opensora.problems import report  # noqa: E402  the path has to be known first

display = Display()


class ActionModule(ActionBase):
    """Shows every warning, and fails when there is an error on any host."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Collect what the tasks before left in the variables of each host."""
        super().run(tmp, task_vars)
        del tmp
        _, arguments = self.validate_argument_spec({"hosts": {"type": "list", "elements": "str", "required": True}})
        hostvars = (task_vars or {})["hostvars"]
        problems = {host: self._problems(hostvars[host]) for host in arguments["hosts"]}
        warnings = report(problems, "warning")
        if warnings:
            display.display(f"\nWarnings:\n\n{warnings}\n", color="yellow")
        errors = report(problems, "error")
        if errors:
            count = sum(problem["severity"] == "error" for of_host in problems.values() for problem in of_host)
            return {
                "failed": True,
                "changed": False,
                "msg": f"{count} problem(s) found before anything was changed:\n\n{errors}\n",
            }
        return {"changed": False, "msg": f"{len(problems)} host(s) checked, nothing stands in the way"}

    @staticmethod
    def _problems(variables: Any) -> list[dict[str, Any]]:
        """Return the problems that are known of one host."""
        found = list(variables.get("opensora_problems", []))
        for register in ("__preflight_unreadable", "__preflight_decisions"):
            found += variables.get(register, {}).get("problems", [])
        if not found and "gpu_host" not in variables:
            reading = variables.get("__gpu_host", {})
            found.append(unreadable_host(reading or {"unreachable": True}).as_dict())
        return found
