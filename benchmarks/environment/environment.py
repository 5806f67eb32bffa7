#!/usr/bin/env python3
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Measure what environment variables do to a model: each in a process of its own, in turns, against a bare one.

The model is a row of transformer blocks of the width of Open-Sora 2.0's denoiser with random weights, in bfloat16,
without gradients. Needs torch and a GPU (`--small` runs a tiny one on the CPU, to try the program).

    python3 environment.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import types
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
# Values that guides for Docker and Open-Sora print, on one card.
GUIDE = {
    "PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:8,expandable_segments:True,garbage_collection_threshold:0.95",
    "PYTORCH_NO_CUDA_MEMORY_CACHING": "1",
    "CUDA_LAUNCH_BLOCKING": "1",
    "OMP_NUM_THREADS": "1",
    "NCCL_P2P_DISABLE": "1",
    "NCCL_IB_DISABLE": "1",
}
REPAIRED = GUIDE | {"PYTORCH_CUDA_ALLOC_CONF": GUIDE["PYTORCH_CUDA_ALLOC_CONF"].replace(":8,", ":64,")}
HIDDEN, HEADS, BLOCKS, TOKENS = 3072, 24, 19, 8192
STEPS = 10


def environments() -> dict[str, dict[str, str]]:
    """Return what is compared, by name; the profiles are the project's own."""
    # The profiles need nothing of Ansible but the name of the package that they lie in.
    for name, path in (("ansible", []), ("ansible.module_utils", [str(PROJECT / "module_utils")])):
        package = types.ModuleType(name)
        package.__path__ = path
        sys.modules.setdefault(name, package)
    from ansible.module_utils.opensora.environment_profiles import PROFILES  # noqa: PLC0415 (findable from here on)

    found = {"bare": {}}
    for name, profile in PROFILES.items():
        found[f"profile {name}"] = {setting.name: setting.value for setting in profile.variables}
    found["CUDA_LAUNCH_BLOCKING=1"] = {"CUDA_LAUNCH_BLOCKING": "1"}
    found["PYTORCH_NO_CUDA_MEMORY_CACHING=1"] = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    found["guide, max_split_size_mb repaired to 64"] = REPAIRED
    found["guide, as printed"] = GUIDE
    return found


def seconds_a_step(*, small: bool) -> float:
    """Run the model in this process and return the median time of a step."""
    import torch  # noqa: PLC0415 (only in the process that measures)
    from torch import nn  # noqa: PLC0415

    hidden, heads, blocks, tokens = (64, 4, 2, 128) if small else (HIDDEN, HEADS, BLOCKS, TOKENS)
    device = "cpu" if small else "cuda"

    class Block(nn.Module):
        """Attention and a feed-forward net, each after a normalisation that a condition shifts."""

        def __init__(self) -> None:
            super().__init__()
            self.norms = nn.ModuleList([nn.LayerNorm(hidden, elementwise_affine=False) for _ in range(2)])
            self.shift = nn.Linear(hidden, 6 * hidden)
            self.qkv, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
            self.net = nn.Sequential(
                nn.Linear(hidden, 4 * hidden), nn.GELU(approximate="tanh"), nn.Linear(4 * hidden, hidden)
            )

        def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
            shifts = self.shift(condition).unsqueeze(1).chunk(6, dim=-1)
            y = self.norms[0](x) * (1 + shifts[1]) + shifts[0]
            q, k, v = self.qkv(y).unflatten(-1, (3, heads, hidden // heads)).permute(2, 0, 3, 1, 4)
            y = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            x = x + shifts[2] * self.out(y)
            y = self.norms[1](x) * (1 + shifts[4]) + shifts[3]
            return x + shifts[5] * self.net(y)

    torch.set_default_dtype(torch.bfloat16)
    # Made where it runs: drawing billions of weights on the CPU takes minutes.
    with torch.inference_mode(), torch.device(device):
        model = [Block() for _ in range(blocks)]
        tokens_in = torch.randn(1, tokens, hidden)
        condition = torch.randn(1, hidden)
        times = []
        for _ in range(STEPS + 3):
            started = time.perf_counter()
            x = tokens_in
            for block in model:
                x = block(x, condition)
            float(x.float().mean())  # waits for the device
            times.append(time.perf_counter() - started)
    return statistics.median(times[3:])


def run(variables: dict[str, str], *, small: bool) -> float | str:
    """Measure in a fresh process with some variables more; return the time or the last line of the error."""
    clean = {name: value for name, value in os.environ.items() if name not in REPAIRED}
    command = [sys.executable, __file__, "--one", *(["--small"] if small else [])]
    found = subprocess.run(command, env=clean | variables, capture_output=True, text=True, check=False)  # noqa: S603 (this program)
    if found.returncode != 0:
        return (found.stderr.strip().splitlines() or [f"exit status {found.returncode}"])[-1]
    return float(found.stdout)


def main() -> None:
    """Measure and print a table and the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a tiny model on the CPU")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(seconds_a_step(small=arguments.small))
        return
    compared = environments()
    times: dict[str, list[float]] = {name: [] for name in compared}
    errors: dict[str, str] = {}
    for _ in range(arguments.rounds):
        for name, variables in compared.items():
            found = run(variables, small=arguments.small)
            if isinstance(found, str):
                errors[name] = found
            else:
                times[name].append(found)
    bare = statistics.median(times["bare"])
    results = [
        {"environment": name, "error": errors[name]}
        if name in errors
        else {
            "environment": name,
            "seconds": round(statistics.median(times[name]), 4),
            "spread": round(max(times[name]) - min(times[name]), 4),
            "ratio": round(statistics.median(times[name]) / bare, 3),
        }
        for name in compared
    ]
    print("| environment | seconds a step | against bare |", "|---|---|---|", sep="\n")
    for row in results:
        end = f"{row['error']} | |" if "error" in row else f"{row['seconds']} | {row['ratio']}x |"
        print(f"| {row['environment']} | {end}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
