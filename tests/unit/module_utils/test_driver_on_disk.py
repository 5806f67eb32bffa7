"""The driver's libraries, the files of the role and traces of NVIDIA's own installation program."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.opensora.driver_files import PATHS, UVM_PATH, uvm_text
from ansible.module_utils.opensora.driver_on_disk import has_uninstaller, library_version, read_driver_files

DEBIAN = "/usr/lib/x86_64-linux-gnu"


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        (DEBIAN, "libnvidia-ml.so"),
        (DEBIAN, "libcuda.so"),
        ("/usr/lib/aarch64-linux-gnu", "libcuda.so"),
        ("/usr/lib64", "libnvidia-ml.so"),
        (f"{DEBIAN}/nvidia/current", "libnvidia-ml.so"),
    ],
)
def test_linked_library(recorded: Any, folder: str, name: str) -> None:
    recorded.write(f"{folder}/{name}.580.159.04")
    recorded.link(f"{folder}/{name}.1", f"{name}.580.159.04")
    assert library_version(recorded) == "580.159.04"


def test_link_decides_between_two_files(recorded: Any) -> None:
    for version in ("550.163.01", "580.159.04", "595.91.07"):
        recorded.write(f"{DEBIAN}/libnvidia-ml.so.{version}")
    recorded.link(f"{DEBIAN}/libnvidia-ml.so.1", "libnvidia-ml.so.580.159.04")
    assert library_version(recorded) == "580.159.04"


def test_alternatives_of_debian(recorded: Any) -> None:
    real = f"{DEBIAN}/nvidia/current"
    recorded.write(f"{real}/libnvidia-ml.so.550.163.01")
    recorded.link(f"{real}/libnvidia-ml.so.1", "libnvidia-ml.so.550.163.01")
    recorded.link("/etc/alternatives/nvidia--libnvidia-ml.so.1-x86_64-linux-gnu", f"{real}/libnvidia-ml.so.1")
    recorded.link(f"{DEBIAN}/libnvidia-ml.so.1", "/etc/alternatives/nvidia--libnvidia-ml.so.1-x86_64-linux-gnu")
    assert library_version(recorded) == "550.163.01"


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("libcuda.so.570.86", "570.86"),
        ("libcudart.so.12.4.127", None),
        ("libcuda.so.1", None),
        ("libnvidia-ml.so.580.159.04.bak", None),
        ("libc.so.6", None),
    ],
)
def test_files_without_a_link(recorded: Any, name: str, version: str | None) -> None:
    recorded.write(f"{DEBIAN}/{name}")
    assert library_version(recorded) == version


def test_uninstaller(recorded: Any) -> None:
    assert has_uninstaller(recorded) is False
    recorded.write("/usr/bin/nvidia-uninstall")
    assert has_uninstaller(recorded) is True


def test_files_of_the_role(recorded: Any) -> None:
    recorded.write(UVM_PATH, uvm_text(), modified=1764062400)
    found = read_driver_files(recorded)
    assert tuple(found) == PATHS
    assert found.pop(UVM_PATH) == {"text": uvm_text(), "modified": 1764062400}
    assert set(found.values()) == {None}
