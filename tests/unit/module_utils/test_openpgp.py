"""Fingerprints agree with what GnuPG printed when the fixture keys were made."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from ansible.module_utils.opensora.openpgp import (
    OpenPgpError,
    dearmour,
    normalize_fingerprint,
    parse_keys,
    select_key,
)

if TYPE_CHECKING:
    from pathlib import Path

VENDOR = "B41DD4D05A9095CFA433A028E3D8F83161511FFE"
OTHER = "EF41733584B8BEC4C9ED90696A0177C6EA486860"


@pytest.fixture
def keys(root: Path) -> Path:
    return root / "tests" / "fixtures" / "openpgp"


@pytest.mark.parametrize(
    ("name", "fingerprints"),
    [("vendor.asc", [VENDOR]), ("vendor.gpg", [VENDOR]), ("other.asc", [OTHER]), ("bundle.asc", [VENDOR, OTHER])],
)
def test_fingerprints_are_those_of_gnupg(keys: Path, name: str, fingerprints: list[str]) -> None:
    assert sorted(key.fingerprint for key in parse_keys((keys / name).read_bytes())) == sorted(fingerprints)


def test_armour_is_removed_to_the_exported_bytes(keys: Path) -> None:
    armoured = (keys / "vendor.asc").read_bytes()
    assert dearmour(armoured) == (keys / "vendor.gpg").read_bytes()
    assert dearmour(armoured.replace(b"\n", b"\r\n")) == (keys / "vendor.gpg").read_bytes()


def test_only_the_pinned_key_of_a_bundle_is_kept(keys: Path) -> None:
    key = select_key((keys / "bundle.asc").read_bytes(), " ".join(VENDOR[i : i + 4] for i in range(0, 40, 4)).lower())
    assert key.content == (keys / "vendor.gpg").read_bytes()
    assert key.user_ids == ("Vendor Release (test) <release@vendor.test>",)


def test_another_key_is_refused_with_both_fingerprints(keys: Path) -> None:
    with pytest.raises(OpenPgpError) as error:
        select_key((keys / "other.asc").read_bytes(), VENDOR)
    assert VENDOR in str(error.value)
    assert OTHER in str(error.value)
    assert "Other Vendor (test)" in str(error.value)


def test_a_version_6_key_is_named_by_sha256() -> None:
    body = b"\x06" + b"\x00\x00\x00\x01\x1b" + b"\x00\x00\x00\x20" + b"k" * 32
    packet = bytes([0xC6, len(body)]) + body
    expected = hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper()
    assert parse_keys(packet)[0].fingerprint == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"<!DOCTYPE html>\n<html>404</html>", "<!DOCTYPE html>"),
        (b"deb https://vendor.test /", "not an OpenPGP key"),
        (b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nabcd\n-----END PGP PRIVATE KEY BLOCK-----\n", "private key"),
        (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nab*d\n-----END PGP PUBLIC KEY BLOCK-----\n", "damaged"),
        (b"\x1f\x8b gzip", "not an OpenPGP key"),
        (bytes([0xCD, 3]) + b"abc", "no public key"),
        (bytes([0xC6, 200, 1]) + b"abc", "cut off"),
        (bytes([0xC6, 200]), "cut off"),
        (bytes([0xC6, 2, 3, 0]), "version 3"),
        (bytes([0xC6, 230]) + b"abc", "partial length"),
        (bytes([0x9B]) + b"abc", "no length"),
        (bytes([0xC5, 1, 4]), "private key"),
    ],
)
def test_what_is_no_key_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(OpenPgpError, match=said):
        parse_keys(content)


def test_a_changed_letter_is_found_by_the_checksum(keys: Path) -> None:
    text = (keys / "vendor.asc").read_text()
    lines = text.splitlines()
    lines[5] = ("A" if lines[5][0] != "A" else "B") + lines[5][1:]
    with pytest.raises(OpenPgpError, match="checksum"):
        parse_keys("\n".join(lines).encode())


@pytest.mark.parametrize("short", ["", "F796ECB0", "DDCAE044F796ECB0", VENDOR[:-1], "Z" * 40])
def test_short_fingerprints_are_refused(short: str) -> None:
    with pytest.raises(ValueError, match="full fingerprint"):
        normalize_fingerprint(short)


@pytest.mark.parametrize("written", [VENDOR, VENDOR.lower(), f"0x{VENDOR}", f" {VENDOR[:20]}  {VENDOR[20:]} "])
def test_full_fingerprints_are_normalized(written: str) -> None:
    assert normalize_fingerprint(written) == VENDOR
