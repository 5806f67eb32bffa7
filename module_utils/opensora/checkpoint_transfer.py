# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Fetch, verify and publish the files of the weights one by one, in one run at a time on a host."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ansible.module_utils.opensora.checkpoint_decision import Item
from ansible.module_utils.opensora.checkpoint_failure import digest_failure, disk_failure, failure, time_failure
from ansible.module_utils.opensora.checkpoint_manifest import ManifestFile, file_digest
from ansible.module_utils.opensora.checkpoint_mirror import FetchError, WeightsSource
from ansible.module_utils.opensora.checkpoint_state import CheckpointFolder
from ansible.module_utils.opensora.image_transfer import SILENCE_SECONDS, STEP_PERCENT, size_text

_POLL_SECONDS = 2.0
_LONGEST_PAUSE = 60.0
# A server may ask for more patience than that, but not for all of it.
_LONGEST_ASKED_PAUSE = 300.0


class FileProgress:
    """Says how far a file is: at every tenth and after a long silence.

    Args:
        say: Shows a line.
        position: ``3/12``, then what is done and the path.
        size: Bytes of the file.
        clock: Monotonic seconds.
    """

    def __init__(
        self, say: Callable[[str], None], position: str, size: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._position = position
        self._size = size
        self._clock = clock
        self._tenth = -1
        self._at = clock()
        self._done: int | None = None

    def __call__(self, done: int) -> None:
        """Take the number of bytes that there are now."""
        percent = 100 * done // self._size if self._size else 100
        tenth, now = percent // STEP_PERCENT, self._clock()
        if self._done is None:
            self._done = done
        if tenth <= self._tenth and now - self._at <= SILENCE_SECONDS:
            return
        seconds, grown = now - self._at, done - self._done
        rate = f", {size_text(int(grown / seconds))}/s" if seconds > 0 and grown > 0 else ""
        self._say(f"{self._position} {percent} % of {size_text(self._size)}{rate}")
        self._tenth, self._at, self._done = tenth, now, done


class Fetcher:
    """Fetches files into a folder.

    Args:
        folder: The folder of the weights; its state folders are there.
        source: Where files come from.
        retries: How often in a row to ask again when nothing more has come.
        deadline: Monotonic time at which to end.
        timeout: The same as seconds, for messages.
        say: Shows a line.
        sleep: Waits.
    """

    def __init__(
        self,
        folder: CheckpointFolder,
        source: WeightsSource,
        *,
        retries: int,
        deadline: float,
        timeout: int,
        say: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._folder = folder
        self._source = source
        self._retries = retries
        self._deadline = deadline
        self._timeout = timeout
        self._say = say
        self._sleep = sleep
        self.bytes = 0

    def fetch(self, item: Item, position: str) -> None:
        """Fetch a file, verify it and put it into its place.

        Args:
            item: The file.
            position: Such as ``3/12``, for lines of progress.

        Raises:
            FetchError: It could not be fetched; what was there stays as it was.
        """
        file, part = item.file, self._folder.part(item.file)
        try:
            begun = _length(part)
            self._collect(file, f"{position} {file.path}")
            found = file_digest(part)
            if found != file.sha256 and begun:
                # What an earlier run left may have been damaged since, or be of another file of the server.
                self._say(f"{position} {file.path}: damaged after it was gone on with, fetching all of it again")
                self._discard(part)
                self._collect(file, f"{position} {file.path}")
                found = file_digest(part)
            if found != file.sha256:
                self._discard(part)
                raise digest_failure(self._source.address(file), found, file)
            self._folder.publish(file)
        except OSError as error:
            raise disk_failure(str(self._folder.path), error) from error
        part.with_suffix(".validator").unlink(missing_ok=True)

    def _collect(self, file: ManifestFile, position: str) -> None:
        """Bring the part to its full length, asking again as long as it helps."""
        part = self._folder.part(file)
        progress, best, failures = FileProgress(self._say, position, file.size), _length(part), 0
        if best:
            self._say(f"{position}: going on at {size_text(best)} of {size_text(file.size)}")
        before = best

        def watch(done: int) -> None:
            if time.monotonic() > self._deadline:
                raise time_failure(file, done, self._timeout)
            progress(done)

        while True:
            try:
                self._source.fetch(file, part, watch)
            except FetchError as error:  # noqa: PERF203 (asking again is what the loop is for)
                length = _length(part)
                failures = 0 if length > best else failures + 1
                best = max(best, length)
                if not error.again or failures > self._retries:
                    raise
                self._wait(error, failures, file, length)
            else:
                if _length(part) != file.size:
                    raise failure(
                        "application",
                        "size_differs",
                        f"{file.path} has {_length(part)} bytes, the manifest says {file.size}",
                        "Run again; if it stays so, correct the manifest or the server.",
                    )
                self.bytes += file.size - min(before, file.size)
                if not file.size:
                    progress(0)
                return

    def _wait(self, error: FetchError, failures: int, file: ManifestFile, length: int) -> None:
        pause = min(2.0**failures, _LONGEST_PAUSE)
        if error.pause is not None:
            pause = min(max(pause, error.pause), _LONGEST_ASKED_PAUSE)
        if time.monotonic() + pause > self._deadline:
            raise time_failure(file, length, self._timeout) from error
        self._say(f"{error.problem.message}; asking again in {pause:.0f} s")
        self._sleep(pause)

    @staticmethod
    def _discard(part: Path) -> None:
        part.unlink(missing_ok=True)
        part.with_suffix(".validator").unlink(missing_ok=True)


def _length(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0
