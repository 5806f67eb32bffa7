# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The permissions of what modules leave on a host do not depend on how a host is set up."""

from __future__ import annotations

import os

# Folders that a path is missing, and files of libraries and commands, get no mode of their own.
_UMASK = 0o022


def fix_umask() -> None:
    """Have everything that this process and its children make be writable by its owner alone, and readable by all.

    A secret is given its own, narrower mode where it is written.
    """
    os.umask(_UMASK)
