# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""A systemd unit that starts a service's container after the engine, where the engine itself can't.

Before Docker 28.2 the engine brings containers back before it knows CDI (moby issue 49989), and the container stays
down after a restart of the engine or the host. The unit is started whenever the engine is.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

DIRECTORY = Path("/etc/systemd/system")

_TEXT = """\
# Written by opensora-site. Docker before 28.2 leaves containers with CDI devices down when it starts.
[Unit]
Description=Container of the compose project {project}, started after the engine
After=docker.service

[Service]
Type=oneshot
ExecStart={docker} start {container}

[Install]
WantedBy=docker.service
"""


class StartUnit:
    """The unit of one compose project.

    Args:
        project: Name of the compose project.
        container: Name of its container.
        docker: Path of the engine's client.
        directory: Folder of units.
    """

    def __init__(self, project: str, container: str, docker: str, directory: Path | None = None) -> None:
        self._folder = DIRECTORY if directory is None else directory
        self._name = f"opensora-site-{project}.service"
        self._text = _TEXT.format(project=project, container=container, docker=docker)

    @property
    def _file(self) -> Path:
        return self._folder / self._name

    @property
    def _link(self) -> Path:
        return self._folder / "docker.service.wants" / self._name

    def differs(self, *, wanted: bool) -> bool:
        """Return whether the host does not have it as wanted."""
        if not wanted:
            return self._file.is_file()
        return not (
            self._file.is_file() and self._file.read_text(encoding="utf-8") == self._text and self._link.exists()
        )

    def bring(self, *, wanted: bool) -> None:
        """Write and enable it, or remove it."""
        if not self.differs(wanted=wanted):
            return
        if wanted:
            self._link.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._file.write_text(self._text, encoding="utf-8")
            self._file.chmod(0o644)
            if not self._link.exists():
                self._link.unlink(missing_ok=True)
                self._link.symlink_to(self._file)
        else:
            self._link.unlink(missing_ok=True)
            self._file.unlink()
        # A host without systemd starts its engine in its own way, and its containers too.
        subprocess.run(["systemctl", "daemon-reload"], check=False, capture_output=True)  # noqa: S607 (fixed words)
