"""What moved is told, no lock is forgotten, and what can't be reached stays."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts import update_dependencies
from scripts.update_dependencies import (
    BUNDLE,
    LOCKS,
    LOCKS_OF_STACKS,
    STACKS,
    Lock,
    Move,
    ResolveError,
    moves,
    newest_release,
    read_versions,
    table,
    update,
    with_releases,
)

OLD = """# Written by something
attrs==25.1.0 \\
    --hash=sha256:00
numpy==2.2.6 ; python_full_version < '3.11' \\
    --hash=sha256:00
numpy==2.3.1 ; python_full_version >= '3.11' \\
    --hash=sha256:00
    # via
    #   something==1.0
Gone==1 ; sys_platform == 'linux' \\
    --hash=sha256:00
"""
NEW = OLD.replace("25.1.0", "26.1.0").replace("2.3.1", "2.5.5").replace("Gone==1", "fresh==0.1+cu128")
A, B, C = "a" * 40, "b" * 40, "c" * 40


def test_versions_of_a_lock() -> None:
    assert read_versions(OLD) == {"attrs": "25.1.0", "numpy": "2.2.6, 2.3.1", "gone": "1"}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (OLD, OLD, []),
        (OLD, OLD.replace(":00", ":11"), []),
        (
            OLD,
            NEW,
            [
                Move("x.txt", "attrs", "25.1.0", "26.1.0"),
                Move("x.txt", "fresh", "", "0.1+cu128"),
                Move("x.txt", "gone", "1", ""),
                Move("x.txt", "numpy", "2.2.6, 2.3.1", "2.2.6, 2.5.5"),
            ],
        ),
    ],
)
def test_moves(before: str, after: str, expected: list[Move]) -> None:
    assert moves("x.txt", before, after) == expected


def test_table() -> None:
    assert table([Move("x.txt", "attrs", "25.1.0", "26.1.0"), Move("yy.txt", "b", "", "1")]).splitlines() == [
        "file    package  from    to",
        "x.txt   attrs    25.1.0  26.1.0",
        "yy.txt  b        -       1",
    ]


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        ("", None),
        (f"{A}\trefs/tags/nightly\n", None),
        (f"{A}\trefs/tags/v9.0.0\n{B}\trefs/tags/v10.0.0\n{C}\trefs/tags/v11.0.0-rc.1\n", ("v10.0.0", B)),
        (f"{A}\trefs/tags/v5.0.0\n{B}\trefs/tags/v5.0.0^{{}}\n{C}\trefs/tags/v5\n", ("v5.0.0", B)),
    ],
)
def test_newest_release(listing: str, expected: tuple[str, str] | None) -> None:
    assert newest_release(listing) == expected


def test_a_workflow_is_moved() -> None:
    workflow = f"- uses: a/checkout@{A} # v4.2.2\n- uses: b/other@{B} # v1.0.0\n- uses: ./local\n"
    moved = workflow.replace(f"{A} # v4.2.2", f"{C} # v5.0.0")
    assert with_releases(workflow, {"a/checkout": ("v5.0.0", C)}) == moved


def test_every_lock_of_the_project_is_known(root: Path) -> None:
    files = subprocess.run(["git", "ls-files", "-s"], cwd=root, capture_output=True, text=True, check=True).stdout
    regular = [line.split("\t", 1)[1] for line in files.splitlines() if line.startswith("100")]
    locks = [
        name for name in regular if Path(name).suffix in (".txt", ".lock") and "--hash=" in (root / name).read_text()
    ]
    assert sorted(locks) == sorted([*(lock.path for lock in LOCKS), *LOCKS_OF_STACKS, BUNDLE])


def test_every_lock_has_its_source(root: Path) -> None:
    assert [lock.path for lock in LOCKS if not (root / lock.path).with_name(lock.source).is_file()] == []


def test_every_action_of_the_workflows_is_pinned(root: Path) -> None:
    for path in (root / ".github/workflows").glob("*.yml"):
        text = path.read_text()
        assert text.count("uses: ") == len(update_dependencies.USES.findall(text)) > 0


class Project:
    """A project of one lock, one stack, one bundle and one workflow, and programs that answer as they are told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.fails: set[str] = set()
        self.write("locks/x.txt", OLD)
        self.write(BUNDLE, "# why\nansible==14.5.0 \\\n    --hash=sha256:00\n")
        self.write(".github/workflows/ci.yml", f"- uses: a/checkout@{A} # v4.2.2\n")
        for name in LOCKS_OF_STACKS:
            self.write(name, OLD)

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def run(self, *command: str, cwd: Path, timeout: int | None = None, text: str | None = None) -> str:
        if command[0] == "git":
            kind, answer = "git", f"{C}\trefs/tags/v5.0.0\n"
        elif text:
            kind, answer = "bundle", "ansible==14.6.0 \\\n    --hash=sha256:11\n"
        elif command[0] == "uv":
            kind, answer = "lock", ""
        else:
            kind, answer = "stack", ""
        if kind in self.fails:
            raise ResolveError(f"{kind} did not answer")
        if kind == "lock":
            (cwd / command[-1]).write_text(NEW)
        if kind == "stack":
            self.write(f"{STACKS}/uv.txt", NEW)
        return answer


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path)
    monkeypatch.setattr(update_dependencies, "LOCKS", (Lock("locks/x.txt", "x.in"),))
    monkeypatch.setattr(update_dependencies, "run", made.run)
    return made


def test_everything_moves(project: Project) -> None:
    moved, failed, unreachable = update(project.root, "")
    assert {(move.path, move.name) for move in moved} == {
        *(("locks/x.txt", name) for name in ("attrs", "fresh", "gone", "numpy")),
        *((f"{STACKS}/uv.txt", name) for name in ("attrs", "fresh", "gone", "numpy")),
        (BUNDLE, "ansible"),
        (".github/workflows/ci.yml", "a/checkout"),
    }
    assert (failed, unreachable) == ([], [])
    assert (project.root / BUNDLE).read_text() == "# why\nansible==14.6.0 \\\n    --hash=sha256:11\n"
    assert (project.root / ".github/workflows/ci.yml").read_text() == f"- uses: a/checkout@{C} # v5.0.0\n"


def test_what_cannot_be_reached_is_named_and_stays(project: Project) -> None:
    project.fails = {"git", "lock", "bundle", "stack"}
    before = {path: path.read_text() for path in project.root.rglob("*") if path.is_file()}
    moved, failed, unreachable = update(project.root, "")
    assert moved == []
    assert failed == [
        "locks/x.txt: lock did not answer",
        f"{STACKS}: stack did not answer",
        f"{BUNDLE}: bundle did not answer",
    ]
    assert unreachable == ["the action a/checkout: git did not answer"]
    assert {path: path.read_text() for path in before} == before


def test_only_one_folder(project: Project) -> None:
    moved, _, _ = update(project.root, "locks")
    assert {move.path for move in moved} == {"locks/x.txt"}


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(ResolveError, match=r"^no such version$"):
        update_dependencies.run("sh", "-c", "echo begun; echo 'no such version' >&2; exit 2", cwd=tmp_path)
    with pytest.raises(ResolveError, match="no answer in 1 s"):
        update_dependencies.run("sleep", "5", cwd=tmp_path, timeout=1)
