"""Components are added with a backup, only where they are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import apt_source_components
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BEFORE = "deb http://mirror.example.org/debian trixie main\n"
AFTER = "deb http://mirror.example.org/debian trixie main contrib non-free\n"
OTHER = "Types: deb\nURIs: https://apt.example.org\nSuites: stable\nComponents: main\nSigned-By: /etc/x.asc\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(BEFORE)
    (tmp_path / "sources.list").chmod(0o644)
    (tmp_path / "sources.list.d/other.sources").write_text(OTHER)
    return tmp_path


def test_adds_once(run_module: Callable[..., dict[str, Any]], directory: Path) -> None:
    wish = {"codename": "trixie", "components": ["contrib", "non-free"], "directory": str(directory)}
    predicted = run_module(apt_source_components, **wish, _ansible_check_mode=True, _ansible_diff=True)
    assert predicted["changed"] is True
    assert predicted["diff"][0]["after"] == AFTER
    assert (directory / "sources.list").read_text() == BEFORE

    result = run_module(apt_source_components, **wish)
    assert result["paths"] == predicted["paths"] == [str(directory / "sources.list")]
    assert (directory / "sources.list").read_text() == AFTER
    assert (directory / "sources.list").stat().st_mode & 0o777 == 0o644
    assert (directory / "sources.list.d/other.sources").read_text() == OTHER
    (backup,) = result["backup_files"]
    assert (directory / backup).read_text() == BEFORE

    assert run_module(apt_source_components, **wish)["changed"] is False


def test_no_sources(run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    result = run_module(apt_source_components, codename="trixie", components=["contrib"], directory=str(tmp_path))
    assert (result["changed"], result["paths"]) == (False, [])
