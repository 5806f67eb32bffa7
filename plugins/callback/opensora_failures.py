# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Say at the end of a run which layer is broken on each host whose last message did not name one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ansible.module_utils
from ansible.plugins.callback import CallbackBase

# Ansible adds module_utils/ of a project for modules only; a callback plugin runs on the controller.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora.problems import report  # noqa: E402  the path has to be known first
from ansible.module_utils.opensora.task_failure import failed_task_problem  # noqa: E402

DOCUMENTATION = """
name: opensora_failures
type: notification
short_description: Name the broken layer of each host that failed
description:
  - The modules of this project name the layer that is broken. Ansible's own don't, and neither does a lost connection.
  - For each host whose run ended with such a message the layer is named after the recap, with what to do next.
author: The opensora-site authors
"""


class CallbackModule(CallbackBase):
    """Keeps the last failure of each host."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "opensora_failures"

    def __init__(self) -> None:
        super().__init__()
        self._problems: dict[str, list[dict[str, Any]]] = {}

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Keep a failure; a later one of the same host, such as the report of a rescue, takes its place."""
        if not ignore_errors:
            self._keep(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Keep the loss of a host."""
        self._keep(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Show what is known of the hosts that ended with a failure."""
        lost = {host for host in self._problems if stats.failures.get(host) or stats.dark.get(host)}
        text = report({host: self._problems[host] for host in sorted(lost)}, "error")
        if text:
            self._display.display(f"\n{text}\n", color="red")

    def _keep(self, result: Any) -> None:
        task = result.task
        role = task._role.get_name() if task._role else ""
        problem = failed_task_problem(result.result, str(task.name), role, str(task.action))
        self._problems[result.host.get_name()] = [problem.as_dict()] if problem else []
