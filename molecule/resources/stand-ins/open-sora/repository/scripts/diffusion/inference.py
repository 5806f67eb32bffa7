"""Render: inference.py CONFIG --prompt TEXT | --dataset.data-path FILE.csv --save-dir FOLDER [--KEY VALUE ...]."""

from __future__ import annotations

import csv
import logging
import os
import sys
from pathlib import Path
from typing import Any

from opensora.utils.config import parse_configs
from opensora.utils.picture import frame_size, frames, write_video
from opensora.utils.sampling import denoise
from tqdm import tqdm

try:
    import torch
except ImportError:  # rendering does not need it
    torch = None

logging.basicConfig(level=logging.INFO, format="[\033[34m%(asctime)s\033[0m] %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
log = logging.getLogger(__name__)


def join_processes(config: dict[str, Any]) -> None:
    """A parallel plugin takes every visible GPU, whatever number of processes it was started with."""
    if torch is None:
        return
    count, processes = torch.cuda.device_count(), int(os.environ.get("WORLD_SIZE", "1"))
    log.info("torch %s, CUDA %s, %s GPU visible", torch.__version__, torch.version.cuda, count)
    if config.get("plugin") == "hybrid" and count != processes:
        raise AssertionError(f"process_group_mesh: the product {count} must be equal to the world size {processes}")


def read_rows(config: dict[str, Any]) -> list[dict[str, str]]:
    """The prompts: of a table, or the one of the command line, which goes through a table in the real one, too."""
    if not config.get("prompt"):
        if not config["dataset"].get("data_path"):
            raise SystemExit("no prompt: --prompt TEXT or --dataset.data-path FILE.csv")
        with Path(config["dataset"]["data_path"]).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    row = {"text": str(config["prompt"])}
    return [{**row, "ref": str(config["ref"])} if config.get("ref") else row]


def main() -> None:
    config = parse_configs(sys.argv[1:])
    if int(os.environ.get("RANK", "0")) != 0:
        return
    join_processes(config)
    log.info("Building dataset...")
    rows = read_rows(config)
    log.info("Dataset contains %s samples.", len(rows))
    log.info("Building models...")
    checkpoints = Path("ckpts")
    count = sum(1 for path in checkpoints.rglob("*") if path.is_file()) if checkpoints.is_dir() else 0
    log.info("checkpoints: %s holds %s files; the stand-in needs none", checkpoints.resolve(), count)

    option = config["sampling_option"]
    seed = int(option.get("seed") or config.get("seed") or 42)
    number = int(option["num_frames"])
    width, height = frame_size(str(option["resolution"]), str(option["aspect_ratio"]))
    folder = Path(str(config["save_dir"])) / f"video_{option['resolution']}"
    folder.mkdir(parents=True, exist_ok=True)
    for index, row in enumerate(tqdm(rows, desc="Inference progress")):
        if config.get("use_t2i2v"):
            log.info("Generating image condition by flux...")
        reference = row.get("ref") if config["cond_type"] != "t2v" else None
        if config["cond_type"] != "t2v" and not reference:
            print(
                "your csv file doesn't have a ref column or is not processed properly. will default to cond_type t2v!"
            )
        log.info("Generating video...")
        denoise(row["text"], int(option["num_steps"]))
        path = folder / f"{row.get('name') or f'prompt_{index:04d}'}.mp4"
        path.with_suffix(".txt").write_text(row["text"], encoding="utf-8")
        pictures = frames(row["text"], seed, number, width, height, reference=reference)
        write_video(path, pictures, width, height, config["fps_save"])
        print(f"Saved to {path}", flush=True)
    log.info("Inference finished.")


if __name__ == "__main__":
    main()
