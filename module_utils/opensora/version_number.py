# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Compare dotted version numbers by number, so that 12.10 is newer than 12.8."""

from __future__ import annotations

import re

_NUMBERS = re.compile(r"^\D*(\d+(?:\.\d+)*)")


def version_key(version: str) -> tuple[int, ...]:
    """Return the leading dotted number of a version as a comparable tuple; trailing zeros don't count.

    Args:
        version: Such as ``12.2.2``, ``v2.26.1-4`` or ``580.159.04``.

    Raises:
        ValueError: The text holds no number.
    """
    match = _NUMBERS.match(version)
    if match is None:
        raise ValueError(f"{version!r} is no version number")
    numbers = [int(part) for part in match.group(1).split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def major_minor(version: str) -> tuple[int, int]:
    """Return the first two numbers of a version; a missing second one is 0."""
    numbers = (*version_key(version), 0)
    return numbers[0], numbers[1]


def upstream_version(version: str) -> str:
    """Return a package's version without epoch and distribution revision: ``1:550.163.01-2+b1`` is ``550.163.01``."""
    return re.sub(r"[-~+].*$", "", version.split(":", 1)[-1])
