"""Distribution, codename and architecture from os-release, also of derivatives."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.opensora.os_release import describe_system, parse_os_release

CASES: list[tuple[str, str, dict[str, Any]]] = [
    (
        'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"',
        "x86_64",
        {"id": "debian", "family": "debian", "repository_id": "debian", "codename": "trixie", "major": 13},
    ),
    ('ID=debian\nVERSION_ID="12.5"\nVERSION_CODENAME=bookworm', "x86_64", {"major": 12, "version": "12.5"}),
    (
        "ID=debian\nPRETTY_NAME='Debian GNU/Linux forky/sid'",
        "x86_64",
        {"major": None, "version": None, "codename": None},
    ),
    (
        'ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="22"\nVERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble',
        "aarch64",
        {"id": "linuxmint", "repository_id": "ubuntu", "codename": "noble", "deb_arch": "arm64", "family": "debian"},
    ),
    (
        "ID=linuxmint\nID_LIKE=debian\nVERSION_CODENAME=faye\nDEBIAN_CODENAME=bookworm",
        "x86_64",
        {"repository_id": "debian", "codename": "bookworm"},
    ),
    ('ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"', "x86_64", {"family": "redhat", "major": 9}),
    ("ID=arch", "x86_64", {"family": "other", "version": None}),
    ("", "riscv64", {"id": None, "family": "other", "deb_arch": None, "repository_id": None}),
]


@pytest.mark.parametrize(("text", "machine", "expected"), CASES)
def test_describe(text: str, machine: str, expected: dict[str, Any]) -> None:
    system = describe_system(text, machine, "6.12.1")
    assert {key: system[key] for key in expected} == expected
    assert (system["kernel"], system["arch"]) == ("6.12.1", machine)


def test_odd_lines() -> None:
    assert parse_os_release('# comment\nNAME="a \'b\'"\nBROKEN="open\nnot an assignment\n') == {
        "NAME": "a 'b'",
        "BROKEN": "open",
    }
