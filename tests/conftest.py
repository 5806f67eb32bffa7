"""Make library/ and module_utils/ importable the way Ansible does, and run a module in process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import ansible.module_utils
import jinja2
import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "library"), str(ROOT / "plugins"), str(ROOT)]
ansible.module_utils.__path__.append(str(ROOT / "module_utils"))


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
def image_defaults(root: Path) -> dict[str, Any]:
    """Return the defaults of the role opensora_image as its tasks see them, templates rendered."""
    raw = yaml.safe_load((root / "roles/opensora_image/defaults/main.yml").read_text())
    return {
        name: jinja2.Template(value, undefined=jinja2.StrictUndefined).render(raw | {"site_trust_python_index_url": ""})
        if isinstance(value, str)
        else value
        for name, value in raw.items()
    }


@pytest.fixture
def run_module(capfd: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Return a function that runs a module's main() with arguments and returns what it printed."""

    def run(module: ModuleType, **arguments: Any) -> dict[str, Any]:
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        return json.loads(capfd.readouterr().out)

    return run
