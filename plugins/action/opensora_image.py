# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Bring the archive of an image to the host where there is one, and show each step of the module while it runs."""

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

DEFAULT_TIMEOUT_SECONDS = 14400
DEFAULT_DIRECTORY = "/opt/opensora-site/image"


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
        if self._task.check_mode:
            return dict(self._execute_module(module_args=arguments, task_vars=variables))
        if not arguments.get("archive"):
            return self._provide(arguments, variables)
        try:
            return self._receive(arguments, variables)
        except NoRoomError as error:
            return error.as_result()
        except TransferError as error:
            return {"failed": True, "msg": f"The image could not be handed over: {error}"}

    def _provide(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        if not self._is_watched(arguments):
            return dict(self._execute_module(module_args=arguments, task_vars=variables))
        host = str(variables.get("inventory_hostname", ""))
        job = WatchedJob(self, host, display, variables)
        timeout = int(arguments.get("timeout") or DEFAULT_TIMEOUT_SECONDS)
        return job.run(str(self._task.action), arguments, timeout)

    def _receive(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Bring the archive to the host and have the module load it."""
        host = str(variables.get("inventory_hostname", ""))
        is_watched = self._is_watched(arguments)
        carrier = ArchiveCarrier(self, host, lambda line: display.display(f"{host} | {line}") if is_watched else None)
        folder, free = carrier.open_folder(str(arguments.get("directory") or DEFAULT_DIRECTORY))
        try:
            archive = carrier.put(archive_from(arguments["archive"]), folder, free)
        except BaseException:
            carrier.close_folder(folder)
            raise
        # A host that is lost now still loads what it has got: its folder stays then.
        result = self._provide({**arguments, "archive": archive.as_dict()}, variables)
        carrier.close_folder(folder)
        return result

    @staticmethod
    def _is_watched(arguments: dict[str, Any]) -> bool:
        return bool(boolean(arguments.get("progress", True), strict=False))
