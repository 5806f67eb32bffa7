"""The repair of apt's sources, judged by apt itself."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import apt_sources_repair
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DOCKER = "https://download.docker.com/linux/debian"
LIST = f"# mine\ndeb [arch=amd64 signed-by=/etc/apt/keyrings/absent.gpg] {DOCKER} trixie stable\n"
SOURCES = "Types: deb\nURIs: {uri}\nSuites: trixie\nComponents: stable\nSigned-By: {key}\n"
OTHER = "deb http://mirror.example/debian trixie main # kept\n"


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    folder = tmp_path / "apt"
    (folder / "sources.list.d").mkdir(parents=True)
    (folder / "keyrings").mkdir()
    (folder / "keyrings/docker.gpg").write_bytes(b"key")
    (folder / "sources.list").write_text(OTHER)
    return folder


def write_conflict(apt: Path) -> None:
    (apt / "sources.list.d/docker.list").write_text(LIST)
    (apt / "sources.list.d/docker.sources").write_text(SOURCES.format(uri=DOCKER, key=apt / "keyrings/docker.gpg"))


def repair(run_module: Callable[..., dict[str, Any]], apt: Path, **options: Any) -> dict[str, Any]:
    return run_module(
        apt_sources_repair, repository_id="debian", codename="trixie", directory=str(apt), _ansible_diff=True, **options
    )


def ask_apt(apt: Path, state: Path) -> subprocess.CompletedProcess[str]:
    """Let the real apt read the sources, without any network."""
    for name in ("state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "state/status").touch()
    options = {
        "Dir::Etc": str(state / "etc"),
        "Dir::Etc::SourceList": str(apt / "sources.list"),
        "Dir::Etc::SourceParts": str(apt / "sources.list.d"),
        "Dir::State": str(state / "state"),
        "Dir::State::Status": str(state / "state/status"),
        "Dir::Cache": str(state / "cache"),
        "APT::Architecture": "amd64",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    command = ["/usr/bin/apt-get", *words, "--print-uris", "update"]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  all words are ours


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="asks the real apt, which this system lacks")
def test_apt_stops_before_and_works_after(run_module: Callable[..., dict[str, Any]], apt: Path, tmp_path: Path) -> None:
    write_conflict(apt)
    before = ask_apt(apt, tmp_path / "root")
    assert before.returncode != 0
    assert "Conflicting values set for option Signed-By" in before.stderr
    assert repair(run_module, apt)["changed"] is True
    after = ask_apt(apt, tmp_path / "root")
    assert after.returncode == 0
    assert "gnoring" not in after.stderr  # the former file beside it is passed over without a word
    assert DOCKER in after.stdout


def test_keeps_the_entry_whose_keyring_exists(run_module: Callable[..., dict[str, Any]], apt: Path) -> None:
    write_conflict(apt)
    result = repair(run_module, apt)
    (entry,) = result["disabled"]
    assert (entry["path"], entry["line"]) == (str(apt / "sources.list.d/docker.list"), 2)
    text = (apt / "sources.list.d/docker.list").read_text()
    assert text.startswith("# mine\n#")
    assert (apt / "sources.list.d/docker.list.orig").read_text() == LIST
    assert (apt / "sources.list").read_text() == OTHER
    assert result["diff"][0]["before"] == LIST
    again = repair(run_module, apt)
    assert (again["changed"], again["disabled"]) == (False, [])


def test_an_older_backup_stays(run_module: Callable[..., dict[str, Any]], apt: Path) -> None:
    write_conflict(apt)
    backup = apt / "sources.list.d/docker.list.orig"
    backup.write_text("from an earlier day\n")
    result = repair(run_module, apt)
    assert backup.read_text() == "from an earlier day\n"
    (made,) = result["backup_files"].values()
    assert made != str(backup)
    assert made.endswith(".orig")


def test_the_files_to_keep_win(run_module: Callable[..., dict[str, Any]], apt: Path) -> None:
    write_conflict(apt)
    result = repair(run_module, apt, keep=[str(apt / "sources.list.d/docker.list")])
    (entry,) = result["disabled"]
    assert entry["path"].endswith("docker.sources")
    assert "Enabled: no" in (apt / "sources.list.d/docker.sources").read_text()


def test_check_mode_changes_nothing(run_module: Callable[..., dict[str, Any]], apt: Path) -> None:
    write_conflict(apt)
    before = {path: path.read_bytes() for path in apt.rglob("*") if path.is_file()}
    result = repair(run_module, apt, _ansible_check_mode=True)
    assert (result["changed"], len(result["disabled"])) == (True, 1)
    assert {path: path.read_bytes() for path in apt.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "entry",
    [
        (
            "nvidia-docker.list",
            "deb https://nvidia.github.io/nvidia-docker/debian10/$(ARCH) /\n",
            "apt.dead_repository",
        ),
        ("toolkit.list", "<!doctype html>\n<html></html>\n", "apt.dead_repository"),
        (
            "docker.sources",
            SOURCES.format(uri="https://download.docker.com/linux/ubuntu", key="/k.asc"),
            "apt.wrong_release",
        ),
    ],
)
def test_entries_that_serve_nobody(
    run_module: Callable[..., dict[str, Any]], apt: Path, tmp_path: Path, entry: tuple[str, str, str]
) -> None:
    name, text, code = entry
    (apt / "sources.list.d" / name).write_text(text)
    result = repair(run_module, apt)
    assert {entry["code"] for entry in result["disabled"]} == {code}
    if shutil.which("apt-get"):
        assert ask_apt(apt, tmp_path / "root").returncode == 0


def test_a_healthy_folder_stays(run_module: Callable[..., dict[str, Any]], apt: Path) -> None:
    (apt / "sources.list.d/docker.sources").write_text(SOURCES.format(uri=DOCKER, key=apt / "keyrings/docker.gpg"))
    result = repair(run_module, apt)
    assert (result["changed"], result["disabled"], result["backup_files"]) == (False, [], {})
