# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What the argument spec of a role says of one variable, in words a user understands."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from ansible.module_utils.opensora.problems import Problem
from ansible.module_utils.opensora.value_syntax import has_login, login_problem, text_faults

TYPES = {
    "bool": "true or false",
    "dict": "a mapping",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "path": "a path",
    "str": "a string",
}


def allowed_by(option: Mapping[str, Any]) -> str:
    """Return what an option of an argument spec allows, completing "allowed is ...".

    Args:
        option: The option's entry in ``meta/argument_specs.yml``.
    """
    if option.get("choices"):
        return "one of " + ", ".join(str(choice) for choice in option["choices"])
    kind = str(option.get("type", "str"))
    if kind != "list":
        return TYPES.get(kind, kind)
    elements = str(option.get("elements", "str"))
    if not option.get("options"):
        return f"a list, each item {TYPES.get(elements, elements)}"
    keys = ", ".join(
        name + (" (required)" if entry.get("required") else "") for name, entry in option["options"].items()
    )
    return f"a list, each item a mapping with the keys {keys}"


# Commands, whose words may be scripts, and what a user brings as a whole.
_SEVERAL_LINES = frozenset(
    {
        "docker_engine_daemon_config",
        "opensora_image_build_arguments",
        "opensora_image_build_secrets",
        "opensora_service_command",
        "opensora_service_environment",
        "opensora_service_health_command",
        "opensora_service_instances",
        "opensora_service_proof_command",
        "opensora_service_secrets",
        "site_trust_ca_certificates",
    }
)


def text_problems(name: str, value: Any, *, is_secret: bool) -> list[Problem]:
    """Return what is wrong with the texts of a variable, whatever it is for.

    Args:
        name: Name of the variable.
        value: Its value.
        is_secret: Whether the value is a secret, in which everything may stand that a file can hold.
    """
    if not is_secret and has_login(value):
        return [login_problem(name)]
    return [
        Problem(
            layer="configuration",
            code="variable.invalid",
            severity="error",
            message=f"{name} has a value that no file and no command can hold, allowed is {fault}",
            next_action=f"Correct {name} in the inventory of this host and run again.",
        )
        for fault in dict.fromkeys(text_faults(value, lines=name in _SEVERAL_LINES))
    ]


def unknown_variables(names: Collection[str], known: Collection[str], prefix: str) -> list[Problem]:
    """Return a problem for each name that carries a role's prefix but is no variable of that role.

    A misspelled variable would otherwise be ignored without a word.

    Args:
        names: Every variable name that is defined for the host.
        known: The names of the role's argument spec and of the facts it sets.
        prefix: The role's name followed by an underscore.
    """
    problems = []
    for name in sorted(names):
        if not name.startswith(prefix) or name in known:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        meant = f"Did you mean {close[0]}? " if close else ""
        problems.append(
            Problem(
                layer="configuration",
                code="variable.unknown",
                severity="error",
                message=f"{name} is not a variable of the role {prefix[:-1]}",
                next_action=f"{meant}Its variables stand in roles/{prefix[:-1]}/README.md.",
            )
        )
    return problems
