"""Every file and folder that the project makes has a mode that it chose."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.opensora.file_modes import fix_umask

from tests.unit.security.conftest import ROOT
from tests.unit.security.test_locked_python import tasks

TASK_FILES = sorted([*(ROOT / "roles").glob("*/*/*.yml"), *(ROOT / "playbooks").glob("*.yml")])
WRITING = {
    "assemble",
    "blockinfile",
    "copy",
    "get_url",
    "ini_file",
    "lineinfile",
    "template",
    "unarchive",
    "yum_repository",
}
MODULES = sorted((ROOT / "library").glob("*.py"))
# Modules whose names end so only look.
READERS = {path.name for path in MODULES if path.stem.endswith("_info")}


def unwritable_by_others(mode: object) -> bool:
    return isinstance(mode, str) and re.fullmatch(r"0[0-7]{3}", mode) is not None and int(mode[-1], 8) & 2 == 0


def wrong(task: dict[str, Any]) -> bool:
    """Return whether a task makes a file or a folder without a mode, or one that anybody may write."""
    for key, arguments in task.items():
        module = key.removeprefix("ansible.builtin.")
        if not isinstance(arguments, dict):
            continue
        if module in WRITING and not unwritable_by_others(arguments.get("mode")):
            return True
        if (
            module == "file"
            and arguments.get("state") not in ("absent", "link")
            and not unwritable_by_others(arguments.get("mode"))
        ):
            return True
    return False


@pytest.mark.parametrize("path", TASK_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_tasks_give_a_mode(path: Path) -> None:
    assert [task.get("name") for task in tasks(yaml.safe_load(path.read_text())) if wrong(task)] == []


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({"ansible.builtin.copy": {"dest": "/x", "mode": "0644"}}, False),
        ({"ansible.builtin.copy": {"dest": "/x"}}, True),
        ({"ansible.builtin.template": {"dest": "/x", "mode": "0666"}}, True),
        ({"ansible.builtin.file": {"path": "/x", "state": "directory", "mode": "0777"}}, True),
        ({"ansible.builtin.file": {"path": "/x", "state": "directory"}}, True),
        ({"ansible.builtin.file": {"path": "/x", "state": "absent"}}, False),
        ({"copy": {"dest": "/x", "mode": 420}}, True),
    ],
)
def test_a_missing_mode_would_be_found(task: dict[str, Any], expected: bool) -> None:
    assert wrong(task) is expected


def test_no_task_goes_around_the_modules() -> None:
    """A shell would read values of the inventory; a command in one text is split into words by blanks."""
    shells, texts = [], {}
    for path in TASK_FILES:
        for task in tasks(yaml.safe_load(path.read_text())):
            shells += [
                path.name for key in ("shell", "raw", "script") if f"ansible.builtin.{key}" in task or key in task
            ]
            command = task.get("ansible.builtin.command")
            text = command if isinstance(command, str) else (command or {}).get("cmd", "")
            if "{{" in text:
                texts[text] = path.name
    assert shells == []
    # The words of both come from the project's own tables and from a branch of three digits.
    assert texts == {
        "modprobe {{ __nvidia_driver_module }}": "configure.yml",
        "dnf -y module {{ __nvidia_driver_step }}": "repository_dnf.yml",
    }


@pytest.mark.parametrize("path", [path for path in MODULES if path.name not in READERS], ids=lambda path: path.stem)
def test_modules_that_change_something_fix_their_umask(path: Path) -> None:
    main = next(
        node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef) and node.name == "main"
    )
    assert ast.unparse(main.body[1]) == "fix_umask()"


def test_the_umask_is_that_of_a_plain_system(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        fix_umask()
        (tmp_path / "a/b").mkdir(parents=True)
        (tmp_path / "file").write_text("")
        assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b", "file")] == [0o755, 0o755, 0o644]
    finally:
        os.umask(before)


def shell_free(path: Path) -> list[str]:
    """Return the calls of a file that give a text to a shell."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "eval", "exec"):
            found.append(name)
        found += [
            f"{name}({keyword.arg})"
            for keyword in node.keywords
            if keyword.arg in ("shell", "use_unsafe_shell")
            and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
        ]
    return found


@pytest.mark.parametrize(
    "path",
    [*MODULES, *sorted((ROOT / "module_utils/opensora").glob("*.py")), *sorted((ROOT / "plugins").rglob("*.py"))],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_no_text_is_given_to_a_shell(path: Path) -> None:
    assert shell_free(path) == []
