# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""How values of an inventory have to look before they reach a file or a command: addresses, paths, packages, versions.

They are written into sources and settings of the package manager, Dockerfiles and command lines. A value that could be
read there as more than itself is refused by the name of its variable.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.problems import Problem, invalid_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LOGIN_IN_ADDRESS = "variable.login_in_address"  # code of the problem

_LONGEST_ADDRESS = 2000
_LONGEST_PATH = 4096
# The kernel takes no longer argument or variable of a command.
_LONGEST_TEXT = 131_072 // 2

# No quote, blank, backslash, semicolon and no other character that a shell, apt or Docker gives a meaning of its own.
_ADDRESS = re.compile(
    r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?"
    r"(?:[/?#][A-Za-z0-9._~%+,=&@:/?#-]*)?"
)
_LOGIN = re.compile(r"://[^/\s@]*@")
# Of a registry or a proxy without its scheme; an image by its digest is none.
_LOGIN_WITHOUT_SCHEME = re.compile(r"[^/\s:@]+:[^/\s@]+@(?!sha256:)")
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._+@/-]*")
_LINE_ENDS = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_UNPRINTABLE = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f\ud800-\udfff]")

PACKAGE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._+-]*(?::[a-z0-9]+)?(?:=[A-Za-z0-9][A-Za-z0-9.+:~-]*|/[A-Za-z0-9][A-Za-z0-9.-]*)?"
)
PACKAGE_VERSION = re.compile(r"[0-9][0-9A-Za-z.+:~-]*")
PYTHON_VERSION = r"[0-9A-Za-z][0-9A-Za-z.!+_-]*"
PYTHON_PIN = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]*=={PYTHON_VERSION}")
PYTHON_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*(?::[A-Za-z_][A-Za-z0-9_]*)?")


def holds_login(text: str) -> bool:
    """Return whether a text holds an address with a name or a password in it."""
    return _LOGIN.search(text) is not None


def begins_with_login(text: str) -> bool:
    """Return whether what should be a server or its address begins with a name and a password."""
    return _LOGIN_WITHOUT_SCHEME.match(text) is not None


def address_problems(
    variable: str, value: object, allowed: str = "an http or https address", fields: Mapping[str, str] | None = None
) -> list[Problem]:
    """Return what is wrong with the address of a server.

    Args:
        variable: Name of the variable as the user writes it.
        value: Its value.
        allowed: What is allowed, completing "allowed is ...".
        fields: What stands for the fields that this address may have, such as ``$(ARCH)``.
    """
    text = str(value)
    if holds_login(text) or begins_with_login(text):
        return [login_problem(variable)]
    plain = text
    for field, example in (fields or {}).items():
        plain = plain.replace(field, example)
    if len(text) > _LONGEST_ADDRESS or not _ADDRESS.fullmatch(plain):
        return [invalid_value(variable, shortened(text), allowed)]
    return []


def proxy_problems(proxies: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with the site's proxies, for a role that is given them.

    Args:
        proxies: ``http_proxy`` and ``https_proxy``, which may be absent or empty; others are not looked at.
    """
    allowed = "an address with http:// or https://, or empty"
    return [
        problem
        for name in ("http_proxy", "https_proxy")
        if proxies.get(name)
        for problem in address_problems(f"site_trust_{name}", proxies[name], allowed)
    ]


def login_problem(variable: str) -> Problem:
    """Return the problem of an address with a login in it, without the address.

    Args:
        variable: Name of the variable as the user writes it.
    """
    return Problem(
        layer="configuration",
        code=LOGIN_IN_ADDRESS,
        severity="error",
        message=f"{variable} holds an address with a login; it would be seen in process lists, logs and files that "
        "everyone may read",
        next_action="Use an address without a login; docs/security.md says where each login goes instead.",
    )


def path_problems(variable: str, value: object, *, plain: bool = False, allowed: str = "") -> list[Problem]:
    """Return what is wrong with the path of a folder or file of a host.

    Args:
        variable: Name of the variable as the user writes it.
        value: Its value.
        plain: Whether only letters, digits and ``._+@-`` may stand in its names, because a shell reads it.
        allowed: What is allowed besides, completing "allowed is ...".
    """
    text = str(value)
    is_path = (
        text.startswith("/")
        and text.strip("/")
        and ".." not in text.split("/")
        and len(text) <= _LONGEST_PATH
        and not _LINE_ENDS.search(text)
        and not _UNPRINTABLE.search(text)
    )
    if is_path and not (plain and not _PLAIN_PATH.fullmatch(text)):
        return []
    words = "an absolute path without '..'" + (", of letters, digits and ._+@-" if plain else "")
    return [invalid_value(variable, shortened(text), words + allowed)]


def shortened(text: str) -> str:
    """Return a value as a message shows it, without the rest of a very long one."""
    limit = 200
    return text if len(text) <= limit else f"{text[:limit]}..."


def text_faults(value: Any, *, lines: bool) -> Iterator[str]:
    """Yield what no text of a variable may hold, wherever in the value it stands.

    Args:
        value: A text, or a list or mapping with texts in it.
        lines: Whether a text may have several lines.
    """
    if isinstance(value, str):
        if _UNPRINTABLE.search(value):
            yield "text without control characters"
        elif len(value) > _LONGEST_TEXT:
            yield f"text of up to {_LONGEST_TEXT} characters"
        elif not lines and _LINE_ENDS.search(value):
            yield "text of one line"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from text_faults(key, lines=False)
            yield from text_faults(item, lines=lines)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from text_faults(item, lines=lines)


def has_login(value: Any) -> bool:
    """Return whether an address with a login stands anywhere in a value."""
    if isinstance(value, str):
        return holds_login(value)
    if isinstance(value, dict):
        return any(has_login(item) for pair in value.items() for item in pair)
    return isinstance(value, (list, tuple)) and any(has_login(item) for item in value)
