"""Which variables there are, and what their values may be."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.opensora.generation import read_execution, read_request
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from tests.unit.documentation.documents import ROOT, head_of_playbook

_OF_A_VIDEO = ("config", "seed", "num_frames", "aspect_ratio", "prompt")
_OF_A_RUN = ("processes", "at_once", "offload_model")


@cache
def role_options() -> dict[str, dict[str, Any]]:
    """Return the argument specs of the variables of all roles."""
    options: dict[str, dict[str, Any]] = {}
    for path in sorted((ROOT / "roles").glob("*/meta/argument_specs.yml")):
        options.update(yaml.safe_load(path.read_text())["argument_specs"]["main"].get("options", {}))
    return options


@cache
def playbook_options(playbook: str) -> set[str]:
    """Return the variables that a playbook, or one that it imports, names in its head: ``-e NAME=``."""
    path = ROOT / playbook
    names = set(re.findall(r"-e (\w+)=", head_of_playbook(path)))
    for play in yaml.safe_load(path.read_text()):
        imported = play.get("ansible.builtin.import_playbook", play.get("import_playbook"))
        if imported:
            names |= playbook_options((path.parent / imported).resolve().relative_to(ROOT).as_posix())
    return names


def is_placeholder(value: object) -> bool:
    """Return whether a reader has to put something of his own there."""
    return isinstance(value, str) and bool(re.fullmatch(r"[A-Z]+(\.[a-z]+)?", value))


def faults(name: str, value: object, options: set[str] | None = None) -> list[str]:
    """Return what is wrong with a variable of an example.

    Args:
        name: Its name.
        value: Its value.
        options: Variables that are known beside those of the roles.
    """
    if name in role_options():
        if is_placeholder(value):
            return []
        option = role_options()[name]
        return [
            f"{name}: {message}"
            for message in ArgumentSpecValidator({name: option}).validate({name: rendered(value)}).error_messages
        ]
    if name not in (options or set()):
        return [f"{name}: there is no such variable"]
    if is_placeholder(value) or "|" in str(value):
        return []
    problems = []
    if name in _OF_A_VIDEO:
        problems = read_request({"prompt": "x", name: value})[1]
    elif name in _OF_A_RUN:
        problems = read_execution({name: value})[1]
    return [problem.message for problem in problems]


def rendered(value: object) -> object:
    """Return a value with what a vault holds filled in."""
    text = yaml.safe_dump(value)
    variables: dict[str, Any] = dict.fromkeys(re.findall(r"\bvault_\w+", text), "secret")
    variables["ansible_playbook_python"] = "/usr/bin/python3"

    def render(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: render(item) for key, item in part.items()}
        if isinstance(part, list):
            return [render(item) for item in part]
        if isinstance(part, str):
            return Templar(loader=DataLoader(), variables=variables).template(trust_as_template(part))
        return part

    return render(value)
