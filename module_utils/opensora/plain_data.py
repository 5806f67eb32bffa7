# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Values from templates as plain Python data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """Return a value with every mapping as a dict and every sequence as a list, at every depth.

    Templates hand over lazy containers, of which a copy keeps the link to the templates.

    Args:
        value: Any data that JSON can express.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value
