"""Read a configuration file and the command line over it, with the habits of the real application."""

from __future__ import annotations

import ast
import runpy
from typing import Any


def parse_configs(arguments: list[str]) -> dict[str, Any]:
    """Read CONFIG, then pairs `--key value`; a key that nobody knows is taken without a word, as in the real one."""
    if not arguments:
        raise SystemExit("usage: inference.py CONFIG [--key value ...]")
    config = {key: value for key, value in runpy.run_path(arguments[0]).items() if not key.startswith("_")}
    pairs = arguments[1:]
    for name, text in zip(pairs[::2], pairs[1::2]):
        target = config
        *folders, leaf = name.lstrip("-").replace("-", "_").split(".")
        for folder in folders:
            if folder not in target:
                raise AssertionError(f"Key {folder} not found in config")
            target = target[folder]
        target[leaf] = _value(text)
    # Short forms of the real application.
    for name in ("num_frames", "aspect_ratio", "resolution", "num_steps"):
        if name in config:
            config["sampling_option"][name] = config.pop(name)
    return config


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
