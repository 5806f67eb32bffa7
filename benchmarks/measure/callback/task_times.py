# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Write when each task of a run began to the file RECORD_TASKS_FILE, one JSON object a line."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: task_times
type: aggregate
short_description: begin of each task
description: Writes when each task of a run began to the file that the environment variable RECORD_TASKS_FILE names.
"""


class CallbackModule(CallbackBase):
    """Notes the begin of plays and tasks and the end of the run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "task_times"
    CALLBACK_NEEDS_ENABLED = True

    def note(self, name: str, place: str = "") -> None:
        """Add a line."""
        line = json.dumps({"begin": time.time(), "name": name, "place": place})
        with Path(os.environ["RECORD_TASKS_FILE"]).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Note a play."""
        self.note(f"(play {play.get_name().strip()})")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002
        """Note a task."""
        self.note(task.get_name(), task.get_path() or "")

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """Note a handler."""
        self.note(task.get_name(), task.get_path() or "")

    def v2_playbook_on_stats(self, stats: Any) -> None:  # noqa: ARG002
        """Note the end."""
        self.note("(end)")
