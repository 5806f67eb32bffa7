"""A container of the service that is a folder: the programs for it really run there; the application is a few lines."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

MP4 = b"\x00\x00\x00\x18ftypisom"
# Decodes whatever is no word "broken".
PYAV = """
import contextlib, types

class FFmpegError(Exception):
    pass

class Picture:
    shape = (2, 4)

class Frame:
    def reformat(self, **_):
        return self
    def to_ndarray(self):
        return Picture()

@contextlib.contextmanager
def open(path):
    content = __builtins__["open"](path, "rb").read()
    def decode(_):
        if b"broken" in content:
            raise FFmpegError("invalid data")
        yield from (Frame() for _ in range(content.count(b"frame")))
    stream = types.SimpleNamespace(average_rate=24, width=4, height=2)
    yield types.SimpleNamespace(streams=types.SimpleNamespace(video=[stream]), decode=decode)
"""


class Container:
    """Working directory, samples, and what the application does with each prompt."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.samples = root / "samples"
        self.samples.mkdir(parents=True)
        self.programs = root / "programs"
        self.programs.mkdir()
        (self.programs / "av.py").write_text(PYAV)
        self.runs: list[list[str]] = []
        self.environments: list[dict[str, str]] = []
        self.tables: list[list[dict[str, str]]] = []
        # Prompt -> content of the video, "silent" for none, or an exception's text with which the application ends.
        self.behaviour: dict[str, str | bytes] = {}
        self.ends_at_once = ""
        self.timeout = 60

    @property
    def prompts(self) -> list[list[str]]:
        """Return the prompts of each run."""
        return [[row["text"] for row in table] for table in self.tables]

    def execute(self, command: list[str]) -> tuple[int, str]:
        if command[0] == "id":
            return 0, "10001\n"
        words = [word.replace("/app/", f"{self.root}/") if word.startswith("/app/") else word for word in command[1:]]
        done = subprocess.run(  # noqa: S603 -- the programs under test
            [sys.executable, *words],
            cwd=self.root,
            env={"PYTHONPATH": str(self.programs)},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    # What the SDK offers.
    def inspect_container(self, _: str) -> dict[str, Any]:
        mounts = [{"Destination": "/app/samples", "Source": str(self.samples)}]
        return {"Config": {"WorkingDir": "/app"}, "Mounts": mounts}

    def put_archive(self, _: str, path: str, content: bytes) -> bool:
        assert path == "/app/samples"
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            assert {(entry.uid, entry.gid) for entry in archive} == {(10001, 10001)}
            for entry in archive:
                target = self.samples / entry.name
                if entry.isdir():
                    target.mkdir(exist_ok=True)
                else:
                    target.write_bytes(archive.extractfile(entry).read())  # type: ignore[union-attr]
        return True

    def exec_create(self, _: str, command: list[str], environment: dict[str, str]) -> dict[str, str]:
        self.runs.append(command)
        self.environments.append(environment)
        return {"Id": str(len(self.runs) - 1)}

    def exec_inspect(self, identifier: str) -> dict[str, int]:
        return {"ExitCode": self.codes[identifier]}

    codes: dict[str, int] = {}  # noqa: RUF012 -- one for each container, set below

    def exec_start(self, identifier: str, stream: bool):
        assert stream
        command = self.runs[int(identifier)]
        self.codes = {**self.codes, identifier: 1}
        folder = self.root / command[command.index("--save-dir") + 1]
        with (self.root / command[command.index("--dataset.data-path") + 1]).open(newline="") as file:
            rows = list(csv.DictReader(file))
        self.tables.append(rows)
        yield b"[x] Building models...\n"
        if self.ends_at_once:
            yield f"{self.ends_at_once}\n".encode()
            return
        for row in rows:
            assert not row.get("ref") or (self.root / row["ref"]).is_file()
            yield b"\rInference progress:   0%|   | 0/2 [00:00<?, ?it/s]\n[x] Generating video...\nDenoising:  40%|##  "
            yield b"| 20/50 [04:06<06:09, 12.30s/it]\r"
            result = self.behaviour.get(row["text"], MP4 + b"frame frame")
            if isinstance(result, str) and result != "silent":
                yield f"Traceback\n{result}\n".encode()
                return
            if isinstance(result, bytes):
                resolution = "768px" if "768px" in command[command.index("--dataset.data-path") - 1] else "256px"
                path = folder / f"video_{resolution}" / f"{row['name']}.mp4"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(result)
                yield f"Saved to {path.relative_to(self.root)}\n".encode()
        self.codes = {**self.codes, identifier: 0}
