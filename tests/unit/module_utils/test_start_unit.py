# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora import start_unit
from ansible.module_utils.opensora.start_unit import StartUnit


@pytest.fixture
def reloads(monkeypatch):
    found = []
    monkeypatch.setattr(start_unit.subprocess, "run", lambda command, **_: found.append(command))
    return found


@pytest.fixture
def unit(tmp_path):
    return StartUnit("small", "opensora-small-opensora-1", "/usr/bin/docker", tmp_path)


def test_written_enabled_and_removed(unit, tmp_path, reloads):
    file, link = tmp_path / "opensora-site-small.service", tmp_path / "docker.service.wants/opensora-site-small.service"
    assert not unit.differs(wanted=False)
    assert unit.differs(wanted=True)
    unit.bring(wanted=True)
    assert "ExecStart=/usr/bin/docker start opensora-small-opensora-1\n" in file.read_text()
    assert link.resolve() == file
    assert not unit.differs(wanted=True)
    unit.bring(wanted=True)
    assert reloads == [["systemctl", "daemon-reload"]]
    unit.bring(wanted=False)
    assert not file.exists()
    assert not link.is_symlink()


@pytest.mark.parametrize("change", ["text", "link"])
def test_what_somebody_changed_is_mended(unit, tmp_path, reloads, change):
    unit.bring(wanted=True)
    if change == "text":
        (tmp_path / "opensora-site-small.service").write_text("x")
    else:
        (tmp_path / "docker.service.wants/opensora-site-small.service").unlink()
    assert unit.differs(wanted=True)
    unit.bring(wanted=True)
    assert not unit.differs(wanted=True)
