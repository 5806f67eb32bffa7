# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Show how far the videos are while the module makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ansible.module_utils
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

# Ansible adds module_utils/ of a project for modules only; an action plugin runs on the controller.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora.watched_job import WatchedJob  # noqa: E402  the path first

display = Display()

DEFAULT_TIME_LIMIT_SECONDS = 7200


class ActionModule(ActionBase):
    """Wraps the module of the same name, as a job that goes on when the connection breaks."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module and follow it."""
        super().run(tmp, task_vars)
        del tmp
        variables = task_vars or {}
        arguments = dict(self._task.args)
        if self._task.check_mode:
            return dict(self._execute_module(module_args=arguments, task_vars=variables))
        host = str(variables.get("inventory_hostname", ""))
        is_shown = bool(boolean(arguments.get("progress", True), strict=False))
        job = WatchedJob(self, host, display, variables, is_shown=is_shown)
        # Each video may take its time, and another run may be waited for.
        videos = len(arguments.get("requests") or [])
        limit = int(arguments.get("time_limit") or DEFAULT_TIME_LIMIT_SECONDS)
        return job.run(str(self._task.action), arguments, 2 * limit * (videos + 1))
