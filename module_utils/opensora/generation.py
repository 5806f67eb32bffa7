# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""One video: its options checked against what the application really reads, and the command that makes it.

The application takes every unknown option without a word, so a typo would silently render something else; and it turns
words such as ``none`` or ``42`` into other types. Both are refused here.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from ansible.module_utils.opensora.problems import Problem
from ansible.module_utils.opensora.problems import invalid_value as invalid_variable
from ansible.module_utils.opensora.service_settings import parse_integer

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIGS = ("256px", "768px", "t2i2v_256px", "t2i2v_768px", "256px_tp", "high_compression")
ASPECT_RATIOS = ("16:9", "9:16", "1:1", "2.39:1")
_MAXIMUM_FRAMES = 129
_MAXIMUM_SEED = 2**32 - 1
# Number of attention heads of the model, which tensor parallelism has to divide.
_HEADS = 24
_TRUE = ("true", "yes", "1")
_FALSE = ("false", "no", "0")


@dataclass(frozen=True)
class Request:
    """One video.

    Attributes:
        prompt: What to show.
        config: Configuration of the application, without folder and suffix.
        seed: Seed of the noise.
        num_frames: Frames, 4k+1; None for what the configuration says.
        aspect_ratio: None for what the configuration says.
        offload_model: Whether parts of the model leave the GPU while they are not needed.
        processes: Number of processes, 0 for what the configuration needs.
    """

    prompt: str
    config: str
    seed: int
    num_frames: int | None
    aspect_ratio: str | None
    offload_model: bool
    processes: int


def read_request(raw: Mapping[str, object]) -> tuple[Request | None, list[Problem]]:
    """Return the checked request.

    Args:
        raw: Options as typed: prompt, config, seed, num_frames, aspect_ratio, offload_model, processes. Empty texts
            mean the default.
    """
    problems = []
    prompt = str(raw.get("prompt") or "").strip()
    refused = _refused_prompt(prompt)
    if refused:
        problems.append(invalid_value("prompt", raw.get("prompt"), refused))
    config = re.sub(r"\.py$", "", str(raw.get("config") or CONFIGS[0]).rpartition("/")[2])
    if config not in CONFIGS:
        problems.append(invalid_value("config", raw.get("config"), f"one of {', '.join(CONFIGS)}"))
    seed = parse_integer(raw.get("seed"))
    if seed is None or not 0 <= seed <= _MAXIMUM_SEED:
        problems.append(invalid_value("seed", raw.get("seed"), f"a whole number from 0 to {_MAXIMUM_SEED}"))
    frames = None if raw.get("num_frames") in (None, "") else parse_integer(raw["num_frames"])
    if raw.get("num_frames") not in (None, "") and (
        frames is None or not 1 <= frames <= _MAXIMUM_FRAMES or frames % 4 != 1
    ):
        problems.append(
            invalid_value("num_frames", raw["num_frames"], f"4k+1 up to {_MAXIMUM_FRAMES}, such as 1, 17, 49, 129")
        )
    elif frames == 1:
        problems.append(
            invalid_value("num_frames", raw["num_frames"], "5 or more; with 1 the application makes a picture")
        )
    ratio = str(raw.get("aspect_ratio") or "") or None
    if ratio is not None and ratio not in ASPECT_RATIOS:
        problems.append(invalid_value("aspect_ratio", ratio, f"one of {', '.join(ASPECT_RATIOS)}"))
    offload = str(raw.get("offload_model", "")).strip().lower() or "false"
    if offload not in _TRUE + _FALSE:
        problems.append(invalid_value("offload_model", raw.get("offload_model"), "true or false"))
    processes = parse_integer(raw.get("processes") or 0)
    if processes is None or processes < 0:
        problems.append(
            invalid_value("processes", raw.get("processes"), "a whole number; 0 for what the configuration needs")
        )
    if problems or seed is None or processes is None:
        return None, problems
    return Request(prompt, config, seed, frames, ratio, offload in _TRUE, processes), []


