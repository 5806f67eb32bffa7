# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What the check of a Dockerfile can find, and how a finding is told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible.module_utils.opensora.problems import Problem, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

# An error gives no image, a wrong image, or an image that gives a secret away. Everything else is a warning.
SEVERITIES: dict[str, Severity] = {
    "syntax": "error",
    "unquoted_bound": "error",
    "build_isolation": "error",
    "torch_missing": "error",
    "compiler_missing": "error",
    "cuda_contradiction": "error",
    "argument_undeclared": "error",
    "source_missing": "error",
    "allocator": "error",
    "secret": "error",
    "second_index": "warning",
    "torch_not_pinned": "warning",
    "argument_unused": "warning",
    "argument_overridden": "warning",
    "variable_undefined": "warning",
    "environment": "warning",
    "environment_twice": "warning",
    "whole_context": "warning",
    "cache_order": "warning",
    "apt_update_alone": "warning",
    "apt_lists_kept": "warning",
    "secret_argument": "warning",
    "frontend": "warning",
    "moving_tag": "warning",
    "root_user": "warning",
    "entrypoint": "warning",
}
WARNINGS = tuple(code for code, severity in SEVERITIES.items() if severity == "warning")
# Tokens by their makers' own prefixes, and a password in an address.
_TOKENS = re.compile(
    r"\bhf_[A-Za-z0-9]{20,}|\bgh[opsur]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bA[KS]IA[A-Z0-9]{16}\b"
    r"|\bsk-[A-Za-z0-9_-]{24,}|\bxox[abprs]-[\w-]{10,}|\beyJ[\w-]{16,}\.[\w-]{16,}\.[\w-]{8,}"
    r"|(?<=://)[^\s/:@$'\"{}<>]+:[^\s/@$'\"{}<>]+(?=@)"
)
_LONGEST_LINE = 160


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong in a Dockerfile.

    Attributes:
        code: Key of SEVERITIES.
        line: Line of the file.
        what: What is wrong and why, in one sentence.
        fix: What to write instead, in one sentence.
    """

    code: str
    line: int
    what: str
    fix: str

    @property
    def severity(self) -> Severity:
        """``error`` or ``warning``."""
        return SEVERITIES[self.code]


def has_token(text: str) -> bool:
    """Return whether a text holds a token or a password of a known form."""
    return bool(_TOKENS.search(text))


def without_tokens(text: str) -> str:
    """Return a text with tokens and passwords replaced."""
    return _TOKENS.sub("***", text)


def as_problem(finding: Finding, name: str, lines: Sequence[str]) -> Problem:
    """Return a finding in the shape of all problems.

    Args:
        finding: The finding.
        name: Name of the file.
        lines: Its lines; those that hold a secret are empty, and so they are not shown.
    """
    text = lines[finding.line - 1].strip() if 0 < finding.line <= len(lines) else ""
    shown = without_tokens(text)
    if len(shown) > _LONGEST_LINE:
        shown = f"{shown[: _LONGEST_LINE - 3]}..."
    return Problem(
        layer="configuration",
        code=f"dockerfile.{finding.code}",
        severity=finding.severity,
        message=f"{name}:{finding.line}: {without_tokens(finding.what)}",
        next_action=finding.fix,
        evidence=(f"{finding.line} | {shown}",) if shown else (),
    )
