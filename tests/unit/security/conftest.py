"""The variables of the roles as their tasks see them, with the templates of vars/ and defaults/ around them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.opensora.command_runner import command_runner
from ansible.module_utils.opensora.gpu_host import read_gpu_host
from ansible.module_utils.opensora.host_probe import HostProbe
from ansible.module_utils.opensora.plain_data import plain
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import filter_loader, init_plugin_loader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).resolve().parents[3]
ROLES = {path.name: path for path in sorted((ROOT / "roles").iterdir()) if path.is_dir()}


def options(role: str) -> dict[str, Any]:
    """Return the options of a role's argument spec."""
    spec = yaml.safe_load((ROLES[role] / "meta/argument_specs.yml").read_text())
    return dict(spec["argument_specs"]["main"].get("options", {}))


def _trusted(value: Any) -> Any:
    """Return what a file of the project holds, templates in it to be rendered."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, dict):
        return {key: _trusted(item) for key, item in value.items()}
    return [_trusted(item) for item in value] if isinstance(value, list) else value


def _load(path: Path) -> dict[str, Any]:
    return dict(_trusted(yaml.safe_load(path.read_text()) or {})) if path.is_file() else {}


@functools.cache
def read_host(name: str) -> dict[str, Any]:
    """Return the fact gpu_host of a recorded host."""
    folder = str(ROOT / "tests/fixtures/hosts" / name)
    return read_gpu_host(
        HostProbe(folder, command_runner(folder, {}, {}, 10.0)), wanted={}, paths=[], sdk_directory=None
    )


# Stands in the variables for the text that a test puts there: templates are slow, and are rendered once with it.
BLANK = "blank0value"


def fill(value: Any, text: str) -> Any:
    """Return data with a text in the place of the blank."""
    if isinstance(value, str):
        return value.replace(BLANK, text)
    if isinstance(value, dict):
        return {fill(key, text): fill(item, text) for key, item in value.items()}
    return [fill(item, text) for item in value] if isinstance(value, (list, tuple)) else value


class Project:
    """Renders the project's own templates with what a user may have written into an inventory.

    Attributes:
        text: What comes to the place of the blank.
    """

    def __init__(self) -> None:
        init_plugin_loader()
        filter_loader.add_directory(str(ROOT / "plugins/filter"))
        self.host = read_host("fresh-debian13")
        self.text = BLANK
        self._loader = DataLoader()
        self._rendered: dict[str, Any] = {}
        self._defaults: dict[str, Any] = {}
        for folder in ROLES.values():
            self._defaults |= _load(folder / "defaults/main.yml")
        self._internal = {name: _load(folder / "vars/main.yml") for name, folder in ROLES.items()}

    def render(self, role: str, template: str, **different: Any) -> Any:
        """Return a template rendered as in a task of a role.

        Args:
            role: Name of the role.
            template: The template.
            different: Variables that an inventory sets; nothing in them is a template of the project.
        """
        question = f"{role} {template} {different!r}"
        if question not in self._rendered:
            self._rendered[question] = self._render(role, template, different)
        return fill(self._rendered[question], self.text)

    def _render(self, role: str, template: str, different: dict[str, Any]) -> Any:
        variables = {
            **self._defaults,
            **self._internal[role],
            "role_path": str(ROLES[role]),
            "playbook_dir": str(ROOT / "playbooks"),
            "inventory_hostname": "gpu01",
            "groups": {"opensora_hosts": ["gpu01"]},
            "hostvars": {"gpu01": {"gpu_host": self.host, "inventory_hostname": "gpu01"}},
            "ansible_check_mode": False,
            "gpu_host": self.host,
            "__opensora_image_sources": {
                "git": {"application": {"commit": "1" * 40}},
                "images": {"base": {"pinned": "base", "digest": ""}, "runtime_base": {"pinned": "base", "digest": ""}},
            },
            **different,
        }
        return plain(Templar(loader=self._loader, variables=variables).template(trust_as_template(template)))


@pytest.fixture(scope="session")
def project() -> Project:
    """Return the project's templates."""
    return Project()
