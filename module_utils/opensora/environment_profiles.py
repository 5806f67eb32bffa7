# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Environment of the service: named profiles as data with a reason for each value, and the check of everything else."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ansible.module_utils.opensora.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE = "opensora_service_environment"


@dataclass(frozen=True)
class Setting:
    """One value of a profile.

    Attributes:
        name: Name of the environment variable, or of the generation option.
        value: Its value.
        reason: Why it is set.
        source: Where the reason comes from.
    """

    name: str
    value: str
    reason: str
    source: str


@dataclass(frozen=True)
class Profile:
    """A named environment.

    Attributes:
        description: What it is for.
        variables: The environment of the container.
        generation: Options that ``playbooks/generate.yml`` uses unless told otherwise.
        network_mode: ``bridge``, or ``host`` where traffic between machines needs it.
    """

    description: str
    variables: tuple[Setting, ...]
    generation: tuple[Setting, ...] = field(default=())
    network_mode: str = "bridge"


_UNBUFFERED = Setting(
    "PYTHONUNBUFFERED", "1", "log lines appear when they are written, not when a buffer is full", "Python documentation"
)
_SEGMENTS = Setting(
    "PYTORCH_CUDA_ALLOC_CONF",
    "expandable_segments:True",
    "less fragmentation at no cost: 0.0818 s a step against 0.0820 s bare, measured on an H100",
    "PyTorch notes on CUDA memory management; own measurement",
)
_QUIET_NCCL = Setting("NCCL_DEBUG", "WARN", "faults are logged, INFO is noise in every line", "NCCL documentation")

PROFILES: dict[str, Profile] = {
    "performance": Profile("One machine, full speed.", (_UNBUFFERED, _SEGMENTS, _QUIET_NCCL)),
    "low_memory": Profile(
        "Cards on which a run dies for want of memory.",
        (
            _UNBUFFERED,
            _SEGMENTS,
            _QUIET_NCCL,
            Setting(
                "MALLOC_ARENA_MAX",
                "2",
                "parts of the model that are offloaded live in host memory; fewer arenas leave less of it unused",
                "mallopt(3), M_ARENA_MAX",
            ),
        ),
        generation=(
            Setting(
                "offload_model",
                "true",
                "text encoders and autoencoder leave the GPU while they are not needed",
                "Open-Sora README and issue 808",
            ),
        ),
    ),
    "debug": Profile(
        "Finding a fault; slower on purpose.",
        (
            _UNBUFFERED,
            _SEGMENTS,
            Setting(
                "CUDA_LAUNCH_BLOCKING",
                "1",
                "an error names the kernel that caused it; 11 % slower",
                "PyTorch documentation",
            ),
            Setting("TORCH_SHOW_CPP_STACKTRACES", "1", "errors carry the native stack", "PyTorch documentation"),
            Setting(
                "TORCH_DISTRIBUTED_DEBUG", "DETAIL", "collectives that don't match are named", "PyTorch documentation"
            ),
            Setting("NCCL_DEBUG", "INFO", "topology and transport of every communicator", "NCCL documentation"),
            Setting(
                "PYTHONFAULTHANDLER", "1", "a crash in native code prints the Python stack", "Python documentation"
            ),
        ),
    ),
    "multi_node": Profile(
        "One run over several machines; uses the network of the host.",
        (
            _UNBUFFERED,
            _SEGMENTS,
            _QUIET_NCCL,
            Setting(
                "NCCL_SOCKET_IFNAME",
                "^docker,br-,lo",
                "never the bridges of the engine (no route to a peer) nor the loopback device",
                "NCCL documentation; horovod issues 310 and 584",
            ),
            Setting(
                "TORCH_NCCL_ASYNC_ERROR_HANDLING",
                "1",
                "a peer that died ends the run instead of hanging it",
                "PyTorch documentation, torch.distributed",
            ),
        ),
        network_mode="host",
    ),
}

