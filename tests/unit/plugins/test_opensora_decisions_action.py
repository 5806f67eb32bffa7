"""The decisions of several roles in one step: checked variables, the first role with work and all that follow it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = {
    "first": {"level": {"type": "int", "default": 1}, "password": {"type": "str", "default": "", "no_log": True}},
    "second": {"level": {"type": "int", "default": 1}},
    "third": {"level": {"type": "int", "default": 1}},
    "quiet": {},
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project whose roles need work from level 2 on, and ask an address from level 3 on."""
    for role, options in ROLES.items():
        folder = tmp_path / "roles" / role
        for name in ("defaults", "vars", "meta"):
            (folder / name).mkdir(parents=True)
        named = {f"{role}_{name}": option for name, option in options.items()}
        specification = {"argument_specs": {"main": {"options": named}}}
        (folder / "defaults/main.yml").write_text(yaml.safe_dump({n: option["default"] for n, option in named.items()}))
        (folder / "meta/argument_specs.yml").write_text(yaml.safe_dump(specification))
        if role == "quiet":
            continue
        decision = {
            "needed": f"{{{{ {role}_level | int >= 2 }}}}",
            "looks": f"{{{{ {role}_level | int >= 4 }}}}",
            "problems": f"{{{{ [{{'code': role_path | basename}}] if {role}_level | int >= 5 else [] }}}}",
            "urls": f"{{{{ [{{'variable': '{role}_level', 'url': 'x'}}] if {role}_level | int >= 3 else [] }}}}",
        }
        (folder / "vars/main.yml").write_text(yaml.safe_dump({f"__{role}_decision": decision}))
    (tmp_path / "playbooks").mkdir()
    return tmp_path


def decide(project: Path, root: Path, variables: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    """Run the plugin in a play and return what it returned."""
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "tasks": [
            {
                "opensora_decisions": {"roles": list(ROLES), **arguments},
                "register": "found",
                "ignore_errors": True,
            },
            {
                "ansible.builtin.copy": {
                    "content": "{{ found | to_json }}",
                    "dest": f"{project}/found.json",
                    "mode": "0600",
                }
            },
        ],
    }
    playbook = project / "playbooks/play.yml"
    playbook.write_text(yaml.safe_dump([play]))
    program = str(Path(sys.executable).parent / "ansible-playbook")
    subprocess.run(  # noqa: S603  the command is this test's own
        [
            program,
            "-i",
            "localhost,",
            "-c",
            "local",
            playbook,
            "-e",
            json.dumps(variables),
        ],
        env={**os.environ, "ANSIBLE_CONFIG": str(root / "ansible.cfg")},
        capture_output=True,
        check=True,
    )
    return json.loads((project / "found.json").read_text())


@pytest.mark.parametrize(
    ("variables", "decided"),
    [
        ({}, ([], [], 0)),
        ({"second_level": 2}, (["second", "third", "quiet"], [], 0)),
        ({"first_level": 4, "third_level": 3}, (["first", "second", "third", "quiet"], ["first"], 2)),
    ],
)
def test_what_the_roles_need(project: Path, root: Path, variables: dict[str, Any], decided: tuple[Any, ...]) -> None:
    found = decide(project, root, variables)
    assert (found["needed"], found["looks"], len(found["urls"])) == decided
    assert found["problems"] == []
    assert found["changed"] is False


def test_wrong_variables_are_told_and_nothing_is_decided_for_their_role(project: Path, root: Path) -> None:
    wrong = {"first_level": "high", "first_passwort": "x", "first_password": ["hidden"], "second_level": 5}
    found = decide(project, root, wrong)
    assert found["roles_with_problems"] == ["first"]
    texts = [problem.get("message", problem["code"]) for problem in found["problems"]]
    assert texts[-1] == "second"
    assert any("first_level is 'high', allowed is a whole number" in text for text in texts)
    assert any("first_passwort" in text for text in texts)
    assert "hidden" not in json.dumps(found)
    assert found["needed"] == ["second", "third", "quiet"]


def test_it_refuses_where_it_is_asked_to(project: Path, root: Path) -> None:
    found = decide(project, root, {"first_level": "high"}, refuse=True)
    assert found["failed"] is True
    assert "[configuration] first_level is 'high'" in found["msg"]
    assert decide(project, root, {"first_level": 2}, refuse=True)["needed"]
