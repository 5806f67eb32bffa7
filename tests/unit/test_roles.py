"""Every role keeps its defaults, its argument spec and its documentation equal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
MAX_LINES_OF_A_TABLE_OF_CONTENTS = 60


def load(path: Path) -> dict:
    return yaml.safe_load(path.read_text()) or {}


def options(role: Path) -> dict:
    return load(role / "meta/argument_specs.yml")["argument_specs"]["main"].get("options", {})


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
class TestRole:
    def test_argument_spec_names_the_defaults(self, role: Path) -> None:
        assert sorted(options(role)) == sorted(load(role / "defaults/main.yml"))

    def test_argument_spec_documents_the_default_value(self, role: Path) -> None:
        defaults = load(role / "defaults/main.yml")
        assert {name: option.get("default") for name, option in options(role).items()} == defaults

    def test_every_variable_is_described(self, role: Path) -> None:
        assert [name for name, option in options(role).items() if not option.get("description")] == []

    def test_variables_carry_the_prefix(self, role: Path) -> None:
        assert [name for name in options(role) if not name.startswith(f"{role.name}_")] == []

    def test_every_default_has_a_comment_that_teaches(self, role: Path) -> None:
        lines = (role / "defaults/main.yml").read_text().splitlines()
        bare = [
            line
            for before, line in zip(["", *lines], lines)
            if re.match(r"[a-z_]+:", line) and not re.match(r"#|[a-z_]+:", before)
        ]
        assert bare == []

    def test_main_is_a_table_of_contents(self, role: Path) -> None:
        assert len((role / "tasks/main.yml").read_text().splitlines()) <= MAX_LINES_OF_A_TABLE_OF_CONTENTS

    def test_every_variable_is_used(self, role: Path) -> None:
        text = "\n".join(
            path.read_text()
            for pattern in ("tasks/*.yml", "handlers/*.yml", "templates/*", "vars/*.yml", "defaults/*.yml")
            for path in role.glob(pattern)
        )
        text += "\n".join(path.read_text() for path in (ROOT / "roles").glob("*/tasks/*.yml"))
        text += "\n".join(path.read_text() for path in (ROOT / "playbooks").glob("*.yml"))
        unused = [name for name in options(role) if len(re.findall(rf"\b{name}\b", text)) < 2]  # once is its default
        assert unused == []


# Facts that roles hand over, arguments of entry points, playbook options, and names of modules, roles and filters.
HANDED_OVER = {
    "docker_engine_daemon_config_result",
    "docker_engine_requested_config",
    "docker_engine_restart_required",
    "nvidia_driver_rollback_confirm",
    "opensora_image_result",
    "opensora_service_result",
}


def test_every_variable_that_a_message_names_exists() -> None:
    """A message that names a variable which no role has would send its reader into the next error."""
    known = {name for role in ROLES for name in options(role)} | HANDED_OVER
    known |= {path.stem for folder in ("library", "module_utils/opensora") for path in (ROOT / folder).glob("*.py")}
    for path in (ROOT / "plugins/filter").glob("*.py"):
        known |= set(re.findall(r'^ *(?:return \{)?"([a-z_]+)": ', path.read_text(), re.MULTILINE))
    prefixes = "|".join(role.name for role in ROLES)
    unknown = {}
    for folder in ("module_utils/opensora", "library", "roles", "playbooks", "docs", "inventory"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix not in (".py", ".yml", ".md", ".j2"):
                continue
            for name in re.findall(rf"(?<![\w./-])(?:{prefixes})_[a-z0-9_]*[a-z0-9](?![\w/(.]|\.py)", path.read_text()):
                if name not in known:
                    unknown.setdefault(name, path.relative_to(ROOT).as_posix())
    assert unknown == {}
