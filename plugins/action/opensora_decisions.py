# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Check a host's variables against the argument specs of roles and take their decisions, all on the control node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ansible.module_utils
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

# Ansible adds module_utils/ of a project for modules only; an action plugin runs on the controller.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora.problems import Problem, describe  # noqa: E402  the path has to be known first
from ansible.module_utils.opensora.value_syntax import LOGIN_IN_ADDRESS  # noqa: E402
from ansible.module_utils.opensora.variables import allowed_by, text_problems, unknown_variables  # noqa: E402

# Facts and arguments that roles hand to each other; they carry a role's prefix and are nobody's to set.
HANDED_OVER = frozenset(
    {"docker_engine_requested_config", "gpu_host_refresh", "opensora_image_result", "opensora_service_result"}
)


class ActionModule(ActionBase):
    """Decides for several roles in one step; a role on its own decides by the same expression.

    What a role wants of a host is the variable ``__ROLE_decision`` in its ``vars/main.yml``, a mapping with:

    - ``needed``: whether the role has anything to do on the host, or to refuse;
    - ``problems``: what is wrong, in the one shape of the project;
    - ``urls``: addresses that the work needs, each with ``variable`` and ``url``;
    - ``looks``: whether its ``tasks/preflight.yml`` has to look at more than what was read of the host.

    Returns ``problems`` and ``urls`` of all roles; ``roles_with_problems``, those whose variables are wrong, for which
    nothing is decided; ``needed``, the first role that has something to do and all that follow it, since what it does
    may change their decisions; and ``looks``. With ``refuse`` it fails where variables are wrong.
    """

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check the variables of every role named in the task, then take its decision."""
        super().run(tmp, task_vars)
        del tmp
        variables = task_vars or {}
        _, arguments = self.validate_argument_spec(
            {
                "roles": {"type": "list", "elements": "str", "required": True},
                "refuse": {"type": "bool", "default": False},
            }
        )
        roles: list[str] = arguments["roles"]
        defaults: dict[str, Any] = {}
        for role in roles:
            defaults |= self._load(role, "defaults/main.yml")

        problems = {role: self._variable_problems(role, variables, defaults) for role in roles}
        wrong = [role for role in roles if problems[role]]
        if any(problem.code == LOGIN_IN_ADDRESS for role in wrong for problem in problems[role]):
            # Other roles and the questions to servers are given such an address too, and would show it.
            wrong = roles
        if wrong and arguments["refuse"]:
            found = [problem.as_dict() for role in wrong for problem in problems[role]]
            return {"failed": True, "changed": False, "problems": found, "msg": "\n".join(map(describe, found))}

        known = {**defaults, **variables}
        decisions = {role: self._decide(role, known) for role in roles if role not in wrong}
        working = [number for number, role in enumerate(roles) if decisions.get(role, {}).get("needed")]
        result = {
            "changed": False,
            "problems": [problem.as_dict() for role in wrong for problem in problems[role]],
            "urls": [],
            "roles_with_problems": wrong,
            "needed": roles[working[0] :] if working else [],
            "looks": [role for role, decision in decisions.items() if decision.get("looks")],
        }
        for decision in decisions.values():
            result["problems"] += decision.get("problems", [])
            result["urls"] += decision.get("urls", [])
        return result

    def _folder(self, role: str) -> Path:
        """Return the folder of a role of this project."""
        folder = Path(self._loader.path_dwim("")).parent / "roles" / role
        if not folder.is_dir():
            raise AnsibleError(f"roles: there is no role {role!r} at {folder}")
        return folder

    def _load(self, role: str, name: str) -> dict[str, Any]:
        """Return the variables of one of a role's files, ready for templating."""
        path = self._folder(role) / name
        return (self._loader.load_from_file(str(path), trusted_as_template=True) or {}) if path.is_file() else {}

    def _variable_problems(self, role: str, variables: dict[str, Any], defaults: dict[str, Any]) -> list[Problem]:
        """Return what is wrong with the variables of one role."""
        options = self._load(role, "meta/argument_specs.yml")["argument_specs"]["main"].get("options", {})
        templar = self._templar.copy_with_new_env(available_variables={**defaults, **variables})
        found = unknown_variables(list(variables), HANDED_OVER | options.keys(), f"{role}_")
        for name, option in options.items():
            if name in variables:
                found += self._check(name, option, variables[name], templar)
        return found

    def _decide(self, role: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Return the decision of one role; empty for a role that has none."""
        internal = self._load(role, "vars/main.yml")
        name = f"__{role}_decision"
        if name not in internal:
            return {}
        scope = {**variables, **internal, "role_path": str(self._folder(role)), "role_name": role}
        templar = self._templar.copy_with_new_env(available_variables=scope)
        decision: dict[str, Any] = templar.template(trust_as_template(f"{{{{ {name} }}}}"))
        return decision

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
