# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Show each step of the module of the same name while it runs, and carry weights from host to host."""

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

from ansible.module_utils.opensora.checkpoint_carrier import CarryError, ChunkCarrier  # noqa: E402  the path first
from ansible.module_utils.opensora.checkpoint_share import Chunk  # noqa: E402
from ansible.module_utils.opensora.image_transfer import size_text  # noqa: E402
from ansible.module_utils.opensora.watched_job import WatchedJob  # noqa: E402

display = Display()

DEFAULT_TIMEOUT_SECONDS = 86400


class ActionModule(ActionBase):
    """Wraps the module of the same name."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module, watched when somebody may want to watch."""
        super().run(tmp, task_vars)
        del tmp
        variables = task_vars or {}
        arguments = dict(self._task.args)
        host = str(self._task.delegate_to or variables.get("inventory_hostname", ""))
        if "carry" in arguments:
            return self._carry(arguments, host)
        if self._task.check_mode or not boolean(arguments.get("progress", True), strict=False):
            return dict(self._execute_module(module_args=arguments, task_vars=variables))
        job = WatchedJob(self, host, display, variables)
        timeout = int(arguments.get("timeout") or DEFAULT_TIMEOUT_SECONDS)
        return job.run(str(self._task.action), arguments, timeout)

    def _carry(self, arguments: dict[str, Any], host: str) -> dict[str, Any]:
        """Take a piece of a file from the host, or put one there; see roles/opensora_checkpoint/tasks/share.yml."""
        chunk = Chunk(**arguments["chunk"])
        place = Path(str(arguments["place"]))
        carrier = ChunkCarrier(self, host, str(arguments["directory"]))
        try:
            if arguments["carry"] == "take":
                carrier.take(chunk, place)
            else:
                carrier.put(chunk, place)
        except (CarryError, OSError) as error:
            return {"failed": True, "msg": f"{chunk.path} could not be handed over: {error}. Run again to go on."}
        if boolean(arguments.get("progress", True), strict=False):
            percent = 100 * (chunk.offset + chunk.length) // chunk.size
            verb = "fetched from here" if arguments["carry"] == "take" else "received"
            display.display(f"{host} | {verb}: {chunk.path} {percent} % of {size_text(chunk.size)}")
        return {"changed": False, "place": str(place)}
