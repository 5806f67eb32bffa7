"""A picture is known by its content, whatever its name says."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.generation_picture import MAXIMUM_BYTES, picture_suffix, refused_picture

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (PNG, ".png"),
        (b"\xff\xd8\xff\xe0" + bytes(20), ".jpg"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", ".webp"),
        (b"RIFF\x10\x00\x00\x00WAVEfmt ", None),
        (b"BM" + bytes(20), ".bmp"),
        (b"II*\x00" + bytes(20), ".tiff"),
        (b"MM\x00*" + bytes(20), ".tiff"),
        (b"GIF89a", None),
        (b"%PDF-1.7", None),
        (b"", None),
    ],
)
def test_suffix(content, suffix):
    assert picture_suffix(content) == suffix
    assert bool(refused_picture(content)) == (suffix is None)


def test_size():
    assert "64 MiB" in refused_picture(PNG + bytes(MAXIMUM_BYTES))
    assert refused_picture(b"") == "is empty"
