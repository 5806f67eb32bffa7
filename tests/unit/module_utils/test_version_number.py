"""Versions compare by number."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.version_number import major_minor, upstream_version, version_key


def test_order() -> None:
    assert version_key("12.10") > version_key("12.8")
    assert version_key("v2.26.1-4") == (2, 26, 1)
    assert version_key("12.2") == version_key("12.2.0")
    assert major_minor("13") == (13, 0)
    with pytest.raises(ValueError, match="no version"):
        version_key("latest")


@pytest.mark.parametrize(
    ("version", "upstream"),
    [
        ("550.163.01-2", "550.163.01"),
        ("1:550.163.01-2+b1", "550.163.01"),
        ("5:29.7.2-1~debian.13~trixie", "29.7.2"),
        ("26.1.5+dfsg1-9+b11", "26.1.5"),
        ("1.20.0-1", "1.20.0"),
    ],
)
def test_upstream(version: str, upstream: str) -> None:
    assert upstream_version(version) == upstream
