# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The command of a build, for tests that look at one part of it."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.opensora.buildx_command import buildx_arguments

PLAIN: dict[str, Any] = {
    "docker": "docker",
    "context": "/c",
    "tag": "t",
    "target": "",
    "platform": "linux/amd64",
    "labels": {},
    "build_arguments": {},
    "inherited_arguments": [],
    "metadata_file": "/m",
}


def build_command(**changes: Any) -> list[str]:
    """Return the command of a plain build with some arguments changed."""
    return buildx_arguments(**{**PLAIN, **changes})
