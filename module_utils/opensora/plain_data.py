# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Values from templates as plain Python data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """Return a value as dicts, lists, texts and numbers of exactly these types, at every depth.

    Templates hand over lazy containers, of which a copy keeps the link to the templates, and texts of a type of their
    own, which YAML refuses to write.

    Args:
        value: Any data that JSON can express.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, bool) or value is None:
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    return value
