# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""OpenPGP public keys without GnuPG: remove the armour, compute fingerprints, keep one key of a bundle.

The packet format is RFC 4880 (version 4 keys) and RFC 9580 (version 6 keys). Signatures are not checked here: the
trust comes from the pinned fingerprint, and the package manager checks what the key signed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TAG_SECRET_KEY = 5
TAG_PUBLIC_KEY = 6
VERSION_4 = 4
VERSION_6 = 6
LENGTHS = {40: "SHA-1, version 4", 64: "SHA-256, version 6"}  # hexadecimal digits of a full fingerprint

_ARMOUR = re.compile(
    r"-----BEGIN PGP PUBLIC KEY BLOCK-----[ \t]*\n(?P<body>.*?)\n-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL
)
_CHECKSUM_INITIAL = 0xB704CE
_CHECKSUM_POLYNOMIAL = 0x1864CFB


class OpenPgpError(ValueError):
    """The content is not an OpenPGP public key."""


@dataclass(frozen=True)
class PublicKey:
    """One primary key with everything that belongs to it.

    Attributes:
        fingerprint: Full fingerprint of the primary key, upper-case hexadecimal.
        user_ids: User identifiers, in their order.
        content: The key's packets, as they stood in the input.
    """

    fingerprint: str
    user_ids: tuple[str, ...]
    content: bytes


def normalize_fingerprint(fingerprint: str) -> str:
    """Return a fingerprint in upper case without blanks.

    Args:
        fingerprint: As a vendor prints it, blanks and a leading 0x allowed.

    Raises:
        ValueError: It is not a full fingerprint; the short forms can be forged and are refused.
    """
    text = re.sub(r"\s+|^0[xX]", "", fingerprint).upper()
    if not re.fullmatch(r"[0-9A-F]+", text) or len(text) not in LENGTHS:
        raise ValueError(f"{fingerprint!r} is not a full fingerprint (40 or 64 hexadecimal digits)")
    return text


def _checksum(content: bytes) -> int:
    value = _CHECKSUM_INITIAL
    for byte in content:
        value ^= byte << 16
        for _ in range(8):
            value <<= 1
            if value & 0x1000000:
                value ^= _CHECKSUM_POLYNOMIAL
    return value & 0xFFFFFF


def _first_line(content: bytes) -> str:
    lines = content.decode("utf-8", "replace").strip().splitlines()
    return lines[0][:80] if lines else ""


def _dearmour_block(body: str) -> bytes:
    lines = [line.strip() for line in body.split("\n")]
    if "" in lines:  # headers such as "Version:" end at the first empty line
        lines = lines[lines.index("") + 1 :]
    checksum = ""
    if lines and lines[-1].startswith("="):
        checksum = lines.pop()[1:]
    try:
        content = base64.b64decode("".join(lines), validate=True)
        expected = int.from_bytes(base64.b64decode(checksum, validate=True), "big") if checksum else None
    except binascii.Error as error:
        raise OpenPgpError(f"the armoured key is damaged: {error}") from error
    if expected is not None and _checksum(content) != expected:
        raise OpenPgpError("the armoured key is damaged: its checksum does not fit")
    return content


def dearmour(content: bytes) -> bytes:
    """Return the binary form of a public key file.

    Args:
        content: Armoured text (one or more blocks) or the binary form itself.

    Raises:
        OpenPgpError: It is neither, or the armoured text is damaged.
    """
    if not content.strip():
        raise OpenPgpError("the content is empty")
    if content[0] & 0x80:
        return content
    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    if "BEGIN PGP PRIVATE KEY BLOCK" in text:
        raise OpenPgpError("the content is a private key; only the public key belongs here")
    blocks = [_dearmour_block(found.group("body")) for found in _ARMOUR.finditer(text)]
    if not blocks:
        raise OpenPgpError(f"the content is not an OpenPGP key; it begins with {_first_line(content)!r}")
    return b"".join(blocks)


