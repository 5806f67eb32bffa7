# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""One video: its options checked against what the application really reads, and the command that makes it.

The application takes every unknown option without a word, so a typo would silently render something else; and it reads
its prompts through a table, where words such as ``none`` or ``42`` become other types. Both are refused here.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible.module_utils.opensora.problems import Problem
from ansible.module_utils.opensora.problems import invalid_value as invalid_variable
from ansible.module_utils.opensora.service_settings import parse_integer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONFIGS = ("256px", "768px", "t2i2v_256px", "t2i2v_768px", "256px_tp", "high_compression")
ASPECT_RATIOS = ("16:9", "9:16", "1:1", "2.39:1")
# Configurations that begin with a picture of the user's: the others make a picture of their own first.
_PICTURE_CONFIGS = ("256px", "768px", "256px_tp")
_MAXIMUM_FRAMES = 129
# The autoencoder of this configuration makes groups of four frames.
_MAXIMUM_FRAMES_HIGH_COMPRESSION = 128
_MAXIMUM_SEED = 2**32 - 1
# More than the text encoder's 512 tokens can hold.
_MAXIMUM_PROMPT = 4000
# Processes that can share one video. The parallel configurations split the autoencoder's channels as well, which are
# powers of two: with any other number the application ends after it has loaded everything. Eight is the plugins' size.
_GROUPS = (1, 2, 4, 8)
_TRUE = ("true", "yes", "1")
_FALSE = ("false", "no", "0")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
# What the reader of the application's table takes for a missing value or a truth value.
_NO_TEXT = frozenset(
    {"none", "null", "nan", "-nan", "na", "n/a", "<na>", "#n/a", "#na", "#n/a n/a", "1.#ind", "-1.#ind", "1.#qnan"}
    | {"-1.#qnan", "true", "false"}
)
TABLE_FILE = "prompts.csv"
# Runs the application and counts its steps; see service_generation.
LAUNCHER_FILE = "launch.py"
_APPLICATION = "scripts/diffusion/inference.py"


@dataclass(frozen=True)
class Request:
    """One video.

    Attributes:
        prompt: What to show.
        config: Configuration of the application, without folder and suffix.
        seed: Seed of the noise.
        num_frames: Number of frames; None for what the configuration says.
        aspect_ratio: None for what the configuration says.
        picture: sha256 of the picture that the video begins with, or empty.
        name: Name that the user gave the video, or empty.
        row: Where the request was read: ``FILE:LINE``, or ``prompt``.
    """

    prompt: str
    config: str
    seed: int
    num_frames: int | None = None
    aspect_ratio: str | None = None
    picture: str = ""
    name: str = ""
    row: str = "prompt"


@dataclass(frozen=True)
class Execution:
    """How videos are made, whatever they show.

    Attributes:
        offload_model: Whether parts of the model leave the GPU while they are not needed.
        processes: Processes for each video, each with a GPU; 0 for what the configuration needs.
        at_once: Videos at the same time on a host; 0 for as many as the GPUs allow.
    """

    offload_model: bool = False
    processes: int = 0
    at_once: int = 0


def read_request(raw: Mapping[str, object], row: str = "prompt") -> tuple[Request | None, list[Problem]]:
    """Return the checked request.

    Args:
        raw: Options as typed: prompt, config, seed, num_frames, aspect_ratio, picture (a digest), name. Empty texts
            mean the default.
        row: Where they were read.
    """
    problems = []
    prompt = str(raw.get("prompt") or "").strip()
    refused = _refused_prompt(prompt)
    if refused:
        problems.append(invalid_value("prompt", raw.get("prompt"), refused))
    config = re.sub(r"\.py$", "", str(raw.get("config") or CONFIGS[0]).strip().rpartition("/")[2])
    if config not in CONFIGS:
        problems.append(invalid_value("config", raw.get("config"), f"one of {', '.join(CONFIGS)}"))
    seed = 42 if raw.get("seed") in (None, "") else parse_integer(raw["seed"])
    if seed is None or not 0 <= seed <= _MAXIMUM_SEED:
        problems.append(invalid_value("seed", raw.get("seed"), f"a whole number from 0 to {_MAXIMUM_SEED}"))
    frames = None if raw.get("num_frames") in (None, "") else parse_integer(raw["num_frames"])
    allowed = "" if raw.get("num_frames") in (None, "") else _refused_frames(frames, config)
    if allowed:
        problems.append(invalid_value("num_frames", raw["num_frames"], allowed))
    ratio = str(raw.get("aspect_ratio") or "").strip() or None
    if ratio is not None and ratio not in ASPECT_RATIOS:
        problems.append(invalid_value("aspect_ratio", ratio, f"one of {', '.join(ASPECT_RATIOS)}"))
    picture = str(raw.get("picture") or "")
    if picture and not _DIGEST.fullmatch(picture):
        problems.append(invalid_value("picture", picture, "a sha256"))
    if picture and config in CONFIGS and config not in _PICTURE_CONFIGS:
        problems.append(
            invalid_value(
                "config", config, f"one of {', '.join(_PICTURE_CONFIGS)} with an image: {config} makes its own first"
            )
        )
    name = str(raw.get("name") or "").strip()
    if name and not _NAME.fullmatch(name):
        problems.append(invalid_value("name", name, "letters, digits, '.', '_' and '-', up to 64, no '.' first"))
    if problems or seed is None:
        return None, problems
    return Request(prompt, config, seed, frames, ratio, picture, name, row), []


