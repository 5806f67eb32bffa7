# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Turn the failure of reading a host into a problem of the layer that owns it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ansible.module_utils
from ansible.plugins.action import ActionBase

# Ansible adds module_utils/ of a project for modules only; an action plugin runs on the controller.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora.connection import unreadable_host  # noqa: E402  the path has to be known first


class ActionModule(ActionBase):
    """Returns ``problems``."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Judge the failed result that the task was given."""
        super().run(tmp, task_vars)
        del tmp
        _, arguments = self.validate_argument_spec({"result": {"type": "dict", "required": True}})
        return {"changed": False, "problems": [unreadable_host(arguments["result"]).as_dict()]}