def _old_length(content: bytes, offset: int, kind: int) -> tuple[int, int]:
    size = (1, 2, 4)[kind]
    return int.from_bytes(content[offset : offset + size], "big"), offset + size


def _new_length(content: bytes, offset: int) -> tuple[int, int]:
    first = content[offset]
    if first < 192:  # noqa: PLR2004 -- the three bounds are those of RFC 4880, section 4.2.2
        return first, offset + 1
    if first < 224:  # noqa: PLR2004
        return ((first - 192) << 8) + content[offset + 1] + 192, offset + 2
    if first == 255:  # noqa: PLR2004
        return int.from_bytes(content[offset + 1 : offset + 5], "big"), offset + 5
    raise OpenPgpError("a key packet has a partial length, which keys do not have")


def _packets(content: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield tag, start, end and body of each packet."""
    offset = 0
    while offset < len(content):
        start = offset
        header = content[offset]
        if not header & 0x80:
            raise OpenPgpError(f"the key is damaged at byte {offset}: no packet begins there")
        try:
            if header & 0x40:
                tag = header & 0x3F
                length, offset = _new_length(content, offset + 1)
            else:
                tag = (header >> 2) & 0x0F
                kind = header & 0x03
                if kind == 3:  # noqa: PLR2004 -- the length type "until the end of the input"
                    raise OpenPgpError("a key packet has no length, which keys do not have")
                length, offset = _old_length(content, offset + 1, kind)
        except IndexError as error:
            raise OpenPgpError("the key is cut off in a packet header") from error
        if offset + length > len(content):
            raise OpenPgpError(f"the key is cut off: {offset + length - len(content)} bytes of a packet are missing")
        yield tag, start, offset + length, content[offset : offset + length]
        offset += length


def _fingerprint(body: bytes) -> str:
    version = body[0] if body else 0
    if version == VERSION_4:
        prefix = b"\x99" + len(body).to_bytes(2, "big")
        # Not a choice: the fingerprint of a version 4 key is defined with SHA-1.
        return hashlib.sha1(prefix + body, usedforsecurity=False).hexdigest().upper()
    if version == VERSION_6:
        return hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper()
    raise OpenPgpError(f"the key has version {version}; supported are version 4 and version 6")


def parse_keys(content: bytes) -> list[PublicKey]:
    """Return the public keys of a key file.

    Args:
        content: Armoured text or binary form, one or more keys.

    Raises:
        OpenPgpError: The content holds no public key, or is damaged.
    """
    binary = dearmour(content)
    starts: list[tuple[int, str, list[str]]] = []
    for tag, start, _, body in _packets(binary):
        if tag == TAG_SECRET_KEY:
            raise OpenPgpError("the content is a private key; only the public key belongs here")
        if tag == TAG_PUBLIC_KEY:
            starts.append((start, _fingerprint(body), []))
        elif tag == 13 and starts:  # noqa: PLR2004 -- the tag of a user identifier
            starts[-1][2].append(body.decode("utf-8", "replace"))
    if not starts:
        raise OpenPgpError("the content holds no public key")
    ends = [start for start, _, _ in starts[1:]] + [len(binary)]
    return [
        PublicKey(fingerprint=fingerprint, user_ids=tuple(names), content=binary[start:end])
        for (start, fingerprint, names), end in zip(starts, ends)
    ]


def select_key(content: bytes, fingerprint: str) -> PublicKey:
    """Return the key with the pinned fingerprint, without any other key of the bundle.

    Args:
        content: Armoured text or binary form, one or more keys.
        fingerprint: The pinned full fingerprint of the primary key.

    Raises:
        OpenPgpError: The content is no public key, or the pinned key is not among its keys.
    """
    wanted = normalize_fingerprint(fingerprint)
    keys = parse_keys(content)
    for key in keys:
        if key.fingerprint == wanted:
            return key
    found = ", ".join(f"{key.fingerprint} ({'; '.join(key.user_ids) or 'no name'})" for key in keys)
    raise OpenPgpError(f"the pinned fingerprint is {wanted}, the fingerprint of the key found is {found}")