def read_execution(raw: Mapping[str, object]) -> tuple[Execution | None, list[Problem]]:
    """Return how the videos are to be made.

    Args:
        raw: Options as typed: offload_model, processes, at_once. Empty texts mean the default.
    """
    problems = []
    offload = str(raw.get("offload_model", "")).strip().lower() or "false"
    if offload not in _TRUE + _FALSE:
        problems.append(invalid_value("offload_model", raw.get("offload_model"), "true or false"))
    numbers = {}
    for option, meaning in (("processes", "what the configuration needs"), ("at_once", "what the GPUs allow")):
        number = parse_integer(raw.get(option) or 0)
        if number is None or number < 0:
            problems.append(invalid_value(option, raw.get(option), f"a whole number; 0 for {meaning}"))
        numbers[option] = number or 0
    if problems:
        return None, problems
    return Execution(offload in _TRUE, numbers["processes"], numbers["at_once"]), []


def is_parallel(config: str) -> bool:
    """Return whether the processes of a configuration share the work on one video."""
    return "768px" in config or config.endswith("_tp")


def resolve_processes(config: str, wanted: int, gpu_count: int) -> tuple[int, list[Problem]]:
    """Return the number of processes for each video, each of which has a GPU of its own.

    A parallel configuration takes every GPU that it sees into its groups, whatever number of processes it is told; it
    is shown as many as it has processes.

    Args:
        config: Configuration of the application.
        wanted: ``Execution.processes``.
        gpu_count: GPUs reserved for the service.
    """
    if not is_parallel(config):
        if wanted > 1:
            return wanted, [
                invalid_value(
                    "processes", wanted, f"1 with {config}: several would render the same video several times"
                )
            ]
        count = 1
    else:
        count = wanted or max(group for group in _GROUPS if group <= max(1, gpu_count))
    if count > gpu_count:
        return count, [invalid_value("processes", count, f"at most {gpu_count}, the GPUs reserved for the service")]
    if count not in _GROUPS:
        allowed = f"one of {', '.join(map(str, _GROUPS))}: {config} splits channels that are powers of two"
        return count, [invalid_value("processes", count, allowed)]
    return count, []


def places(gpus: Sequence[str], processes: int, execution: Execution) -> list[tuple[str, ...]]:
    """Return the GPUs of each place where a video can be made at the same time as the others.

    Args:
        gpus: UUIDs of the service.
        processes: Processes for each video.
        execution: How the videos are made.
    """
    count = len(gpus) // processes
    # Offloaded parts live in the host's memory, which several copies of the model would fill.
    most = execution.at_once or (1 if execution.offload_model else count)
    return [tuple(gpus[place * processes : (place + 1) * processes]) for place in range(max(1, min(count, most)))]


def request_identifier(request: Request, image: str) -> str:
    """Return the name of a video's folder: the same for what looks the same, and only then.

    Neither the number of GPUs nor offloading nor the user's name for the video change what it shows, so a video that
    one host made is not made again on another one.

    Args:
        request: The request.
        image: Identity of the image, since another version of the application renders something else.
    """
    shown = [request.prompt, request.config, request.seed, request.num_frames, request.aspect_ratio, request.picture]
    text = json.dumps([*shown, image])
    return f"{request.config}-{request.seed}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def file_stem(request: Request, identifier: str) -> str:
    """Return the name of a video's files on the control node, without suffix."""
    return f"{request.name}-{identifier}" if request.name else identifier


