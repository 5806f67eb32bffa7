# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Judge the driver by the condition that a CUDA image carries in ``NVIDIA_REQUIRE_CUDA``.

The condition is what the container runtime checks at every start: alternatives are separated by blanks, the
conditions of one alternative by commas, such as ``cuda>=12.2 brand=tesla,driver>=470,driver<471``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping

from ansible.module_utils.opensora.version_number import version_key

_CONDITION = re.compile(r"(?P<name>[a-z]+)(?P<sign>>=|<=|!=|=|<|>)(?P<value>[^,\s]+)")
_SIGNS: Mapping[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}


def satisfies(requirement: str, cuda: str | None, driver: str | None) -> bool | None:
    """Return whether a driver meets an image's condition, or None when that can't be told.

    Only the versions are judged. An alternative for one brand of card counts as met when its driver versions are:
    the runtime knows the brand, and refusing too much would be worse than leaving it the last word.

    Args:
        requirement: Value of ``NVIDIA_REQUIRE_CUDA``.
        cuda: Highest CUDA version that the driver supports, such as ``12.4``.
        driver: Version of the driver.
    """
    alternatives = requirement.split()
    if not alternatives:
        return True
    verdicts = [_alternative(text, {"cuda": cuda, "driver": driver}) for text in alternatives]
    if any(verdict is True for verdict in verdicts):
        return True
    return None if any(verdict is None for verdict in verdicts) else False


def _alternative(text: str, found: Mapping[str, str | None]) -> bool | None:
    unknown = False
    for condition in _CONDITION.finditer(text):
        name = condition["name"]
        if name not in found:
            continue
        value = found[name]
        if value is None:
            unknown = True
            continue
        if not _SIGNS[condition["sign"]](version_key(value), version_key(condition["value"])):
            return False
    return None if unknown else True
