"""The module site_trust against folders that stand for a host's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import site_trust

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def content(root: Path) -> str:
    return (root / "tests" / "fixtures" / "certificates" / "authority.pem").read_text()


@pytest.fixture
def run(tmp_path: Path, run_module: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    marker = tmp_path / "updated"
    command = tmp_path / "update"
    command.write_text(f'#!/bin/sh\necho x >> "{marker}"\n')
    command.chmod(0o755)
    (tmp_path / "apt" / "sources.list.d").mkdir(parents=True)

    def run(**options: Any) -> dict[str, Any]:
        return run_module(
            site_trust,
            certificate_directory=str(tmp_path / "store"),
            update_command=[str(command)],
            package_directory=str(tmp_path / "apt"),
            codename="trixie",
            _ansible_diff=True,
            **options,
        )

    return run


def updates(folder: Path) -> int:
    marker = folder / "updated"
    return len(marker.read_text().splitlines()) if marker.exists() else 0


def test_certificates_come_and_go_with_the_variable(tmp_path: Path, run: Any, content: str) -> None:
    entries = [{"name": "site", "content": content}]
    assert run(ca_certificates=entries, _ansible_check_mode=True)["changed"]
    assert not (tmp_path / "store").exists()
    assert run(ca_certificates=entries)["certificates_changed"]
    assert (tmp_path / "store" / "opensora-site-site.crt").read_text() == content
    assert updates(tmp_path) == 1
    assert not run(ca_certificates=entries)["changed"]
    assert updates(tmp_path) == 1
    (tmp_path / "store" / "somebody-else.crt").write_text(content)
    assert run()["changed"]
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["somebody-else.crt"]
    assert updates(tmp_path) == 2


def test_a_damaged_certificate_changes_nothing(tmp_path: Path, run: Any) -> None:
    result = run(ca_certificates=[{"name": "site", "content": "no"}])
    assert result["failed"]
    assert "'site'" in result["msg"]
    assert not (tmp_path / "store").exists()


def test_mirrors_and_proxies(tmp_path: Path, run: Any) -> None:
    sources = tmp_path / "apt" / "sources.list"
    before = "deb http://x.test/debian trixie main\ndeb https://third.test/linux trixie stable\n"
    sources.write_text(before)
    options = {"mirror_url": "https://m.test/debian", "http_proxy": "http://p:3128"}
    result = run(**options)
    assert result["changed"]
    assert not result["certificates_changed"]
    assert sources.read_text() == before.replace("http://x.test", "https://m.test")
    assert (tmp_path / "apt" / "sources.list.orig").read_text() == before
    assert 'Proxy "http://p:3128"' in (tmp_path / "apt" / "apt.conf.d" / "90opensora-site-proxy").read_text()
    assert not run(**options)["changed"]
    run(mirror_url="https://n.test/debian")
    assert (tmp_path / "apt" / "sources.list.orig").read_text() == before
    assert not (tmp_path / "apt" / "apt.conf.d" / "90opensora-site-proxy").exists()
    assert updates(tmp_path) == 0
