# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Weights that another host of the site has: which pieces of them a host gets, and what it makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ansible.module_utils.opensora.checkpoint_failure import failure
from ansible.module_utils.opensora.checkpoint_manifest import ManifestFile


class ReceivedParts:
    """Takes files that were brought here from another host."""

    @staticmethod
    def address(file: ManifestFile) -> str:
        """Return where a file comes from, for messages."""
        return f"file:///{file.path}"

    @staticmethod
    def fetch(file: ManifestFile, part: Path, watch: Callable[[int], None]) -> None:
        """Say that a file is not whole when it is not; see WeightsSource."""
        have = part.stat().st_size if part.exists() else 0
        watch(have)
        if have != file.size or not part.exists():
            raise failure(
                "network",
                "not_received",
                f"{file.path} arrived with {have} of {file.size} bytes from the host that has it",
                "Look at what failed there, and run again.",
            )
