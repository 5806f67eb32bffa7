"""Run a command on this machine and show its lines while it runs."""

from __future__ import annotations

import subprocess
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()


class ActionModule(ActionBase):
    """Takes ``argv``; fails when the command does."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        del tmp
        _, arguments = self.validate_argument_spec({"argv": {"type": "list", "elements": "str", "required": True}})
        command = [str(word) for word in arguments["argv"]]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            for line in process.stdout or ():
                display.display(line.rstrip("\n"))
        failed = process.returncode != 0
        return {"changed": True, "failed": failed, "msg": f"{command[0]} ended with {process.returncode}"}
