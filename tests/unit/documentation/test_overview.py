"""What the overviews list is what there is: roles, playbooks, subcommands, pages, scenarios."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.unit.documentation.documents import ROOT, links_of

README = (ROOT / "README.md").read_text()
CI = (ROOT / ".github/workflows/ci.yml").read_text()


def rows_after(title: str) -> list[list[str]]:
    """Return the cells of the first table below a heading of the README."""
    below = README.split(f"\n## {title}\n", 1)[1].splitlines()
    first = next(number for number, line in enumerate(below) if line.startswith("|"))
    rows = []
    for line in below[first + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_the_steps_are_those_of_the_site() -> None:
    plays = yaml.safe_load((ROOT / "site.yml").read_text())
    imported = [play["ansible.builtin.import_playbook"] for play in plays if "ansible.builtin.import_playbook" in play]
    assert [row[1].strip("`") for row in rows_after("What a run does")] == imported


def test_every_role_is_in_the_table() -> None:
    links = [re.fullmatch(r"\[(\w+)\]\(roles/(\w+)/README\.md\)", row[0]) for row in rows_after("Per-host wishes")]
    assert sorted(link.groups() for link in links if link) == [
        (path.name, path.name) for path in sorted((ROOT / "roles").iterdir()) if path.is_dir()
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: path.stem)
def test_every_playbook_is_documented(path: Path) -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    assert [page.name for page in pages if f"playbooks/{path.name}" in page.read_text()] != []


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.stem)
def test_the_readme_leads_to_every_page(path: Path) -> None:
    assert f"docs/{path.name}" in {link.partition("#")[0] for link in links_of(ROOT / "README.md")}


def test_usage_lists_what_run_can_do() -> None:
    """The list, the functions, and what is dispatched are the same."""
    script = (ROOT / "run").read_text()
    usage = subprocess.run([ROOT / "run", "help"], capture_output=True, text=True, check=True).stdout
    listed = re.findall(r"^  ([a-z][a-z-]*) ", usage, re.MULTILINE)
    dispatched = re.search(r"^  ((?:[a-z-]+ \| )+[a-z-]+)\)$", script, re.MULTILINE)
    assert dispatched
    functions = [name.replace("_", "-") for name in re.findall(r"^run_([a-z_]+)\(\)", script, re.MULTILINE)]
    assert sorted(listed) == sorted(dispatched.group(1).split(" | ")) == sorted(functions)


def test_every_scenario_is_run_by_the_workflow() -> None:
    matrix = re.search(r"scenario: \[(.*)\]", CI)
    assert matrix
    scenarios = {path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")}
    assert set(matrix.group(1).split(", ")) == scenarios


def test_decisions_are_numbered_in_a_row() -> None:
    names = sorted(path.name for path in (ROOT / "docs/decisions").glob("*.md"))
    numbers = [int(name.split("-")[0]) for name in names]
    assert len(set(numbers)) == len(numbers)
    for name in names:
        text = (ROOT / "docs/decisions" / name).read_text()
        assert re.match(rf"# {int(name.split('-')[0])}\. ", text), name
