"""The page of the modules says what the modules say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import module_pages

MODULE = '''
DOCUMENTATION = r"""
module: mend
short_description: Mend a thing
description: [Mends it., As M(other) does.]
options:
  path: {description: Where it is., type: path, required: true}
  how:
    description: "V(fast) with O(path), or else B(slow|er)."
    choices: [fast, slow]
    default: fast
  parts:
    description: [First., Second.]
    type: list
    elements: dict
    suboptions:
      a_name: {description: A name., type: str}
attributes:
  check_mode: {support: partial, description: Says so., details: Not always.}
"""
RETURN = r"""
thing: {description: "What V(a_b) is.", returned: always, type: dict, contains: {x: {description: X., type: int}}}
"""
'''


def test_a_page(tmp_path: Path) -> None:
    (tmp_path / "mend.py").write_text(MODULE)
    assert module_pages.page(tmp_path).removeprefix(module_pages.HEAD).splitlines() == [
        "| module | does |",
        "|---|---|",
        "| [mend](#mend) | Mend a thing |",
        "",
        "## mend",
        "",
        "Mends it.",
        "",
        "As other does.",
        "",
        "- Check mode: partial. Says so. Not always.",
        "",
        "| option | type | default | meaning |",
        "|---|---|---|---|",
        "| `path` | path | required | Where it is. |",
        r"| `how` | str | `fast` | `fast` with `path`, or else <b>slow\|er</b>. One of `fast`, `slow`. |",
        "| `parts` | list of dict |  | First. Second. |",
        "| `parts.a_name` | str |  | A name. |",
        "",
        "| returned | type | when | meaning |",
        "|---|---|---|---|",
        "| `thing` | dict | always | What `a_b` is. |",
        "| `thing.x` | int |  | X. |",
    ]


@pytest.mark.parametrize(("change", "code"), [("", 0), ("more\n", 1)])
def test_check_says_whether_the_page_is_fresh(root: Path, tmp_path: Path, change: str, code: int) -> None:
    for name in ("library", "scripts"):
        (tmp_path / name).mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "library/mend.py").write_text(MODULE)
    (tmp_path / "docs/modules.md").write_text(module_pages.page(tmp_path / "library") + change)
    script = tmp_path / "scripts/module_pages.py"
    script.write_text((root / "scripts/module_pages.py").read_text())
    result = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert result.returncode == code
    assert ("run './run docs'" in result.stderr) == bool(change)
