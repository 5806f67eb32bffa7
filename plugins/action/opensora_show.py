# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Print a text as it is, whatever the result format of the run."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()


class ActionModule(ActionBase):
    """Takes ``text``."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Print the text."""
        super().run(tmp, task_vars)
        del tmp
        _, arguments = self.validate_argument_spec({"text": {"type": "str", "required": True}})
        display.display(f"\n{arguments['text']}\n")
        return {"changed": False}
