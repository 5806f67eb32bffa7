"""Draw the frames and encode them: a disc that moves over waves; colours, way and pace depend on prompt and seed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import av
import numpy as np
from PIL import Image

SIZES = {"16:9": (16, 9), "9:16": (9, 16), "1:1": (1, 1), "2.39:1": (2.39, 1)}


def frame_size(resolution: str, aspect_ratio: str) -> tuple[int, int]:
    """Width and height in pixels: the area of a square of that resolution, both even."""
    edge = int(resolution.removesuffix("px"))
    across, down = SIZES[aspect_ratio]
    scale = edge / (across * down) ** 0.5
    return int(across * scale) // 2 * 2, int(down * scale) // 2 * 2


def frames(prompt: str, seed: int, count: int, width: int, height: int, *, reference: str | None = None):
    """Yield `count` RGB pictures; with a reference that one is the first."""
    if reference:
        with Image.open(reference) as picture:
            yield np.asarray(picture.convert("RGB").resize((width, height)))
        count -= 1
    dice = np.frombuffer(hashlib.sha256(f"{seed} {prompt}".encode()).digest(), dtype=np.uint8) / 255.0
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x / width, y / height
    sky, sea, disc = dice[0:3], dice[3:6], 0.4 + 0.6 * dice[6:9]
    for number in range(count):
        time = number / 24.0
        phase = x * (2 + 4 * dice[9]) + y * (1 + 6 * dice[10]) + time * (0.2 + dice[11])
        waves = 0.5 + 0.5 * np.sin(2 * np.pi * phase)
        picture = waves[..., None] * sky + (1 - waves[..., None]) * sea
        centre_x = 0.5 + 0.35 * np.sin(2 * np.pi * (time * (0.1 + 0.3 * dice[12]) + dice[13]))
        centre_y = 0.5 + 0.35 * np.cos(2 * np.pi * (time * (0.1 + 0.3 * dice[14]) + dice[15]))
        inside = ((x - centre_x) * width) ** 2 + ((y - centre_y) * height) ** 2 < (0.12 * min(width, height)) ** 2
        picture[inside] = disc
        yield (picture * 255).astype(np.uint8)


def write_video(path: Path, pictures, width: int, height: int, rate: int) -> str:
    """Encode the pictures into an MP4 and return the encoder's name: H.264 where this PyAV brings it, else MPEG-4."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoder = next(name for name in ("libx264", "libopenh264", "mpeg4") if name in av.codecs_available)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if encoder == "libx264":
            stream.options = {"crf": "23", "preset": "veryfast"}
        for picture in pictures:
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return encoder
