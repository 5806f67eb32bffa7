# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Carry the archive of an image from one host over the control node to others: the control node's side.

The control node is connected to every host, and hosts need not know each other. It reads the archive once, so that many
receivers cost the source no more than one.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils.opensora.image_archive import ImageArchive, Part, room_problem
from ansible.module_utils.opensora.image_transfer import TransferError, TransferProgress
from ansible.module_utils.opensora.problems import Problem

# What an interrupted run left on a host is removed by the next one after a day: nothing takes that long.
_STALE_MINUTES = 24 * 60
_PREFIX = "opensora-image-"
_TRIES = 3
_PAUSE_SECONDS = 5


class NoRoomError(Exception):
    """A folder has too little room.

    Args:
        problem: What is wrong.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem

    def as_result(self) -> dict[str, Any]:
        """Return the result of a task that failed for it."""
        return {
            "failed": True,
            "msg": f"{self.problem.message}. {self.problem.next_action}",
            "problems": [self.problem.as_dict()],
        }


class ArchiveCarrier:
    """Carries archives over the connection of an action plugin.

    Args:
        action: The action plugin whose task this is; it brings the connection.
        host: Name of the host.
        say: Shows a line to the user.
    """

    def __init__(self, action: Any, host: str, say: Callable[[str], None]) -> None:
        self._action = action
        self._host = host
        self._say = say

    def open_folder(self, directory: str) -> tuple[str, int]:
        """Make a folder on the host that only the user of the connection can enter, and return it with its free bytes.

        Args:
            directory: Folder on the host in which to make it.

        Raises:
            TransferError: It could not be made.
        """
        user = self._command("id -u", as_user=True).strip()
        place = shlex.quote(directory)
        lines = self._command(
            f"umask 022; mkdir -p {place} && find {place} -maxdepth 1 -name {_PREFIX}'*' -mmin +{_STALE_MINUTES} "
            f"-exec rm -rf {{}} + && folder=$(mktemp -d {place}/{_PREFIX}XXXXXXXX) && chown {shlex.quote(user)} "
            '"$folder" && echo "$folder" && stat -f -c "%a %S" "$folder"'
        ).splitlines()
        try:
            blocks, size = lines[-1].split()
            return lines[-2].strip(), int(blocks) * int(size)
        except (ValueError, IndexError) as error:
            raise TransferError(f"no folder could be made in {directory} on {self._host}: {lines}") from error

    def close_folder(self, folder: str) -> None:
        """Remove a folder of the host with all that is in it."""
        self._command(f"rm -rf {shlex.quote(folder)}")

    def fetch(self, archive: ImageArchive, directory: str) -> ImageArchive:
        """Copy an archive from the host to the control node and return where it is.

        Args:
            archive: The archive on the host.
            directory: Folder of the control node in which to make one for it.

        Raises:
            NoRoomError: The control node has too little room.
            TransferError: A part could not be copied.
        """
        _remove_stale(Path(directory))
        problem = room_problem(
            "the control node",
            directory,
            shutil.disk_usage(directory).free,
            archive.bytes,
            "opensora_image_share_directory",
        )
        if problem:
            raise NoRoomError(problem)
        # Made with the mode 0700, and named after the run: a task is a child process of it.
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getppid()}-", dir=directory))

        def copy(part: Part) -> None:
            self._action._connection.fetch_file(f"{archive.folder}/{part.name}", str(folder / part.name))
            if hashlib.sha256((folder / part.name).read_bytes()).hexdigest() != part.sha256:
                raise TransferError(f"{part.name} arrived damaged")

        try:
            self._each_part(archive, "fetch", copy)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return replace(archive, folder=str(folder))

    def put(self, archive: ImageArchive, folder: str, free: int) -> ImageArchive:
        """Copy an archive from the control node to the host and return where it is.

        Args:
            archive: The archive on the control node.
            folder: Folder of the host.
            free: Bytes that are free there.

        Raises:
            NoRoomError: The host has too little room.
            TransferError: A part could not be copied.
        """
        problem = room_problem(self._host, folder, free, archive.bytes, "opensora_image_directory")
        if problem:
            raise NoRoomError(problem)
        connection = self._action._connection
        self._each_part(
            archive,
            "receive",
            lambda part: connection.put_file(str(Path(archive.folder, part.name)), f"{folder}/{part.name}"),
        )
        return replace(archive, folder=folder)

    def _each_part(self, archive: ImageArchive, verb: str, copy: Callable[[Part], None]) -> None:
        progress, done = TransferProgress(verb), 0
        for part in archive.parts:
            for left in reversed(range(_TRIES)):
                try:
                    copy(part)
                    break
                except Exception as error:
                    # A connection that broke once is made anew with the next copy.
                    if not left:
                        raise TransferError(f"{verb} of {part.name}: {error}") from error
                    time.sleep(_PAUSE_SECONDS)
            done += part.bytes
            line = progress.line(done, archive.bytes)
            if line:
                self._say(line)

    def _command(self, command: str, *, as_user: bool = False) -> str:
        answer = self._action._low_level_execute_command(command, sudoable=not as_user)
        if answer.get("rc"):
            raise TransferError(f"a command on {self._host} failed: {answer.get('stderr') or answer.get('stdout')}")
        return str(answer.get("stdout", ""))


def _remove_stale(directory: Path) -> None:
    """Remove what runs that have ended left on the control node."""
    for folder in directory.glob(f"{_PREFIX}*"):
        run = folder.name[len(_PREFIX) :].partition("-")[0]
        if run.isdigit() and not Path("/proc", run).exists():
            shutil.rmtree(folder, ignore_errors=True)
