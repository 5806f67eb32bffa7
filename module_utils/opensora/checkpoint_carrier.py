# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Carry weights piece by piece from one host over the control node to others: the control node's side.

The control node is connected to every host, and hosts need not know each other. A piece at a time, so that neither the
control node nor the host that has the weights needs room for all of them.
"""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible.module_utils.opensora.checkpoint_manifest import STATE_FOLDER, is_safe_path
from ansible.module_utils.opensora.checkpoint_share import MEBIBYTE, Chunk

_TRIES = 3
_PAUSE_SECONDS = 5
_STALE_MINUTES = 24 * 60


class CarryError(Exception):
    """A piece could not be carried; the text says why."""


class ChunkCarrier:
    """Carries pieces over the connection of an action plugin.

    Args:
        action: The action plugin whose task this is; it brings the connection.
        host: Name of the host.
        directory: Folder of the weights there.
    """

    def __init__(self, action: Any, host: str, directory: str) -> None:
        self._action = action
        self._host = host
        self._directory = directory

    def take(self, chunk: Chunk, place: Path) -> None:
        """Copy a piece from the host to the control node.

        Args:
            chunk: The piece.
            place: File of the control node.

        Raises:
            CarryError: It could not be copied.
        """
        if not is_safe_path(chunk.path):
            raise CarryError(f"{chunk.path!r} leads out of {self._directory}")
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(place.parent).free
        if free < chunk.length:
            raise CarryError(f"{place.parent} on the control node has {free} bytes free, a piece has {chunk.length}")
        source = shlex.quote(f"{self._directory}/{chunk.path}")
        with self._folder() as folder:
            piece = f"{folder}/piece"
            count = -(-chunk.length // MEBIBYTE)
            self._command(
                f"dd if={source} of={piece} bs={MEBIBYTE} skip={chunk.offset // MEBIBYTE} count={count} status=none "
                f"&& chmod 0644 {piece}"
            )
            self._copy(lambda: self._action._connection.fetch_file(piece, str(place)))
        if place.stat().st_size != chunk.length:
            raise CarryError(f"{chunk.path} on {self._host} is not as long as it was")

    def put(self, chunk: Chunk, place: Path) -> None:
        """Append a piece on the control node to what the host has of its file.

        Args:
            chunk: The piece.
            place: File of the control node.

        Raises:
            CarryError: It could not be copied, or the host lacks the piece before it.
        """
        parts = f"{self._directory}/{STATE_FOLDER}/parts"
        part = shlex.quote(f"{parts}/{chunk.sha256}.part")
        with self._folder() as folder:
            self._copy(lambda: self._action._connection.put_file(str(place), f"{folder}/piece"))
            self._command(
                f"umask 077 && touch {part} && have=$(stat -c %s {part}) && test $have -ge {chunk.offset} && "
                f"if test $have -lt {chunk.offset + chunk.length}; then truncate -s {chunk.offset} {part} && "
                f"cat {folder}/piece >> {part}; fi"
            )

    @contextmanager
    def _folder(self) -> Iterator[str]:
        """Make a folder that only the user of the connection and root can enter, on the file system of the weights."""
        user = self._command("id -u", as_user=True).strip()
        state = shlex.quote(f"{self._directory}/{STATE_FOLDER}")
        folder = self._command(
            f"umask 022 && mkdir -p {state} && mkdir -p -m 0700 {state}/parts && "
            # What a run that was cut off left behind.
            f"find {state} -maxdepth 1 -name 'carried.*' -mmin +{_STALE_MINUTES} -exec rm -rf {{}} + && "
            f"folder=$(mktemp -d {state}/carried.XXXXXXXX) && chown {shlex.quote(user)} $folder && echo $folder"
        ).strip()
        try:
            yield folder
        finally:
            self._command(f"rm -rf {shlex.quote(folder)}")

    def _copy(self, copy: Callable[[], object]) -> None:
        for left in reversed(range(_TRIES)):
            try:
                copy()
            except Exception as error:  # noqa: PERF203 (a connection that broke once is made anew with the next copy)
                if not left:
                    raise CarryError(f"{self._host}: {error}") from error
                time.sleep(_PAUSE_SECONDS)
            else:
                return

    def _command(self, command: str, *, as_user: bool = False) -> str:
        answer = self._action._low_level_execute_command(command, sudoable=not as_user)
        if answer.get("rc"):
            raise CarryError(f"a command on {self._host} failed: {answer.get('stderr') or answer.get('stdout')}")
        return str(answer.get("stdout", ""))
