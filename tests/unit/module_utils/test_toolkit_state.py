"""Version of the container toolkit and when it came."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.opensora.toolkit_state import describe_toolkit

LIST = "/var/lib/dpkg/info/nvidia-container-toolkit-base"
PACKAGE = {"version": "1.20.0-1", "status": "ii"}


@pytest.mark.parametrize(
    ("files", "time"),
    [
        ({f"{LIST}.list": 10, "/usr/bin/nvidia-container-runtime": 30}, 10),
        ({f"{LIST}:amd64.list": 11}, 11),
        ({f"{LIST}.md5sums": 12, "/usr/bin/nvidia-container-runtime": 30}, 30),
        ({}, None),
    ],
)
def test_time(recorded: Any, files: dict[str, int], time: int | None) -> None:
    for path, modified in files.items():
        recorded.write(path, modified=modified)
    found = describe_toolkit(recorded, {"nvidia-container-toolkit-base": PACKAGE})
    assert (found["version"], found["installed_at"]) == ("1.20.0", time)


def test_old_toolkit_of_one_package(recorded: Any) -> None:
    recorded.write("/var/lib/dpkg/info/nvidia-container-toolkit.list", modified=10)
    found = describe_toolkit(recorded, {"nvidia-container-toolkit": {"version": "1.9.0-1", "status": "ii"}})
    assert (found["version"], found["installed_at"]) == ("1.9.0", 10)
    assert found["packages"] == {"nvidia-container-toolkit": "1.9.0-1"}


def test_programs_without_packages(recorded: Any) -> None:
    recorded.write("/usr/bin/nvidia-container-runtime", modified=10)
    assert describe_toolkit(recorded, {}) == {"version": None, "packages": {}, "installed_at": None, "cdi_specs": []}
