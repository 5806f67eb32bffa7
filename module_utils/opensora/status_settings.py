# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What may be set about a status, checked before any host is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible.module_utils.opensora.problems import Problem, invalid_value
from ansible.module_utils.opensora.service_settings import parse_integer

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST = 60
_LONGEST_HISTORY = 100_000


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(str(value))
    except ValueError:
        return None


def find_problems(settings: Mapping[str, object]) -> list[Problem]:
    """Return what is wrong with the settings.

    Args:
        settings: Variables of the role without their prefix; numbers may be texts, as typed on a command line.
    """
    problems = []
    for name, lowest, most in (("samples", 1, _MOST), ("history_length", 1, _LONGEST_HISTORY)):
        number = parse_integer(settings[name])
        if number is None or not lowest <= number <= most:
            allowed = f"a whole number from {lowest} to {most}"
            problems.append(invalid_value(f"opensora_status_{name}", settings[name], allowed))
    interval = _number(settings["interval"])
    if interval is None or not 0 <= interval <= _MOST:
        allowed = f"a number of seconds from 0 to {_MOST}"
        problems.append(invalid_value("opensora_status_interval", settings["interval"], allowed))
    if not str(settings["directory"]).strip():
        allowed = "a folder of this machine that this user can write to"
        problems.append(invalid_value("opensora_status_directory", settings["directory"], allowed))
    return problems