def build_command(request: Request, execution: Execution, processes: int, folder: str) -> list[str]:
    """Return the command for all videos that differ from a request in their prompts and pictures only.

    No shell reads it. The prompts stand in a table, since the application copies the one of its command line into a
    table of its own without minding quotes.

    Args:
        request: One of the requests.
        execution: How they are made.
        processes: Number of processes.
        folder: Folder in the container that holds the table and gets the videos.
    """
    command = ["torchrun", "--nproc_per_node", str(processes), "--standalone", f"{folder}/{LAUNCHER_FILE}"]
    command += [_APPLICATION, f"configs/diffusion/inference/{request.config}.py"]
    command += ["--dataset.data-path", f"{folder}/{TABLE_FILE}", "--save-dir", folder]
    command += ["--sampling_option.seed", str(request.seed), "--seed", str(request.seed)]
    if request.picture:
        command += ["--cond_type", "i2v_head"]
    if request.num_frames is not None:
        command += ["--num_frames", str(request.num_frames)]
    if request.aspect_ratio is not None:
        command += ["--aspect_ratio", request.aspect_ratio]
    if execution.offload_model:
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
    (r"No space left on device", "generation.disk_full", "Make room in the samples folder or the cache of the host."),
    (
        r"cannot identify image file|UnidentifiedImageError",
        "generation.picture_unreadable",
        "Save the picture again as PNG or JPEG.",
    ),
)
# Whoever has the same options meets these again, whatever the prompt.
_OF_THE_OPTIONS = frozenset(code for _, code, _ in _FAILURES) - {"generation.picture_unreadable"}
_TIME_LIMIT_EXIT_CODES = (124, 137)


def failure(output: str, exit_code: int) -> Problem:
    """Return why a generation failed.

    Args:
        output: Last lines of the application.
        exit_code: Of the application.
    """
    lines = tuple(line.rstrip() for line in output.splitlines() if line.strip())[-40:]
    message = f"the application ended with exit code {exit_code}"
    if exit_code in _TIME_LIMIT_EXIT_CODES:
        message += " (the time limit, or killed for want of host memory)"
    for pattern, code, advice in _FAILURES:
        hit = next((line.strip() for line in reversed(lines) if re.search(pattern, line)), None)
        if hit:
            return Problem("application", code, "error", f"{message}: {hit}", advice, lines)
    last = next((line.strip() for line in reversed(lines) if re.match(r"\w*(\.\w+)*(Error|Exception)\b", line)), "")
    message += f": {last}" if last else ""
    return Problem("application", "generation.failed", "error", message, "Read the application's last lines.", lines)


def concerns_options(problem: Problem) -> bool:
    """Return whether a failure would meet every prompt with the same options."""
    return problem.code in _OF_THE_OPTIONS


def invalid_value(option: str, value: object, allowed: str) -> Problem:
    """Return the problem of an option that was typed on the command line."""
    return replace(invalid_variable(option, value, allowed), next_action=f"Run again with another -e {option}=...")


def _refused_frames(frames: int | None, config: str) -> str:
    """Return what would be allowed when a number of frames is not, or an empty text."""
    if frames == 1:
        return "5 or more; with 1 the application makes a picture"
    if config == "high_compression":
        is_allowed = frames is not None and 1 < frames <= _MAXIMUM_FRAMES_HIGH_COMPRESSION and frames % 4 in (0, 1)
        return "" if is_allowed else f"4k or 4k+1 up to {_MAXIMUM_FRAMES_HIGH_COMPRESSION}, such as 64, 128"
    is_allowed = frames is not None and 1 < frames <= _MAXIMUM_FRAMES and frames % 4 == 1
    return "" if is_allowed else f"4k+1 up to {_MAXIMUM_FRAMES}, such as 17, 49, 129"


def _refused_prompt(prompt: str) -> str:
    """Return what would be allowed when a prompt can't be passed on as it is, or an empty text."""
    if not prompt:
        return "a text, such as -e prompt=\"'raining, sea'\""
    if "\0" in prompt:
        return "a text without null characters"
    if len(prompt) > _MAXIMUM_PROMPT:
        return f"at most {_MAXIMUM_PROMPT} characters; the text encoder reads the first 512 tokens"
    if prompt.lower() in _NO_TEXT:
        return "more than this one word, which the application doesn't take as text"
    try:
        float(prompt)
    except ValueError:
        return ""
    return "a text; the application takes this one for a number"
