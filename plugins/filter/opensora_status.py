# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Filter of the status: what is wrong with its settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

# Ansible finds the project's module_utils for modules only; plugins have to be told where they are.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora.plain_data import plain  # noqa: E402 -- needs the path above
from ansible.module_utils.opensora.problems import describe  # noqa: E402
from ansible.module_utils.opensora.status_settings import find_problems  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def opensora_status_errors(settings: Mapping[str, Any]) -> str:
    """Return what is wrong with the settings of a status, as text; empty when nothing is."""
    return "\n".join(describe(problem.as_dict()) for problem in find_problems(plain(settings)))


class FilterModule:
    """The filter by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter."""
        return {"opensora_status_errors": opensora_status_errors}
