# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Resolve a git reference on a server over smart HTTP, protocol version 2, without git.

A branch or tag is looked up with ``ls-refs``. For a full commit id a ``fetch`` of that one object is begun and
broken off after the first packets: they already say whether the server has it.
"""

from __future__ import annotations

import re
import urllib.error
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from typing import IO

from ansible.module_utils.opensora.web_access import UnreachableError, WebAccess, describe_network_error

FLUSH, DELIMITER = b"0000", b"0001"
FULL_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_LENGTH_SIZE = 4
_SMALLEST_DATA = 4
# Enough for the advertisement of any server and for thousands of references of one prefix.
_PACKET_LIMIT = 100_000


class GitRemoteError(Exception):
    """The repository could not be asked, or is none; the text says why."""


class ReferenceMissingError(Exception):
    """The repository has no such branch, tag or commit; the text says why."""


def is_full_commit(reference: str) -> bool:
    """Return whether a reference is a whole commit id, which can't move."""
    return FULL_COMMIT.fullmatch(reference) is not None


def packet(text: str) -> bytes:
    """Return one line in git's packet format: four hexadecimal digits of length, then the line."""
    data = text.encode() + b"\n"
    return f"{len(data) + _LENGTH_SIZE:04x}".encode() + data


def read_packets(stream: IO[bytes]) -> Iterator[bytes | None]:
    """Yield the packets of a stream, None for a flush or a delimiter.

    Raises:
        GitRemoteError: The stream is not in packet format.
    """
    for _ in range(_PACKET_LIMIT):
        head = stream.read(_LENGTH_SIZE)
        if not head:
            return
        try:
            length = int(head, 16)
        except ValueError:
            raise GitRemoteError("the answer is not git's; is it the address of a git repository?") from None
        if length < _SMALLEST_DATA:
            yield None
            continue
        yield stream.read(length - _LENGTH_SIZE)


def parse_capabilities(stream: IO[bytes]) -> dict[str, str]:
    """Return what a server advertises: ``{"ls-refs": "", "fetch": "shallow filter", ...}``.

    Raises:
        GitRemoteError: The server doesn't speak protocol version 2.
    """
    capabilities: dict[str, str] = {}
    version = ""
    for data in read_packets(stream):
        if data is None:
            continue
        line = data.decode("utf-8", "replace").rstrip("\n")
        if line.startswith("ERR "):
            raise GitRemoteError(f"the server says: {line[4:]}")
        if line.startswith("# service="):
            continue
        if line.startswith("version "):
            version = line
            continue
        name, _, value = line.partition("=")
        capabilities[name] = value
    if version != "version 2":
        raise GitRemoteError("the server does not speak version 2 of git's protocol (git before 2.18)")
    return capabilities


def parse_references(stream: IO[bytes]) -> dict[str, str]:
    """Return the commits of the references in an ``ls-refs`` answer, annotated tags followed to their commit."""
    found: dict[str, str] = {}
    for data in read_packets(stream):
        if data is None:
            continue
        fields = data.decode("utf-8", "replace").split()
        if fields and fields[0] == "ERR":
            raise GitRemoteError("the server says: " + " ".join(fields[1:]))
        if len(fields) < 2:  # noqa: PLR2004 (object id and name)
            continue
        peeled = [text.partition(":")[2] for text in fields[2:] if text.startswith("peeled:")]
        found[fields[1]] = peeled[0] if peeled else fields[0]
    return found


def refusal_of(packets: Iterator[bytes | None]) -> str:
    """Return the server's ``ERR`` text from the beginning of a ``fetch`` answer; empty when it begins to send."""
    for data in packets:
        if data is None:
            continue
        text = data.decode("utf-8", "replace").strip()
        if text.startswith("ERR "):
            return text[4:]
        return ""
    return "the server sent nothing"


def candidates(reference: str) -> list[str]:
    """Return the full names that a short reference may mean, in git's own order."""
    if reference.startswith("refs/") or reference == "HEAD":
        return [reference]
    return [f"refs/tags/{reference}", f"refs/heads/{reference}"]


class GitRemote:
    """A git repository on a server.

    Args:
        web: How servers are reached.
        url: http or https address of the repository.
    """

    def __init__(self, web: WebAccess, url: str) -> None:
        self._web = web
        self._url = url.rstrip("/")

    def resolve(self, reference: str) -> str:
        """Return the commit that a reference names now.

        Args:
            reference: Branch, tag or full commit id.

        Raises:
            GitRemoteError: The repository could not be asked.
            ReferenceMissingError: It has no such reference.
        """
        capabilities = self._capabilities()
        if is_full_commit(reference):
            self._require_commit(reference, capabilities.get("fetch", "").split())
            return reference
        names = candidates(reference)
        found = self._references(names)
        for name in names:
            if name in found:
                return found[name]
        raise ReferenceMissingError("it has no branch and no tag of that name")

    def _capabilities(self) -> dict[str, str]:
        with self._open(f"{self._url}/info/refs?service=git-upload-pack") as stream:
            return parse_capabilities(stream)

    def _references(self, names: Sequence[str]) -> dict[str, str]:
        arguments = ["peel", *(f"ref-prefix {name}" for name in names)]
        with self._command("ls-refs", arguments) as stream:
            return parse_references(stream)

    def _require_commit(self, commit: str, features: Sequence[str]) -> None:
        arguments = [f"want {commit}", "no-progress"]
        arguments += ["deepen 1"] if "shallow" in features else []
        # Without its trees the commit is one small object, so nothing worth mentioning is sent.
        arguments += ["filter tree:0"] if "filter" in features else []
        with self._command("fetch", [*arguments, "done"]) as stream:
            refusal = refusal_of(read_packets(stream))
        if refusal:
            raise ReferenceMissingError(f"it has no such commit ({refusal})")

    def _command(self, command: str, arguments: Sequence[str]) -> IO[bytes]:
        body = packet(f"command={command}") + DELIMITER + b"".join(packet(line) for line in arguments) + FLUSH
        return self._open(
            f"{self._url}/git-upload-pack",
            body,
            {
                "Content-Type": "application/x-git-upload-pack-request",
                "Accept": "application/x-git-upload-pack-result",
            },
        )

    def _open(self, url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> IO[bytes]:
        try:
            return self._web.open(
                url,
                method="POST" if body else "GET",
                headers={"Git-Protocol": "version=2", **(headers or {})},
                body=body,
            )
        except UnreachableError as error:
            raise GitRemoteError(f"the server can't be reached: {error}") from error
        except urllib.error.HTTPError as error:
            with error:
                raise GitRemoteError(f"the server answered with status {error.code} ({error.reason})") from error
        except (OSError, HTTPException) as error:
            raise GitRemoteError(describe_network_error(error)) from error
