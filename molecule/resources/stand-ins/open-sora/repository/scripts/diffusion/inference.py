"""Render a prompt: inference.py CONFIG --prompt TEXT --save-dir FOLDER [--sampling_option.KEY VALUE ...]."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from opensora.utils.config import parse_configs
from opensora.utils.picture import frame_size, frames, write_video

try:
    import torch
except ImportError:  # rendering does not need it
    torch = None


def report_devices() -> None:
    if torch is None:
        print("torch is not installed", flush=True)
        return
    print(f"torch {torch.__version__}, CUDA {torch.version.cuda}, {torch.cuda.device_count()} GPU visible", flush=True)


def main() -> None:
    config = parse_configs(sys.argv[1:])
    if int(os.environ.get("RANK", "0")) != 0:
        return
    report_devices()
    checkpoints = Path("ckpts")
    count = sum(1 for path in checkpoints.rglob("*") if path.is_file()) if checkpoints.is_dir() else 0
    print(f"checkpoints: {checkpoints.resolve()} holds {count} files; the stand-in needs none", flush=True)

    option = config.get("sampling_option", {})
    prompt = config.get("prompt")
    prompts = [str(text) for text in (prompt if isinstance(prompt, (list, tuple)) else [prompt]) if text]
    if not prompts:
        raise SystemExit("no prompt: --prompt TEXT")
    seed = int(config.get("seed") or option.get("seed") or 42)
    number = int(option.get("num_frames", 129))
    resolution = str(option.get("resolution", "256px"))
    width, height = frame_size(resolution, str(option.get("aspect_ratio", "16:9")))
    for index, text in enumerate(prompts):
        started = time.monotonic()
        path = Path(str(config.get("save_dir", "samples"))) / f"video_{resolution}" / f"prompt_{index:04d}.mp4"
        pictures = frames(text, seed, number, width, height)
        encoder = write_video(path, pictures, width, height, int(config.get("fps_save", 24)))
        seconds = time.monotonic() - started
        print(f"{path}: {number} frames, {width}x{height}, {encoder}, {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
