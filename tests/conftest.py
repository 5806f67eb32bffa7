"""Make library/ and module_utils/ importable the way Ansible does, and run a module in process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import ansible.module_utils
import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "library"), str(ROOT / "plugins"), str(ROOT)]
ansible.module_utils.__path__.append(str(ROOT / "module_utils"))
SLOW_FOLDERS = ("documentation", "playbooks", "roles")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that run whole playbooks, so that no worker is alone with one of them at the end."""
    items.sort(key=lambda item: item.path.parent.name not in SLOW_FOLDERS)


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """Give each test the environment that it found: a module may set proxies for its process."""
    with patch.dict("os.environ"):
        yield


@pytest.fixture
def root() -> Path:
    """Return the root of the project."""
    return ROOT


@pytest.fixture
def image_variables(root: Path) -> dict[str, Any]:
    """Return the defaults of the role opensora_image and the stacks that they name, as templates."""
    role = root / "roles/opensora_image"
    stacks = yaml.safe_load((role / "vars/main.yml").read_text())
    named = {name: stacks[name] for name in ("__opensora_image_stacks", "__opensora_image_stack")}
    named["__opensora_image_stack"] = trust_as_template(named["__opensora_image_stack"])
    raw = yaml.safe_load((role / "defaults/main.yml").read_text())
    return {
        "site_trust_python_index_url": "",
        **named,
        **{name: trust_as_template(value) if isinstance(value, str) else value for name, value in raw.items()},
    }


@pytest.fixture
def image_stacks(image_variables: dict[str, Any]) -> dict[str, Any]:
    """Return the stacks by name."""
    return dict(image_variables["__opensora_image_stacks"])


@pytest.fixture
def render_dockerfile(root: Path, image_variables: dict[str, Any]) -> Callable[..., str]:
    """Return a function that renders the role's Dockerfile with some variables different from the defaults."""

    def render(**different: Any) -> str:
        sources = {"git": {"application": {"commit": "1" * 40}}}
        variables = {**image_variables, "__opensora_image_sources": sources, **different}
        template = (root / "roles/opensora_image/templates/Dockerfile.j2").read_text()
        return str(Templar(loader=DataLoader(), variables=variables).template(trust_as_template(template)))

    return render


@pytest.fixture
def image_defaults(image_variables: dict[str, Any]) -> dict[str, Any]:
    """Return the defaults of the role opensora_image as its tasks see them, templates rendered."""
    templar = Templar(loader=DataLoader(), variables=image_variables)
    rendered = {name: templar.template(image_variables[name]) for name in image_variables if not name.startswith("__")}
    stack = templar.template(image_variables["__opensora_image_stack"])
    return {**rendered, "__opensora_image_locked_packages": stack["torch_packages"]}


@pytest.fixture
def run_module(capfd: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Return a function that runs a module's main() with arguments and returns what it printed."""

    def run(module: ModuleType, **arguments: Any) -> dict[str, Any]:
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        return json.loads(capfd.readouterr().out)

    return run
