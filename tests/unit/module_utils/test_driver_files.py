"""The texts of the role's files."""

from __future__ import annotations

import re

import pytest
from ansible.module_utils.opensora import driver_files


def test_paths_are_different_and_absolute() -> None:
    assert len(set(driver_files.PATHS)) == len(driver_files.PATHS)
    assert all(path.startswith("/") for path in driver_files.PATHS)


@pytest.mark.parametrize(
    "text",
    [
        driver_files.nouveau_text(),
        driver_files.uvm_text(),
        driver_files.uvm_rules_text(),
        driver_files.pin_text(["a"], "1"),
    ],
)
def test_texts_begin_with_a_comment_and_end_with_a_line(text: str) -> None:
    assert text.startswith("# Managed by opensora-site")
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_nouveau() -> None:
    assert driver_files.nouveau_text().splitlines()[1:] == ["blacklist nouveau", "options nouveau modeset=0"]


def test_unified_memory() -> None:
    assert driver_files.uvm_text().splitlines()[1:] == ["nvidia-uvm"]
    rule = driver_files.uvm_rules_text().splitlines()[1]
    assert 'KERNEL=="nvidia_uvm"' in rule
    assert rule.endswith('RUN+="/usr/bin/nvidia-modprobe -c 0 -u"')


@pytest.mark.parametrize(
    ("package", "guarded"),
    [
        ("nvidia-kernel-open-dkms", True),
        ("nvidia-dkms-580-open", True),
        ("libnvidia-compute-580", True),
        ("libcuda1", True),
        ("linux-image-6.8.0-60-generic", True),
        ("linux-image-amd64", True),
        ("linux-headers-generic", True),
        ("linux-modules-nvidia-580-server-open-aws", True),
        ("linux-generic-hwe-24.04", True),
        ("linux-aws", True),
        ("dkms", True),
        ("nvidia-container-toolkit", False),
        ("libnvidia-container1", False),
        ("linux-libc-dev", False),
        ("openssl", False),
        ("docker-ce", False),
    ],
)
def test_what_is_left_out_of_unattended_upgrades(package: str, guarded: bool) -> None:
    text = driver_files.upgrade_guard_text()
    patterns = re.findall(r'^    "(.*)";$', text, re.MULTILINE)
    assert list(driver_files.GUARDED_PACKAGES) == patterns
    assert any(re.match(pattern, package) for pattern in patterns) is guarded
    assert text.startswith("// ")


def test_pin() -> None:
    text = driver_files.pin_text(["*nvidia*", "libcuda1"], "580.*")
    assert text.splitlines()[1:] == ["Package: *nvidia* libcuda1", "Pin: version 580.*", "Pin-Priority: 1001"]
    assert driver_files.excludes_builds(text) is False


def test_pin_against_the_distributions_builds() -> None:
    exclusion = driver_files.exclusion_text(["libcuda1", "libnvidia-*"], "Debian")
    text = driver_files.pin_text(["*nvidia*"], "580.159.04-*", exclusion)
    stanzas = text.split("\n\n")
    assert "Pin: release o=Debian\nPin-Priority: -1" in stanzas[0]
    assert "Pin: version 580.159.04-*\nPin-Priority: 1001" in stanzas[1]
    assert driver_files.excludes_builds(text) is True
