# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Fetch the weights from a folder of a plain web server, and go on where an earlier try ended."""

from __future__ import annotations

import email.utils
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from email.message import Message
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import quote, urlsplit

from ansible.module_utils.opensora.checkpoint_failure import (
    FetchError,
    network_failure,
    size_failure,
    status_failure,
)
from ansible.module_utils.opensora.checkpoint_manifest import ManifestFile
from ansible.module_utils.opensora.web_access import UnreachableError, WebAccess, describe_network_error

_READ_BYTES = 1024**2
_WAIT_SECONDS = 60.0
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class WeightsSource(Protocol):
    """Where files come from."""

    def address(self, file: ManifestFile) -> str:
        """Return where a file comes from, for messages."""

    def fetch(self, file: ManifestFile, part: Path, watch: Callable[[int], None]) -> None:
        """Append to a part what it lacks of a file.

        Args:
            file: The file.
            part: What there is of it; may not exist.
            watch: Is told how many bytes there are.

        Raises:
            FetchError: The part is still no whole file.
            OSError: The part could not be written.
        """


class TokenAccess(WebAccess):
    """Opens addresses with a token, which no other server is shown when one redirects to it.

    Args:
        token: The token; empty for none.
    """

    def __init__(self, token: str = "", timeout: float = _WAIT_SECONDS) -> None:
        super().__init__(timeout=timeout)
        self._opener.add_handler(_GuardedRedirect())
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}


class _GuardedRedirect(urllib.request.HTTPRedirectHandler):
    handler_order = 400  # before the handler that it replaces

    def redirect_request(  # noqa: PLR0917 (the standard library's interface)
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request of the new address, without the token where that is another server."""
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request and urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            request.remove_header("Authorization")
        return request


class MirrorSource:
    """A folder of a web server.

    Args:
        url: Address of the folder, which holds the files by the paths of the manifest.
        access: Opens addresses.
    """

    def __init__(self, url: str, access: TokenAccess) -> None:
        self._url = url.rstrip("/")
        self._access = access

    def address(self, file: ManifestFile) -> str:
        """Return the address of a file."""
        return f"{self._url}/{quote(file.path)}"

    def fetch(self, file: ManifestFile, part: Path, watch: Callable[[int], None]) -> None:
        """Append to a part what it lacks of a file; see WeightsSource."""
        url, validator = self.address(file), part.with_suffix(".validator")
        have = part.stat().st_size if part.exists() else 0
        if have > file.size:
            have = 0
        if have == file.size and part.exists():
            return
        # A body that the server compresses has no positions.
        headers = {**self._access.headers, "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            known = validator.read_text(encoding="ascii") if validator.exists() else ""
            if known:
                # The server sends the whole file when it is no longer the one that was begun.
                headers["If-Range"] = known
        try:
            with self._access.open(url, headers=headers) as response:
                begin = _begin(response, have, file, url)
                validator.write_text(_strong_validator(response.headers), encoding="ascii")
                with part.open("r+b" if part.exists() else "wb") as stream:
                    stream.truncate(begin)
                    stream.seek(begin)
                    _copy(response, stream, file, url, watch)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    part.unlink(missing_ok=True)
                    raise network_failure(url, f"it can't go on at byte {have}") from None
                has_token = bool(self._access.headers)
                raise status_failure(url, error.code, has_token=has_token, pause=pause_of(error.headers)) from None
        except UnreachableError as error:
            raise network_failure(url, str(error)) from None


def _begin(response: HTTPResponse, have: int, file: ManifestFile, url: str) -> int:
    """Return the position at which the answer begins."""
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if not found or int(found[1]) != have:
            raise network_failure(url, f"it was asked for the bytes from {have} on and sent others")
        if found[3] != "*" and int(found[3]) != file.size:
            raise size_failure(url, int(found[3]), file)
        return have
    if response.status != HTTPStatus.OK:
        raise network_failure(url, f"it answered with HTTP {response.status}")
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and int(length) != file.size:
        raise size_failure(url, int(length), file)
    return 0


def _copy(
    response: HTTPResponse, stream: IO[bytes], file: ManifestFile, url: str, watch: Callable[[int], None]
) -> None:
    """Append the body to the part."""
    done = stream.tell()
    while True:
        try:
            chunk = response.read(_READ_BYTES)
        except (OSError, HTTPException) as error:
            reason = f"the connection broke at byte {done} of {file.size} ({describe_network_error(error)})"
            raise network_failure(url, reason) from None
        if not chunk:
            break
        if done + len(chunk) > file.size:
            raise size_failure(url, done + len(chunk), file)
        stream.write(chunk)
        done += len(chunk)
        watch(done)
    if done < file.size:
        raise network_failure(url, f"the connection was cut at byte {done} of {file.size}")


def _strong_validator(headers: Message) -> str:
    """Return the tag by which a server knows a file byte for byte, or nothing."""
    tag = headers.get("ETag", "")
    return tag if re.fullmatch(r'"[\x21-\x7e]*"', tag) else ""


def pause_of(headers: Message | Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After, None when there is none that can be read."""
    text = headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, IndexError):
        return None


__all__ = ["FetchError", "MirrorSource", "TokenAccess", "WeightsSource", "pause_of"]
