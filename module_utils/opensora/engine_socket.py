# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Ask a Docker Engine over its socket with the standard library, where no Docker SDK is installed yet."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any
from urllib.parse import quote


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket file instead of an address."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def labelled_images(docker_host: str, label: str, timeout: float = 5.0) -> list[dict[str, Any]] | None:
    """Return the engine's images that carry a label, or None when no engine answers.

    Args:
        docker_host: ``unix://`` address of the engine.
        label: Name of the label.
        timeout: Seconds to wait.
    """
    if not docker_host.startswith("unix://"):
        return None
    connection = _SocketConnection(docker_host[len("unix://") :], timeout)
    try:
        connection.request("GET", "/images/json?filters=" + quote(json.dumps({"label": [label]})))
        answer = connection.getresponse()
        images = json.loads(answer.read()) if answer.status == http.client.OK else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return images if isinstance(images, list) else None