def resolve_processes(request: Request, gpu_count: int) -> tuple[int, list[Problem]]:
    """Return the number of processes for the GPUs of a service.

    Args:
        request: The request.
        gpu_count: GPUs reserved for the service.
    """
    needs_all = "768px" in request.config
    wanted = request.processes or (gpu_count if needs_all or request.config.endswith("_tp") else 1)
    if wanted > gpu_count:
        return wanted, [invalid_value("processes", wanted, f"at most {gpu_count}, the GPUs reserved for the service")]
    if needs_all and wanted != gpu_count:
        # The application takes every visible card into its process groups, whatever it is told.
        return wanted, [
            invalid_value("processes", wanted, f"{gpu_count}: {request.config} uses every GPU of the service")
        ]
    if request.config.endswith("_tp") and _HEADS % wanted:
        return wanted, [
            invalid_value("processes", wanted, f"a divisor of the model's {_HEADS} heads with {request.config}")
        ]
    return wanted, []


def request_identifier(request: Request, processes: int, image: str) -> str:
    """Return the name of a request's folder: the same for the same request to the same image, and only then.

    Args:
        request: The request.
        processes: Number of processes.
        image: Digest of the image, since another version of the application renders something else.
    """
    inputs = json.dumps([asdict(request), processes, image], sort_keys=True)
    return f"{request.config}-{request.seed}-{hashlib.sha256(inputs.encode()).hexdigest()[:12]}"


def build_command(request: Request, processes: int, save_directory: str) -> list[str]:
    """Return the command, word by word; no shell reads it.

    Args:
        request: The request.
        processes: Number of processes.
        save_directory: Folder in the container for the video.
    """
    command = ["torchrun", "--nproc_per_node", str(processes), "--standalone", "scripts/diffusion/inference.py"]
    command += [f"configs/diffusion/inference/{request.config}.py", "--prompt", request.prompt]
    command += ["--save-dir", save_directory, "--sampling_option.seed", str(request.seed), "--seed", str(request.seed)]
    if request.num_frames is not None:
        command += ["--num_frames", str(request.num_frames)]
    if request.aspect_ratio is not None:
        command += ["--aspect_ratio", request.aspect_ratio]
    if request.offload_model:
        # Spelled like this: the application ignores the --offload of its own README.
        command += ["--offload_model", "True"]
    return command


# (pattern in the application's output, code, what to do)
_FAILURES = (
    (
        r"out of memory",
        "generation.out_of_memory",
        "Use opensora_service_environment_profile: low_memory, -e offload_model=true, fewer frames or 256px.",
    ),
    (
        r"HFValidationError|Repo id must be|No such file or directory: '\./ckpts",
        "generation.weights_missing",
        "The weights are not in opensora_service_checkpoints_directory: download them first.",
    ),
    (
        r"process_group_mesh|AssertionError.*world",
        "generation.processes",
        "Give one process for each visible GPU: -e processes=N.",
    ),
    (r"no kernel image is available", "generation.no_kernel", "This PyTorch has no kernels for this card."),
    (r"No module named", "generation.module_missing", "The image is incomplete: build it again."),
)


def failure(output: str, exit_code: int) -> Problem:
    """Return why a generation failed.

    Args:
        output: Last lines of the application.
        exit_code: Of the application.
    """
    lines = tuple(line.rstrip() for line in output.splitlines() if line.strip())[-40:]
    message = f"the application ended with exit code {exit_code}"
    if exit_code in (124, 137):
        message += " (the time limit, or killed for want of host memory)"
    for pattern, code, advice in _FAILURES:
        hit = next((line.strip() for line in reversed(lines) if re.search(pattern, line)), None)
        if hit:
            return Problem("application", code, "error", f"{message}: {hit}", advice, lines)
    return Problem("application", "generation.failed", "error", message, "Read the application's last lines.", lines)


def invalid_value(option: str, value: object, allowed: str) -> Problem:
    """Return the problem of an option that was typed on the command line."""
    return replace(invalid_variable(option, value, allowed), next_action=f"Run again with another -e {option}=...")


def _refused_prompt(prompt: str) -> str:
    """Return what would be allowed when a prompt can't be passed on as it is, or an empty text."""
    if not prompt:
        return "a text, such as -e prompt=\"'raining, sea'\""
    if prompt.startswith("-"):
        return "a text that doesn't begin with '-', which the application takes for an option"
    if "\0" in prompt or "\n" in prompt:
        return "one line"
    if prompt.lower() in ("none", "true", "false"):
        return "more than this one word, which the application doesn't take as text"
    try:
        ast.literal_eval(prompt)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ""
    return "a text; the application takes this one for a number or a list"
