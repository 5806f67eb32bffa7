"""Write a file; the real one does it in the background."""

from __future__ import annotations

from pathlib import Path


class AsyncFileWriter:
    """Collects nothing and writes at once."""

    def __init__(self, path: str, *_queue: object, **_options: object) -> None:
        self.path = Path(path)
        self._file = self.path.open("wb")

    def write(self, data: bytes) -> int:
        return self._file.write(data)

    def synchronize(self) -> None:
        self._file.flush()
