# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The one shape of everything that can be wrong on a host."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Layer = Literal[
    "configuration",
    "connection",
    "pci",
    "firmware",
    "kernel_module",
    "userspace",
    "fabric",
    "packages",
    "toolkit",
    "engine",
    "disk",
    "network",
    "image",
    "compose",
    "application",
]
LAYERS: tuple[str, ...] = get_args(Layer)  # from below
Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, in the first layer that is broken.

    Attributes:
        layer: The layer that is broken, not the one that shows the last symptom.
        code: Stable dotted name, ``<subject>.<what>``, such as ``driver.loaded_differs``.
        severity: ``error`` stops a run, ``warning`` is shown.
        message: What is wrong and which object, in one sentence.
        next_action: What to do next, in one sentence.
        evidence: The lines that show it; empty when there is nothing more to show.
    """

    layer: Layer
    code: str
    severity: Severity
    message: str
    next_action: str
    evidence: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the problem as plain data for a module result."""
        return {**asdict(self), "evidence": list(self.evidence)}


def invalid_value(variable: str, value: object, allowed: str) -> Problem:
    """Return the problem of a variable whose value is not allowed.

    Args:
        variable: Name of the variable as the user writes it.
        value: The value that was found.
        allowed: What is allowed, completing "allowed is ...".
    """
    return Problem(
        layer="configuration",
        code="variable.invalid",
        severity="error",
        message=f"{variable} is {value!r}, allowed is {allowed}",
        next_action=f"Correct {variable} in the inventory of this host and run again.",
    )


def describe(problem: dict[str, Any]) -> str:
    """Return one problem as indented text for a failure message."""
    lines = [f"[{problem['layer']}] {problem['message']} ({problem['code']})"]
    lines += [f"    | {line}" for line in problem.get("evidence", [])]
    lines.append(f"    -> {problem['next_action']}")
    return "\n".join(lines)


def report(problems_of: dict[str, list[dict[str, Any]]], severity: Severity) -> str:
    """Return the problems of one severity of all hosts as text, hosts with the same problem named together.

    Args:
        problems_of: Problems by host name.
        severity: Which of them to show.

    Returns:
        Empty text when there is nothing to show.
    """
    hosts_of: dict[str, list[str]] = {}
    for host, problems in problems_of.items():
        for problem in problems:
            if problem["severity"] == severity:
                hosts = hosts_of.setdefault(describe(problem), [])
                if host not in hosts:
                    hosts.append(host)
    return "\n\n".join(f"{', '.join(hosts)}: {text}" for text, hosts in hosts_of.items())
