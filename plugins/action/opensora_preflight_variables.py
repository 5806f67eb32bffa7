# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Check a host's variables against the argument specs of all roles, on the control node, and collect every fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ansible.module_utils
import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

# Ansible adds module_utils/ of a project for modules only; an action plugin runs on the controller.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora.problems import Problem  # noqa: E402  the path has to be known first
from ansible.module_utils.opensora.variables import allowed_by, text_problems, unknown_variables  # noqa: E402  the path has to be known first

# Facts and arguments that roles hand to each other; they carry a role's prefix and are nobody's to set.
HANDED_OVER = frozenset(
    {"docker_engine_requested_config", "gpu_host_refresh", "opensora_image_result", "opensora_service_result"}
)


class ActionModule(ActionBase):
    """Returns ``problems`` and ``roles_with_problems``; never fails because of a value."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check every variable of every role named in the task."""
        super().run(tmp, task_vars)
        del tmp
        variables = task_vars or {}
        _, arguments = self.validate_argument_spec({"roles": {"type": "list", "elements": "str", "required": True}})
        specs: dict[str, dict[str, Any]] = {}
        defaults: dict[str, Any] = {}
        for role in arguments["roles"]:
            folder = self._role_folder(role)
            specs[role] = yaml.safe_load((folder / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]
            defaults.update(yaml.safe_load((folder / "defaults/main.yml").read_text()) or {})
        templar = self._templar.copy_with_new_env(available_variables={**defaults, **variables})

        problems: dict[str, list[Problem]] = {}
        for role, spec in specs.items():
            options = spec.get("options", {})
            found = unknown_variables(list(variables), HANDED_OVER | options.keys(), f"{role}_")
            for name, option in options.items():
                if name in variables:
                    found += self._check(name, option, variables[name], templar)
            if found:
                problems[role] = found
        found = [problem for of_role in problems.values() for problem in of_role]
        # Other roles and the questions to servers are given such an address too, and would show it.
        is_quiet = any(problem.code == "variable.login_in_address" for problem in found)
        return {
            "changed": False,
            "problems": [problem.as_dict() for problem in found],
            "roles_with_problems": list(specs) if is_quiet else list(problems),
        }

    def _role_folder(self, role: str) -> Path:
        """Return the folder of a role of this project."""
        folder = Path(self._loader.path_dwim("")).parent / "roles" / role
        if not folder.is_dir():
            raise AnsibleError(f"roles: there is no role {role!r} at {folder}")
        return folder

    @staticmethod
    def _check(name: str, option: dict[str, Any], value: Any, templar: Any) -> list[Problem]:
        """Return the problems of one variable."""
        try:
            value = templar.template(value)
        except AnsibleError as error:
            shown, reasons = value, [str(error)]
        else:
            shown = value
            reasons = ArgumentSpecValidator({name: option}).validate({name: value}).error_messages
            if not reasons:
                return text_problems(name, value, is_secret=bool(option.get("no_log")))
        is_text = f"is {shown!r}" if not option.get("no_log") else "has a value that is not shown"
        return [
            Problem(
                layer="configuration",
                code="variable.invalid",
                severity="error",
                message=f"{name} {is_text}, allowed is {allowed_by(option)}",
                next_action=f"Correct {name} in the inventory of this host and run again.",
                evidence=() if option.get("no_log") else tuple(reasons),
            )
        ]
