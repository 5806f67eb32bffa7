# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Why a host could not be read at all: connection, sudo or Python."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.opensora.problems import Problem

EVIDENCE_LINES = 6

# pattern of the failure's text, code, what is wrong, what to do
CAUSES: tuple[tuple[str, str, str, str], ...] = (
    (
        r"future feature annotations is not defined|requires a minimum of Python|invalid syntax|SyntaxError",
        "connection.python_too_old",
        "The Python that Ansible found on this host is too old",
        "Install Python 3.9 or newer and name it with ansible_python_interpreter.",
    ),
    (
        r"No python interpreters found|/python\S*: (not found|No such file)|command not found.*python",
        "connection.python_missing",
        "There is no Python on this host",
        "Install the package python3, or name an interpreter with ansible_python_interpreter.",
    ),
    (
        r"must have a tty to run sudo",
        "connection.requiretty",
        "sudo on this host wants a terminal",
        "Remove `Defaults requiretty` from sudoers, or set ansible_pipelining: false and `ansible_ssh_args: -tt`.",
    ),
    (
        r"[Mm]issing sudo password|[Ii]ncorrect sudo password|a password is required|Timeout.*waiting for privilege",
        "connection.sudo_password",
        "sudo on this host asks for a password",
        "Run with --ask-become-pass, or allow this user to use sudo without a password.",
    ),
    (
        r"Permission denied \(|Host key verification|Connection (refused|timed out)|resolve hostname|No route to host",
        "connection.unreachable",
        "The host can't be reached over SSH",
        "Try `ssh` with the same address, user and key; leave the host out with --limit '!HOST' to go on without it.",
    ),
)


def unreadable_host(result: Mapping[str, Any]) -> Problem:
    """Return the problem that a failed or unreachable result describes.

    Args:
        result: The result of the task that should have read the host.
    """
    text = "\n".join(str(result[key]) for key in ("msg", "module_stderr", "module_stdout") if result.get(key))
    lines = tuple(line.strip() for line in text.splitlines() if line.strip())[-EVIDENCE_LINES:]
    for pattern, code, message, action in CAUSES:
        if re.search(pattern, text):
            return Problem("connection", code, "error", message, action, lines)
    if result.get("unreachable"):
        _, code, message, action = CAUSES[-1]
        return Problem("connection", code, "error", message, action, lines)
    return Problem(
        layer="connection",
        code="connection.unreadable",
        severity="error",
        message="Reading the host failed",
        next_action="Run again with -vvv --limit this host; the first traceback names the cause.",
        evidence=lines,
    )
