# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Have a host save an image, and fetch the archive to the control node, from where other hosts get it."""

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

from ansible.module_utils.opensora.archive_carrier import ArchiveCarrier, NoRoomError  # noqa: E402  the path first
from ansible.module_utils.opensora.image_archive import archive_from  # noqa: E402
from ansible.module_utils.opensora.image_transfer import TransferError  # noqa: E402
from ansible.module_utils.opensora.watched_job import WatchedJob  # noqa: E402

display = Display()

DEFAULT_TIMEOUT_SECONDS = 3600


class ActionModule(ActionBase):
    """Wraps the module of the same name; a task with ``delegate_to`` names the host that has the image."""

    _supports_check_mode = False
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Save, fetch, and clean up on the host in any case."""
        super().run(tmp, task_vars)
        del tmp
        variables = task_vars or {}
        arguments = dict(self._task.args)
        host = str(self._task.delegate_to or variables.get("inventory_hostname", ""))
        is_watched = bool(boolean(arguments.get("progress", True), strict=False))
        job = WatchedJob(self, host, display, variables, is_shown=is_watched)
        carrier = ArchiveCarrier(self, host, job.say)
        try:
            folder, _ = carrier.open_folder(str(arguments["directory"]))
            try:
                timeout = int(arguments.get("timeout") or DEFAULT_TIMEOUT_SECONDS)
                result = job.run(str(self._task.action), {**arguments, "folder": folder}, timeout)
                if not result.get("failed"):
                    archive = carrier.fetch(archive_from(result["archive"]), str(arguments["control_directory"]))
                    result["archive"] = archive.as_dict()
            finally:
                carrier.close_folder(folder)
        except NoRoomError as error:
            return error.as_result()
        except TransferError as error:
            return {"failed": True, "msg": f"The image could not be fetched from {host}: {error}"}
        return result