# name -> (profiles that may set it, why it is refused in the others)
_REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "PYTORCH_NO_CUDA_MEMORY_CACHING": (
        ("debug",),
        "it switches the caching allocator off, which is for finding faults: 37 % slower on an H100",
    ),
    "CUDA_LAUNCH_BLOCKING": (
        ("debug",),
        "it waits for every kernel, which is for finding faults: 11 % slower on an H100",
    ),
    "TORCH_USE_CUDA_DSA": (("debug",), "it is a switch for compiling PyTorch and does nothing at run time"),
    "CUDA_MEMORY_FRACTION": ((), "nothing reads it; 0.4 of a card could not hold the model anyway"),
    "NCCL_P2P_DISABLE": (
        ("debug",),
        "it forces traffic between GPUs through shared memory; NVIDIA lists it for debugging only",
    ),
    "NCCL_IB_DISABLE": (
        ("debug",),
        "it forces traffic between machines through TCP; NVIDIA lists it for debugging only",
    ),
    "NCCL_BLOCKING_WAIT": ((), "it is a deprecated name of PyTorch; write TORCH_NCCL_BLOCKING_WAIT"),
    "NCCL_ASYNC_ERROR_HANDLING": ((), "it is a deprecated name of PyTorch; write TORCH_NCCL_ASYNC_ERROR_HANDLING"),
    "CUDA_VISIBLE_DEVICES": ((), "it contradicts the reservation; choose the GPUs with opensora_service_gpus"),
    "NVIDIA_VISIBLE_DEVICES": ((), "the reservation sets it; choose the GPUs with opensora_service_gpus"),
    "NVIDIA_DRIVER_CAPABILITIES": ((), "the reservation sets it where the runtime needs it"),
    "OPENSORA_EXPECTED_GPUS": ((), "the role sets it from opensora_service_gpus"),
}
_SECRET = re.compile(r"(^|_)(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|(API|ACCESS|PRIVATE)_?KEY)($|_)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BOOLEANS = ("True", "False")

# The smallest value that PyTorch accepts: 2.4 wants more than 20, newer versions 20 or more.
_MINIMUM_SPLIT_MIB = 21


def render(profile: str, overrides: Mapping[str, object]) -> tuple[dict[str, str], list[Problem]]:
    """Return the environment of a container, and everything that is wrong with the overrides.

    Args:
        profile: Name of a profile.
        overrides: Variables of the user; they win over the profile. Integers are taken as text.
    """
    environment = {setting.name: setting.value for setting in PROFILES[profile].variables}
    problems = []
    for name, value in overrides.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            problems.append(_problem(str(name), value, "is not a valid name of an environment variable"))
        elif isinstance(value, bool) or not isinstance(value, (str, int, float)):
            problems.append(_problem(name, value, 'is not text; write the value in quotes, such as "1"'))
        elif is_secret_name(name):
            problems.append(
                _problem(name, None, "looks like a secret, which everyone who may inspect the container could read")
            )
        else:
            environment[name] = str(value)
            problems += [_problem(name, value, reason) for reason in check(name, str(value), profile)]
    return environment, problems


def check(name: str, value: str, profile: str) -> list[str]:
    """Return why a variable can't be set in a profile; nothing when it can.

    Args:
        name: Name of the variable.
        value: Its value.
        profile: Name of the profile.
    """
    profiles, reason = _REFUSED.get(name, ((profile,), ""))
    if profile not in profiles:
        only = f" (allowed with the profile {', '.join(profiles)})" if profiles else ""
        return [f"is refused: {reason}{only}"]
    if "\n" in value or "\0" in value:
        return ["has a line break"]
    if name in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"):
        return check_allocator(value)
    if name == "OMP_NUM_THREADS" and not (value.isdigit() and int(value) > 0):
        return ["is not a number of threads, 1 or more"]
    return []


def reason_against(name: str) -> str:
    """Return why a variable is refused where speed counts; empty for one that isn't.

    Args:
        name: Name of the variable.
    """
    profiles, reason = _REFUSED.get(name, (("performance",), ""))
    return "" if "performance" in profiles else reason


def is_secret_name(name: str) -> bool:
    """Return whether a variable looks like one that holds a secret."""
    return bool(_SECRET.search(name.upper()))


def check_allocator(value: str) -> list[str]:
    """Return what is wrong with an allocator configuration.

    Args:
        value: Value of PYTORCH_CUDA_ALLOC_CONF, such as ``expandable_segments:True``.
    """
    return [*fatal_in_allocator(value), *contradiction_in_allocator(value)]


def contradiction_in_allocator(value: str) -> list[str]:
    """Return which options of an allocator configuration don't belong together, although PyTorch takes them.

    Args:
        value: Value of PYTORCH_CUDA_ALLOC_CONF.
    """
    if "expandable_segments:True" not in value or "max_split_size_mb:" not in value:
        return []
    return [
        (
            "holds max_split_size_mb together with expandable_segments:True, two answers to the same problem "
            "that PyTorch's maintainers say don't belong together; keep expandable_segments:True"
        )
    ]


def fatal_in_allocator(value: str) -> list[str]:
    """Return what in an allocator configuration PyTorch doesn't take.

    ``import torch`` and ``torch.cuda.is_available()`` succeed with a wrong value; the process dies at the first use
    of CUDA. That is why it is checked before anything is started.

    Args:
        value: Value of PYTORCH_CUDA_ALLOC_CONF.
    """
    if re.search(r"['\"]", value):
        return ["has quotes, which PyTorch takes as part of the value"]
    # Blanks are skipped, measured with torch 2.11 on an H100.
    value = value.replace(" ", "")
    found: dict[str, str] = {}
    reasons = []
    # Lists in brackets hold commas of their own: roundup_power2_divisions:[256:1,512:2]
    for item in re.split(r",(?![^\[]*\])", value):
        key, colon, text = item.partition(":")
        if not colon:
            hint = f"; write {item.replace('=', ':', 1)}" if "=" in item else ""
            reasons.append(f"holds {item!r}, which is not KEY:VALUE{hint}")
        elif key not in _ALLOCATOR_OPTIONS:
            reasons.append(
                f"holds {key!r}, which PyTorch doesn't know; it knows {', '.join(sorted(_ALLOCATOR_OPTIONS))}"
            )
        elif key in found:
            reasons.append(f"holds {key} twice")
        elif not _ALLOCATOR_OPTIONS[key][0](text):
            reasons.append(f"holds {item}, allowed is {_ALLOCATOR_OPTIONS[key][1]}")
        found[key] = text
    return reasons


def _is_integer(minimum: int) -> Callable[[str], bool]:
    return lambda text: text.isdigit() and int(text) >= minimum


def _is_fraction(text: str) -> bool:
    return bool(re.fullmatch(r"0?\.\d+", text)) and float(text) > 0


def _is_boolean(text: str) -> bool:
    return text in _BOOLEANS


_ALLOCATOR_OPTIONS: dict[str, tuple[Callable[[str], bool], str]] = {
    "max_split_size_mb": (
        _is_integer(_MINIMUM_SPLIT_MIB),
        f"a whole number from {_MINIMUM_SPLIT_MIB}; smaller values end the process at its first use of CUDA",
    ),
    "expandable_segments": (_is_boolean, "True or False"),
    "garbage_collection_threshold": (_is_fraction, "a fraction between 0 and 1"),
    "backend": (lambda text: text in ("native", "cudaMallocAsync"), "native or cudaMallocAsync"),
    "roundup_power2_divisions": (
        lambda text: bool(re.fullmatch(r"\d+|\[[\d:,>]+\]", text)),
        "a number or [SIZE:N,...]",
    ),
    "release_lock_on_cudamalloc": (_is_boolean, "True or False"),
    "pinned_use_cuda_host_register": (_is_boolean, "True or False"),
    "pinned_num_register_threads": (_is_integer(1), "a whole number from 1"),
}


def _problem(name: str, value: object, reason: str) -> Problem:
    """Return the problem of one variable; the value of a secret is never shown."""
    shown = f"{VARIABLE}.{name}" + ("" if value is None else f" ({value!r})")
    advice = (
        "Give it to the process as a file that only the service's user can read."
        if value is None
        else f"Correct or remove it in {VARIABLE} of this host and run again."
    )
    return Problem("configuration", "environment.refused", "error", f"{shown} {reason}", advice)
