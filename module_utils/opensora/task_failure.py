# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Name the layer of a task that failed without naming one: Ansible's own modules know nothing of layers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.opensora.build_failure import classify_failure
from ansible.module_utils.opensora.connection import unreadable_host
from ansible.module_utils.opensora.problems import LAYERS, Layer, Problem

# The layer that a role owns: where nothing else is known, what it was doing is what is broken.
ROLE_LAYERS: dict[str, Layer] = {
    "gpu_host": "connection",
    "site_trust": "network",
    "package_manager": "packages",
    "nvidia_driver": "kernel_module",
    "docker_engine": "engine",
    "nvidia_container_toolkit": "toolkit",
    "opensora_image": "image",
    "opensora_checkpoint": "application",
    "opensora_service": "compose",
    "opensora_status": "application",
}
# Tasks whose message this project wrote itself: a confirmation that is missing breaks no layer.
_OWN_WORDS = ("assert", "fail", "opensora_doctor_report", "opensora_preflight_report")
_NAMED = re.compile(rf"\[(?:{'|'.join(LAYERS)})\] ")
_EVIDENCE_LINES = 8

# (pattern of the text, layer, code, what to do). The order goes from the cause to the symptom.
_RULES: tuple[tuple[str, Layer, str, str], ...] = (
    (
        r"no space left on device|\bENOSPC\b|disk quota exceeded|not enough free space",
        "disk",
        "disk.full",
        "Free bytes and inodes on the host (`df -h`, `df -i`) and run again.",
    ),
    (
        (
            r"dpkg was interrupted|sub-process /usr/bin/dpkg (?:returned|received)|post-installation script subprocess"
            r"|could not get lock|unable to acquire the dpkg|unmet dependencies|held broken packages"
        ),
        "packages",
        "packages.change_failed",
        "Run again: the next run finishes what dpkg was doing. `dpkg --audit` on the host says what is left.",
    ),
    (
        r"release file for \S+ (?:is not valid yet|is expired)|certificate is not yet valid|certificate has expired",
        "network",
        "network.certificate_time",
        "Compare the clocks of the host and the server (`date`, `timedatectl`); then look at the certificate's dates.",
    ),
    (
        (
            r"failed to fetch|could not resolve|temporary failure (?:in name resolution|resolving)|unable to connect to"
            r"|failed to update apt cache|some index files failed to download|connection (?:refused|reset|timed out)"
            r"|could not connect|\b50[0234] |max retries exceeded|network is unreachable|no route to host"
        ),
        "network",
        "network.server_failed",
        "Look whether the host reaches the server that the lines name, and run again.",
    ),
    (
        r"cannot connect to the docker daemon|is the docker daemon running|docker\.sock",
        "engine",
        "engine.unreachable",
        "Look at `systemctl status docker` and `journalctl -u docker` on the host, and run again.",
    ),
    (
        r"could not be (?:installed|exchanged): ",
        "packages",
        "packages.not_installed",
        "Read what the package manager said, correct it and run again.",
    ),
)


def names_layer(text: str) -> bool:
    """Return whether a message names a layer already."""
    return bool(_NAMED.search(text))


def failed_task_problem(result: Mapping[str, Any], task: str, role: str, module: str) -> Problem | None:
    """Return the problem behind a task that failed or could not reach its host.

    Args:
        result: Result of the task.
        task: Its name.
        role: Name of its role; empty for a task of a playbook.
        module: What it runs, with or without its collection.

    Returns:
        None for a task whose message names the layer or has none to name; the problem that a module returned beside
        another message.
    """
    items = [item for item in result.get("results") or [] if isinstance(item, dict)]
    results: list[Mapping[str, Any]] = [item for item in items if _is_failure(item)] or [result]
    text = "\n".join(_text_of(item) for item in results)
    if names_layer(text):
        return None
    known = [problem for item in results for problem in item.get("problems") or [] if problem["severity"] == "error"]
    if known:
        return Problem(**{**known[0], "evidence": tuple(known[0]["evidence"])})
    unreachable = next((item for item in results if item.get("unreachable")), None)
    if unreachable is not None:
        return unreadable_host(unreachable)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = lines[0] if lines else "it said nothing"
    shown = tuple(lines[1:])[-_EVIDENCE_LINES:]
    message = f"'{task}' failed: {said}"
    for pattern, layer, code, action in _RULES:
        if re.search(pattern, text, re.IGNORECASE):
            return Problem(layer, code, "error", message, action, shown)
    cause = classify_failure(lines)
    if module.rpartition(".")[2] in _OWN_WORDS:
        return None
    layer = ROLE_LAYERS.get(role, "configuration")
    if cause.code != "unknown" and cause.layer in ("disk", "network"):
        layer = cause.layer
    action = "Read the lines of the task above; run again when the cause is gone."
    return Problem(layer, "task.failed", "error", message, action, shown)


def _is_failure(item: Mapping[str, Any]) -> bool:
    return bool(item.get("failed") or item.get("unreachable"))


def _text_of(result: Mapping[str, Any]) -> str:
    keys = ("msg", "stderr", "module_stderr", "module_stdout", "stdout")
    return "\n".join(str(result[key]) for key in keys if result.get(key))
