# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The picture that a video begins with: which kind of file it is, by its content."""

from __future__ import annotations

# Beginning of the content -> suffix by which the application knows the type.
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"BM", ".bmp"),
    (b"II*\x00", ".tiff"),
    (b"MM\x00*", ".tiff"),
)
MAXIMUM_BYTES = 64 << 20
READABLE = "PNG, JPEG, WebP, BMP or TIFF"


def picture_suffix(content: bytes) -> str | None:
    """Return the suffix for a picture's type, or None where the application can't read it.

    Args:
        content: The file, or its beginning.
    """
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for beginning, suffix in _BEGINNINGS if content.startswith(beginning)), None)


def refused_picture(content: bytes) -> str:
    """Return what is wrong with a picture, completing "which ...", or an empty text.

    Args:
        content: The file.
    """
    if not content:
        return "is empty"
    if len(content) > MAXIMUM_BYTES:
        return f"is larger than {MAXIMUM_BYTES >> 20} MiB"
    return "" if picture_suffix(content) else f"is not {READABLE}"
