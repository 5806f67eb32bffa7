# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Say whether this container can render: the application imports, samples can be written, the GPUs are there.

Exit status 0 is healthy. The last line says what was found, or which check failed and why. With --compute every GPU
also has to compute something, which proves more than that it can be seen.
Environment: OPENSORA_EXPECTED_GPUS, number of GPUs that must be visible; not checked when unset.
OPENSORA_SAMPLES_DIRECTORY, where videos are written.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

SAMPLES = Path(os.environ.get("OPENSORA_SAMPLES_DIRECTORY", "/opt/open-sora/samples"))

# The sum of the product of two such matrices of ones is 2**24, which float32 still holds exactly.
_SIZE = 256


def unhealthy(check: str, reason: str) -> NoReturn:
    """End with the name of the check that failed."""
    print(f"unhealthy: {check}: {reason}", flush=True)  # noqa: T201 (the engine keeps it in the health log)
    sys.exit(1)


def check_samples() -> None:
    """Write and remove a file where the videos go."""
    try:
        with tempfile.NamedTemporaryFile(dir=SAMPLES, prefix=".health-"):
            pass
    except OSError as error:
        unhealthy("samples", f"user {os.getuid()} can't write to {SAMPLES}: {error.strerror}")


def check_application() -> None:
    """Import the application."""
    try:
        importlib.import_module("opensora")
    except Exception as error:  # noqa: BLE001 (whatever the import raises is the reason)
        unhealthy("application", f"import opensora: {type(error).__name__}: {error}")


def check_computation(torch: Any, device: int) -> None:
    """Multiply two matrices on a GPU."""
    try:
        matrix = torch.ones((_SIZE, _SIZE), device=f"cuda:{device}")
        found = (matrix @ matrix).sum().item()
    except Exception as error:  # noqa: BLE001 (a broken driver raises many things)
        unhealthy("gpus", f"GPU {device} does not compute: {type(error).__name__}: {error}")
    if found != _SIZE**3:
        unhealthy("gpus", f"GPU {device} computes {found} where {_SIZE**3} is right")


def check_gpus(expected: str, *, compute: bool) -> str:
    """Compare the visible GPUs with the expected number."""
    if not expected:
        return "GPUs not checked"
    try:
        wanted = int(expected)
    except ValueError:
        unhealthy("gpus", f"OPENSORA_EXPECTED_GPUS is {expected!r}, allowed is a whole number")
    try:
        torch = importlib.import_module("torch")
        available, found = torch.cuda.is_available(), torch.cuda.device_count()
    except Exception as error:  # noqa: BLE001 (a broken driver raises many things)
        unhealthy("gpus", f"{type(error).__name__}: {error}")
    if wanted and not available:
        unhealthy("gpus", "torch.cuda.is_available() is False: no driver or no GPU reaches this container")
    if found != wanted:
        unhealthy("gpus", f"{found} GPUs are visible, {wanted} are expected")
    if not compute:
        return f"{found} GPUs"
    for device in range(found):
        check_computation(torch, device)
    return f"{found} GPUs, each computed {_SIZE**3}"


def main() -> None:
    """Run the checks, the cheapest first."""
    check_samples()
    check_application()
    gpus = check_gpus(os.environ.get("OPENSORA_EXPECTED_GPUS", ""), compute="--compute" in sys.argv[1:])
    print(f"healthy: opensora imports, {SAMPLES} is writable, {gpus}")  # noqa: T201


if __name__ == "__main__":
    main()
