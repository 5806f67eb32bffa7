# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The short table at the end of a run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEADERS = ("host", "GPUs found", "reserved", "driver", "engine", "image", "service", "minutes")
_DIGEST_LENGTH = 12


def host_row(
    name: str,
    host: Mapping[str, Any],
    service: Mapping[str, Any],
    problems: Sequence[Mapping[str, Any]],
    *,
    skipped: str,
    minutes: str,
) -> tuple[str, ...]:
    """Return the row of one host.

    Args:
        name: Name in the inventory.
        host: ``gpu_host``, empty when it could not be read.
        service: ``service`` of opensora_service_info, empty when it could not be read.
        problems: What verification found.
        skipped: Why an earlier step left the host out, or an empty text.
        minutes: Duration of the run so far.
    """
    if not service:
        return (name, "-", "-", "-", "-", "-", f"left out: {skipped}" if skipped else "not verified", minutes)
    gpus = host.get("gpus") or []
    models = {str(gpu.get("name")) for gpu in gpus}
    found = f"{len(gpus)} x {models.pop()}" if len(models) == 1 else str(len(gpus))
    engine = host.get("engine") or {}
    driver = host.get("driver") or {}
    errors = [problem for problem in problems if problem.get("severity") == "error"]
    health = str(service.get("health") or service.get("status") or "absent")
    return (
        name,
        found,
        str(len(service.get("gpus") or [])),
        str(driver.get("loaded") or driver.get("installed") or "-"),
        str(engine.get("version") or engine.get("kind") or "-"),
        short_digest(str(service.get("image") or "")),
        f"{health}, {len(errors)} problem(s)" if errors else health,
        minutes,
    )


def short_digest(image: str) -> str:
    """Return the beginning of an image's digest, or a dash."""
    match = re.search(r"sha256:([0-9a-f]+)", image)
    return match.group(1)[:_DIGEST_LENGTH] if match else image or "-"


def render_table(rows: Sequence[Sequence[str]], headers: Sequence[str] = HEADERS) -> str:
    """Return rows under headers, in columns as wide as their widest cell.

    Args:
        rows: Cells, as many in each row as there are headers.
        headers: Names of the columns.
    """
    widths = [max(len(row[column]) for row in [headers, *rows]) for column in range(len(headers))]
    lines = [headers, ["-" * width for width in widths], *rows]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)
