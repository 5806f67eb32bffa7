"""A former text is kept beside its file and never in the place of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible.module_utils.opensora.file_backup import backup_of, keep_former

if TYPE_CHECKING:
    from pathlib import Path


def test_names(tmp_path: Path) -> None:
    path = tmp_path / "docker.list"
    path.write_text("one\n")
    path.chmod(0o640)
    assert backup_of(path) == tmp_path / "docker.list.orig"
    first = keep_former(path)
    assert (first.read_text(), first.stat().st_mode & 0o777) == ("one\n", 0o640)
    path.write_text("two\n")
    second = keep_former(path)
    assert (first.read_text(), second.name, second.read_text()) == ("one\n", "docker.list.1.orig", "two\n")
    path.write_text("one\n")
    assert keep_former(path) == first  # the same text needs no second copy
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "docker.list"
    path.write_text("one\n")
    (tmp_path / "docker.list.orig").mkdir()
    assert keep_former(path).name == "docker.list.1.orig"
