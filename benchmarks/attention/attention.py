#!/usr/bin/env python3
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Measure the forward pass of attention at Open-Sora's sizes: PyTorch's back ends, the drop-in, Flash Attention itself.

Needs torch and a GPU; of the drop-in only its folder, roles/opensora_image/files/flash-attention-sdpa, which this
program finds in the project. Flash Attention is measured where `flash_attn` is another package than the drop-in.

    python3 attention.py [--peak 989] [--rounds 5]    the peak is the card's for dense bfloat16, in TFLOP/s
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from collections.abc import Callable

DROP_IN = Path(__file__).resolve().parents[2] / "roles/opensora_image/files/flash-attention-sdpa"
# Batch, heads, tokens, head size. The last two are Open-Sora 2.0's denoiser at 256 and 768 pixels, 129 frames.
SHAPES = ((1, 24, 8192, 128), (1, 24, 32768, 128), (3, 24, 8828, 128), (1, 24, 76544, 128))
BACK_ENDS = {
    "flash kernel of PyTorch": SDPBackend.FLASH_ATTENTION,
    "cuDNN kernel": SDPBackend.CUDNN_ATTENTION,
    "memory-efficient kernel": SDPBackend.EFFICIENT_ATTENTION,
}
CALLS = 10


def contenders(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> dict[str, Callable[[], object]]:
    """Return what is measured by name; the tensors are (batch, tokens, heads, head size)."""
    heads_first = tuple(tensor.transpose(1, 2) for tensor in (q, k, v))

    def only(back_end: SDPBackend) -> Callable[[], object]:
        def run() -> object:
            with sdpa_kernel(back_end):
                return scaled_dot_product_attention(*heads_first)

        return run

    found: dict[str, Callable[[], object]] = {"default of PyTorch": lambda: scaled_dot_product_attention(*heads_first)}
    found |= {name: only(back_end) for name, back_end in BACK_ENDS.items()}
    try:
        real = importlib.import_module("flash_attn")
    except ImportError:
        real = None
    if real is not None and not real.__version__.endswith("+sdpa"):
        found[f"Flash Attention {real.__version__}"] = lambda: real.flash_attn_func(q, k, v)
        for name in [name for name in sys.modules if name.split(".")[0] == "flash_attn"]:
            del sys.modules[name]
    sys.path.insert(0, str(DROP_IN))
    drop_in = importlib.import_module("flash_attn")
    sys.path.remove(str(DROP_IN))
    found["the drop-in"] = lambda: drop_in.flash_attn_func(q, k, v)
    return found


def milliseconds(run: Callable[[], object], calls: int) -> float:
    """Return the time of one call."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(calls):
        run()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / calls


def error_of(run: Callable[[], object]) -> str:
    """Run once; return why it can't, or nothing."""
    try:
        run()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return ""


def measure(shape: tuple[int, int, int, int], rounds: int) -> dict[str, float | str]:
    """Return the median time of each contender in milliseconds, or why it can't run; they take turns in each round."""
    batch, heads, tokens, size = shape
    q, k, v = (torch.randn(batch, tokens, heads, size, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    running, found = {}, {}
    for name, run in contenders(q, k, v).items():
        error = error_of(run)
        if error:
            found[name] = error
        else:
            running[name] = run
    calls = max(1, CALLS * 8192**2 // tokens**2)
    times: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, run in running.items():
            times[name].append(milliseconds(run, calls))
    return found | {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Measure and print a table and the same as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peak", type=float, default=989.0, help="TFLOP/s of the card, dense bfloat16; H100 SXM: 989")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    results = []
    with torch.inference_mode():
        for shape in SHAPES:
            batch, heads, tokens, size = shape
            work = 4 * batch * heads * tokens**2 * size
            for name, found in measure(shape, arguments.rounds).items():
                row = {"shape": shape, "what": name}
                if isinstance(found, str):
                    row["error"] = found
                else:
                    speed = work / found / 1e9
                    row |= {"ms": round(found, 3), "tflops": round(speed), "share": round(speed / arguments.peak, 3)}
                results.append(row)
    head = f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}, bfloat16"
    print(
        head,
        "",
        "| batch, heads, tokens, head size | what | ms | TFLOP/s | of the peak |",
        "|---|---|---|---|---|",
        sep="\n",
    )
    for row in results:
        shape = ", ".join(str(number) for number in row["shape"])
        end = f"{row['error']} | |" if "error" in row else f"{row['ms']} | {row['tflops']} | {row['share']:.0%}"
        print(f"| {shape} | {row['what']} | {end} |")
    print(json.dumps({"machine": head, "results": results}))


if __name__ == "__main__":
    main()
