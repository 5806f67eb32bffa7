# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Programs that run in the container of the service, with its Python and as its user.

PyAV and Pillow are there, because the application writes videos with the one and reads pictures with the other.
"""

from __future__ import annotations

from ansible.module_utils.opensora.generation_progress import STEPS_BAR

RECORD_FILE = "record.json"
VIDEO_FILE = "video.mp4"
SHEET_FILE = "sheet.jpg"
# Exit codes of FINISH.
NO_VIDEO, UNDECODABLE = 3, 4

# Starts the application, and shows a bar for the steps of a video, during which the application itself is silent.
# The application walks over zip(times[:-1], times[1:]).
LAUNCHER = f"""
import os, runpy, sys
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
if os.environ.get("RANK", "0") == "0":
    try:
        import opensora.utils.sampling as sampling
        from tqdm import tqdm
        schedule = sampling.get_schedule

        class Steps(list):
            def __getitem__(self, key):
                part = list.__getitem__(self, key)
                if key != slice(1, None):
                    return part
                return tqdm(part, desc="{STEPS_BAR}", mininterval=1, leave=False, position=0, ascii=True, ncols=100)

        sampling.get_schedule = lambda *arguments, **options: Steps(schedule(*arguments, **options))
    except Exception as error:
        print(f"the steps of a video can't be counted: {{error!r}}", flush=True)
runpy.run_path(sys.argv[0], run_name="__main__")
"""

# FINISH VIDEO FOLDER RECORD: decodes a video to its end, makes its contact sheet, moves it into its folder, and writes
# the record last, so that a folder with a record is a whole one.
FINISH = f"""
import contextlib, hashlib, importlib.metadata, json, os, pathlib, sys, textwrap, unicodedata
source, folder, record = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), json.loads(sys.argv[3])
if not source.is_file():
    sys.exit({NO_VIDEO})
import av
frames, pictures = 0, []
try:
    with av.open(str(source)) as video:
        stream = video.streams.video[0]
        rate, width, height = float(stream.average_rate), stream.width, stream.height
        small = {{"width": 320, "height": max(2, 320 * height // width // 2 * 2), "format": "rgb24"}}
        for frame in video.decode(stream):
            frames += 1
            pictures.append(frame.reformat(**small).to_ndarray())
except av.FFmpegError as error:
    print(repr(error))
    sys.exit({UNDECODABLE})
if not frames:
    print(f"{{source}} has no frames")
    sys.exit({UNDECODABLE})
folder.mkdir(parents=True, exist_ok=True)

def sheet():
    from PIL import Image, ImageDraw, ImageFont
    words, font = " ".join(record["prompt"].split()), None
    for name in ("NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf"):
        with contextlib.suppress(OSError):
            font = font or ImageFont.truetype(name, 16)
    if font is None:
        # The font that Pillow brings has no more than ASCII; the record has the prompt as it is.
        plain = unicodedata.normalize("NFKD", words)
        words = "".join(c for c in plain if not unicodedata.combining(c)).encode("ascii", "replace").decode()
        try:
            font = ImageFont.load_default(size=16)
        except TypeError:
            font = ImageFont.load_default()
    high, wide = pictures[0].shape[:2]
    lines = textwrap.wrap(words, 115)[:6] or [""]
    facts = [record["config"], f"seed {{record['seed']}}", f"{{frames}} frames", f"{{width}}x{{height}}", record["id"]]
    lines.append(", ".join(facts))
    page = Image.new("RGB", (3 * wide + 16, 3 * high + 24 + 22 * len(lines)), "white")
    draw = ImageDraw.Draw(page)
    for place in range(9):
        number = round(place * (frames - 1) / 8)
        x, y = 4 + place % 3 * (wide + 4), 4 + place // 3 * (high + 4)
        page.paste(Image.fromarray(pictures[number]), (x, y))
        stamp = f"{{number / rate:.2f}} s"
        box = draw.textbbox((x + 6, y + 4), stamp, font=font)
        draw.rectangle((box[0] - 4, box[1] - 3, box[2] + 4, box[3] + 3), fill="black")
        draw.text((x + 6, y + 4), stamp, fill="white", font=font)
    for number, line in enumerate(lines):
        draw.text((6, 3 * high + 18 + 22 * number), line, fill="black", font=font)
    page.save(folder / "{SHEET_FILE}", quality=88)

try:
    sheet()
    record["sheet"] = "{SHEET_FILE}"
except Exception as error:
    record["sheet"], record["sheet_missing"] = None, repr(error)
content = source.read_bytes()
record["video"] = {{
    "file": "{VIDEO_FILE}", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "frames": frames,
    "seconds": round(frames / rate, 3), "width": width, "height": height,
}}
record["versions"] = {{}}
for package in ("torch", "opensora", "flash-attn", "colossalai"):
    try:
        record["versions"][package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        pass
os.replace(source, folder / "{VIDEO_FILE}")
(folder / "{RECORD_FILE}.new").write_text(json.dumps(record), encoding="utf-8")
os.replace(folder / "{RECORD_FILE}.new", folder / "{RECORD_FILE}")
print(json.dumps(record))
"""

# RECORDS SAMPLES IDENTIFIER...: prints the records of those videos that lie whole in their folders.
RECORDS = f"""
import json, pathlib, sys
samples, found = pathlib.Path(sys.argv[1]), {{}}
for identifier in sys.argv[2:]:
    try:
        record = json.loads((samples / identifier / "{RECORD_FILE}").read_text(encoding="utf-8"))
        length = (samples / identifier / "{VIDEO_FILE}").stat().st_size
        if record["id"] == identifier and length == record["video"]["bytes"]:
            found[identifier] = record
    except (OSError, ValueError, KeyError, TypeError):
        continue
print(json.dumps(found))
"""

# REMOVE FOLDER: what a run leaves beside its videos.
REMOVE = "import shutil, sys; shutil.rmtree(sys.argv[1], ignore_errors=True)"
