"""The examples of every module are tasks that the module accepts."""

from __future__ import annotations

import ast
import importlib
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator

from scripts.validate_modules import ACCEPTED, SET_BY_ACTION
from tests.unit.documentation.documents import ROOT

MODULES = sorted(path.stem for path in (ROOT / "library").glob("*.py"))
# What a task may say beside its module.
KEYWORDS = {"name", "become", "check_mode", "delegate_to", "loop", "register", "run_once", "vars", "when"}
PLACEHOLDERS: dict[str, Any] = {
    "bool": True,
    "int": 1,
    "float": 1.0,
    "str": "x",
    "path": "/x",
    "raw": "x",
    "list": [],
    "dict": {},
}


class SpecReadError(Exception):
    """Carries the arguments that a module gave to AnsibleModule."""


def specification(name: str) -> dict[str, Any]:
    """Return what a module tells AnsibleModule when it runs."""

    def tell(self: AnsibleModule, argument_spec: dict[str, Any], **more: Any) -> None:
        raise SpecReadError({"argument_spec": argument_spec, **more})

    with patch.object(AnsibleModule, "__init__", tell), pytest.raises(SpecReadError) as told:
        importlib.import_module(name).main()
    return told.value.args[0]


def documentation(name: str, block: str) -> Any:
    """Return a documentation block of a module, as data."""
    for node in ast.parse((ROOT / f"library/{name}.py").read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == block:
            return yaml.safe_load(ast.literal_eval(node.value))
    raise LookupError(block)


def filled_in(value: Any, option: dict[str, Any]) -> Any:
    """Return an argument with something of the right type in the place of templates."""
    if isinstance(value, str) and "{{" in value:
        return option["choices"][0] if "choices" in option else PLACEHOLDERS[option.get("type", "str")]
    suboptions = option.get("options", {})
    if isinstance(value, dict) and suboptions:
        return {key: filled_in(item, suboptions.get(key, {})) for key, item in value.items()}
    if isinstance(value, list):
        return [filled_in(item, {"type": option.get("elements", "str"), "options": suboptions}) for item in value]
    return value


def faults(name: str, task: dict[str, Any]) -> list[str]:
    """Return what is wrong with a task that uses a module."""
    unknown = sorted(task.keys() - KEYWORDS - {name})
    if unknown or name not in task:
        return [f"the task has {unknown} and not {name}"]
    told = specification(name)
    spec = dict(told["argument_spec"])
    for module, _, option in (key for key, reason in ACCEPTED.items() if reason == SET_BY_ACTION):
        if module == name:
            spec.pop(option, None)
    arguments = {key: filled_in(value, spec.get(key, {})) for key, value in (task[name] or {}).items()}
    rules = ("mutually_exclusive", "required_together", "required_one_of", "required_if", "required_by")
    validator = ModuleArgumentSpecValidator(spec, **{rule: told[rule] for rule in rules if rule in told})
    return list(validator.validate(arguments).error_messages)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    tasks = documentation(name, "EXAMPLES")
    assert tasks
    for task in tasks:
        assert task["name"][0].isupper()
        assert faults(name, task) == []


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"build_key": "x", "directory": "/x", "control_directory": "/x", "compresion": "zstd"},
        {"build_key": "x", "directory": "/x", "control_directory": "/x", "compression": "rar"},
        {"build_key": "x", "directory": "/x", "control_directory": "/x", "timeout": "an hour"},
    ],
)
def test_a_wrong_example_is_found(arguments: dict[str, Any]) -> None:
    assert faults("opensora_image_archive", {"name": "Fetch", "opensora_image_archive": arguments}) != []


def test_a_wrong_keyword_is_found() -> None:
    arguments = {"build_key": "x", "directory": "/x", "control_directory": "/x"}
    task = {"name": "Fetch", "opensora_image_archive": arguments}
    assert faults("opensora_image_archive", task) == []
    assert faults("opensora_image_archive", {**task, "delegated_to": "gpu01"}) != []
