"""A release is refused where it would be wrong, the same bytes each time, and works when it is unpacked."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from scripts import bill_of_materials as materials
from scripts.release import RefusedError, refusal, release
from scripts.update_dependencies import LOCKS, LOCKS_OF_STACKS, read_versions

VERSION = "7.1.0"
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [1.10.0] - 2026-11-25\n\n## [1.9.3] - 2026-10-01\n"
PROJECT = '[project]\nname = "x"\nversion = "1.10.0"\n'


@pytest.mark.parametrize(
    ("version", "changelog", "project", "tags", "reason"),
    [
        ("1.10.0", CHANGELOG, PROJECT, "", ""),
        ("1.10.0", CHANGELOG, PROJECT, "v1.9.3\nv1.2\nvnext\n", ""),
        ("1.10", CHANGELOG, PROJECT, "", "no semantic version"),
        ("v1.10.0", CHANGELOG, PROJECT, "", "no semantic version"),
        ("1.11.0", CHANGELOG, PROJECT, "", "CHANGELOG.md has no heading"),
        ("1.10.0", CHANGELOG.replace("] - 2026-11-25", "]"), PROJECT, "", "CHANGELOG.md has no heading"),
        ("1.10.0", CHANGELOG, PROJECT.replace("1.10.0", "1.9.3"), "", "pyproject.toml does not say"),
        ("1.9.3", CHANGELOG, PROJECT.replace("1.10.0", "1.9.3"), "", "1.9.3 is not newer than 1.10.0"),
        ("1.10.0", CHANGELOG, PROJECT, "v1.10.0\n", "1.10.0 is not newer than 1.10.0"),
        ("1.10.0", CHANGELOG, PROJECT, "v2.0.0-rc.1\n", "1.10.0 is not newer than 2.0.0-rc.1"),
    ],
)
def test_refusal(version: str, changelog: str, project: str, tags: str, reason: str) -> None:
    found = refusal(version, changelog, project, tags)
    assert reason in found
    assert bool(found) == bool(reason)


def test_a_final_version_is_newer_than_its_candidates() -> None:
    assert refusal("1.10.0", CHANGELOG, PROJECT, "v1.10.0-rc.2\n") == ""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clone of the project in which a version is ready."""
    folder = tmp_path_factory.mktemp("clone") / "project"
    root = Path(__file__).resolve().parents[3]
    subprocess.run(["git", "clone", "--quiet", root, folder], check=True)
    changelog = folder / "CHANGELOG.md"
    changelog.write_text(
        changelog.read_text().replace("## [Unreleased]", f"## [Unreleased]\n\n## [{VERSION}] - 2026-11-25")
    )
    project = folder / "pyproject.toml"
    project.write_text(re.sub(r'\nversion = "[^"]+"\n', f'\nversion = "{VERSION}"\n', project.read_text()))
    author = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run(["git", *author, "commit", "--quiet", "--all", "-m", "Release"], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def files(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the files of a release by name."""
    return {path.name: path for path in release(clone, VERSION, tmp_path_factory.mktemp("dist"))}


def test_a_second_run_gives_the_same_bytes(clone: Path, files: dict[str, Path], tmp_path: Path) -> None:
    for path in clone.glob("*.md"):
        os.utime(path, (0, 0))
    again = release(clone, VERSION, tmp_path / "dist")
    assert [path.name for path in again] == list(files)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files.values()]


def test_sums(files: dict[str, Path]) -> None:
    lines = files.pop("SHA256SUMS").read_text().splitlines()
    assert lines == [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}" for name, path in files.items()]


def test_what_is_not_committed_is_refused(clone: Path, tmp_path: Path) -> None:
    stray = clone / "stray.yml"
    stray.write_text("---\n")
    try:
        with pytest.raises(RefusedError, match=r"\?\? stray\.yml"):
            release(clone, VERSION, tmp_path / "dist")
    finally:
        stray.unlink()
    assert not (tmp_path / "dist").exists()


def test_the_archive_works_unpacked(clone: Path, files: dict[str, Path], tmp_path: Path) -> None:
    with tarfile.open(files[f"opensora-site-{VERSION}.tar.gz"]) as archive:
        assert {member.mtime for member in archive} == {
            int(subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=clone, capture_output=True, check=True).stdout)
        }
    subprocess.run(["tar", "-xzf", files[f"opensora-site-{VERSION}.tar.gz"], "-C", tmp_path], check=True)
    project = tmp_path / f"opensora-site-{VERSION}"
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=clone, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert sorted(tracked) == sorted(
        path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_symlink() or path.is_file()
    )
    assert os.access(project / "run", os.X_OK)
    environment = {**os.environ, "ANSIBLE_CONFIG": str(project / "ansible.cfg")}
    for command in (
        [sys.executable, "-m", "ansible", "playbook", "-i", "inventory/example", "--syntax-check", "site.yml"],
        [project / "run", "help"],
    ):
        subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True)


# --- the bill of materials


def test_every_locked_package_is_in_the_bill(root: Path, files: dict[str, Path]) -> None:
    bill = json.loads(files[f"opensora-site-{VERSION}.cdx.json"].read_text())
    assert (bill["specVersion"], bill["metadata"]["component"]["version"]) == ("1.6", VERSION)
    listed = {(component["name"], component.get("version")) for component in bill["components"]}
    for path in (*(lock.path for lock in LOCKS), *LOCKS_OF_STACKS):
        for name, versions in read_versions((root / path).read_text()).items():
            assert {(name, version) for version in versions.split(", ")} <= listed, path
    packages = {component["bom-ref"]: component for component in bill["components"]}
    version = read_versions((root / "requirements/runtime.txt").read_text())["ansible-core"].split(", ")[0]
    core = packages[f"python:ansible-core@{version}"]
    assert core["scope"] == "required"
    assert all(found["alg"] == "SHA-256" for found in core["hashes"])
    assert f"--hash=sha256:{core['hashes'][0]['content']}" in (root / "requirements/runtime.txt").read_text()
    assert [
        name for name, component in packages.items() if name.startswith("python:") and not component["hashes"]
    ] == []
    assert {"collection:community.docker", "git:Open-Sora", "image:current:devel"} <= packages.keys()


LOCK = """alpha==1.0 ; python_version < '3.12' \\
    --hash=sha256:%s \\
    --hash=sha256:%s
    # via beta
Beta_x==2.0+cu128 \\
    --hash=sha256:%s
alpha==1.1
"""


def test_read_requirements() -> None:
    one, two, three = "1" * 64, "2" * 64, "3" * 64
    assert materials.read_requirements(LOCK % (one, two, three)) == {
        ("alpha", "1.0"): {one, two},
        ("beta_x", "2.0+cu128"): {three},
        ("alpha", "1.1"): set(),
    }


@pytest.mark.parametrize(
    ("locks", "scope"),
    [
        (["requirements/test.txt"], "excluded"),
        (["requirements/release.txt", "requirements/test.txt"], "excluded"),
        (["requirements/test.txt", "requirements/runtime.txt"], "required"),
        (["molecule/resources/stand-ins/python-index/requirements.txt"], "excluded"),
        (["roles/opensora_image/files/requirements/current.txt"], "required"),
    ],
)
def test_scope(locks: list[str], scope: str) -> None:
    assert materials.scope_of(locks).value == scope


def test_a_licence_is_only_told_of_the_very_version() -> None:
    (licence,) = materials.licenses_of("pytest", pytest.__version__)
    assert licence.value == "MIT"
    assert materials.licenses_of("pytest", "0.0.1") == []
    assert materials.licenses_of("no-such-package", "1") == []
