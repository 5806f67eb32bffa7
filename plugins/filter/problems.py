# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Problems of any role as the text of a message."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import ansible.module_utils

# Ansible adds module_utils/ of a project for modules only; a filter runs on the controller.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora.plain_data import plain  # noqa: E402  the path has to be known first
from ansible.module_utils.opensora.problems import describe  # noqa: E402


def problem_text(problems: list[dict[str, Any]]) -> str:
    """Return problems as text, each with its layer, its evidence and the next action."""
    return "\n".join(describe(problem) for problem in plain(problems))


class FilterModule:
    """Register the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name and function of the filter."""
        return {"opensora_problem_text": problem_text}
