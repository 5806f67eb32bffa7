# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Fetch the weights from the hub with its own library.

The library keeps nothing of a download that its process does not finish, and compares no digests. So it is given the
part that is there and where to go on, and what it fetched is verified like everything else.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

from ansible.module_utils.opensora.checkpoint_failure import failure, network_failure, size_failure, status_failure
from ansible.module_utils.opensora.checkpoint_manifest import Manifest, ManifestFile
from ansible.module_utils.opensora.checkpoint_mirror import pause_of

_WAIT_SECONDS = 60.0
_SYSTEM_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# What the library shall do without: progress bars in the output, messages home, a login that lies about.
_SETTINGS = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DOWNLOAD_TIMEOUT": "60",
    "HF_HUB_ETAG_TIMEOUT": "60",
}


class HubLibraryError(Exception):
    """The hub's library can't be used; the text says why."""


class HubSource:
    """A repository of the hub, or of a server that speaks its protocol.

    Args:
        manifest: Names repository and commit.
        endpoint: Address of the hub.
        token: Token; empty for none.
        home: Folder in which the library may keep files.

    Raises:
        HubLibraryError: The library is not there.
    """

    def __init__(self, manifest: Manifest, endpoint: str, token: str, home: Path) -> None:
        os.environ.update({**_SETTINGS, "HF_HOME": str(home)})
        if Path(_SYSTEM_CERTIFICATES).is_file():
            # Of the system's store, where the site's own authorities are.
            os.environ.setdefault("SSL_CERT_FILE", _SYSTEM_CERTIFICATES)
        try:
            # Only now: it reads its settings when it is imported.
            self._hub: Any = importlib.import_module("huggingface_hub")
            self._file_download: Any = importlib.import_module("huggingface_hub.file_download")
            library: Any = importlib.import_module("huggingface_hub.utils")
        except ImportError as error:
            raise HubLibraryError(f"the Python package huggingface_hub can't be imported: {error}") from error
        # Its warnings hold addresses with signatures, and go to where anyone may look.
        library.logging.set_verbosity(library.logging.CRITICAL)
        self._headers: dict[str, str] = library.build_hf_headers(token=token or False, library_name="opensora-site")
        self._manifest = manifest
        self._endpoint = endpoint.rstrip("/")
        self._token = token

    def address(self, file: ManifestFile) -> str:
        """Return the address of a file."""
        return str(
            self._hub.hf_hub_url(
                self._manifest.repository, file.path, revision=self._manifest.revision, endpoint=self._endpoint
            )
        )

    def fetch(self, file: ManifestFile, part: Path, watch: Callable[[int], None]) -> None:
        """Append to a part what it lacks of a file; see WeightsSource."""
        url = self.address(file)
        have = part.stat().st_size if part.exists() else 0
        if have > file.size:
            have = 0
        if have == file.size and part.exists():
            return
        try:
            self._check_size(url, file)
            with part.open("r+b" if part.exists() else "wb") as stream:
                stream.truncate(have)
                stream.seek(have)
                watched = WatchedStream(stream, watch)
                headers = dict(self._headers)
                self._file_download.http_get(url, watched, resume_size=have, headers=headers, expected_size=file.size)
        except OSError as error:
            # The library's errors are OSErrors as well; those of the disk have a number.
            if error.errno is not None and not hasattr(error, "response"):
                raise
            raise self._explain(url, error) from None
        except Exception as error:
            if type(error).__module__.startswith(("huggingface_hub", "httpx", "httpcore")):
                raise self._explain(url, error) from None
            raise

    def _check_size(self, url: str, file: ManifestFile) -> None:
        """Ask for the size, before anything is written."""
        options = {"token": self._token or False, "endpoint": self._endpoint, "timeout": _WAIT_SECONDS}
        size = self._hub.get_hf_file_metadata(url, **options).size
        if size is not None and size != file.size:
            raise size_failure(url, size, file)

    def _explain(self, url: str, error: Exception) -> Exception:
        """Return what an error of the library means; its own text may hold an address with a signature."""
        names = {kind.__name__ for kind in type(error).__mro__}
        response = getattr(error, "response", None)
        has_token = bool(self._token)
        if "GatedRepoError" in names:
            return status_failure(url, HTTPStatus.FORBIDDEN, has_token=has_token)
        if "RevisionNotFoundError" in names:
            return failure(
                "network",
                "revision_not_found",
                f"{self._manifest.repository} on {self._endpoint} has no revision {self._manifest.revision} (HTTP 404)",
                "Correct the revision in the manifest of opensora_checkpoint_manifest.",
            )
        if response is not None:
            status = int(response.status_code)
            return status_failure(url, status, has_token=has_token, pause=pause_of(response.headers))
        text = str(error)
        # An address in it may carry a signature.
        reason = f"{type(error).__name__}: {text}" if text and "://" not in text else type(error).__name__
        return network_failure(url, f"the download broke ({reason})")


class WatchedStream:
    """A file of which somebody is told how long it is.

    Args:
        stream: The file.
        watch: Is told after each write.
    """

    def __init__(self, stream: IO[bytes], watch: Callable[[int], None]) -> None:
        self._stream = stream
        self._watch = watch

    def write(self, data: bytes) -> int:
        """Write, and tell."""
        count = self._stream.write(data)
        self._watch(self._stream.tell())
        return count

    def tell(self) -> int:
        """Return the position."""
        return self._stream.tell()

    def seek(self, position: int) -> int:
        """Go to a position."""
        return self._stream.seek(position)

    def truncate(self) -> int:
        """Cut the file at the position."""
        return self._stream.truncate()
