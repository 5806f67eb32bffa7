# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Why a file of the weights could not be fetched, as problems that name the cause and never a secret."""

from __future__ import annotations

import errno
from http import HTTPStatus
from urllib.parse import urlsplit

from ansible.module_utils.opensora.checkpoint_manifest import ManifestFile
from ansible.module_utils.opensora.image_transfer import size_text
from ansible.module_utils.opensora.problems import Layer, Problem

_AGAIN = "Look at the network of this host; what was fetched stays, so run again when it is mended."
# Statuses that say "not now".
_BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class FetchError(Exception):
    """A file could not be fetched.

    Args:
        problem: Why.
        again: Whether asking again may help.
        pause: Seconds that the server wants to be left alone; None when it said nothing.
    """

    def __init__(self, problem: Problem, *, again: bool = False, pause: float | None = None) -> None:
        super().__init__(problem.message)
        self.problem = problem
        self.again = again
        self.pause = pause


def shown_address(address: str) -> str:
    """Return an address without what may be a secret: login, query and fragment."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


def failure(layer: Layer, code: str, message: str, next_action: str, *, again: bool = False) -> FetchError:
    """Return an error with a problem of these words."""
    return FetchError(Problem(layer, f"checkpoint.{code}", "error", message, next_action), again=again)


def status_failure(address: str, status: int, *, has_token: bool, pause: float | None = None) -> FetchError:
    """Return what an HTTP status means for a file of the weights.

    Args:
        address: What was asked for.
        status: The status.
        has_token: Whether a token was sent.
        pause: Seconds that the server wants to be left alone.
    """
    shown = shown_address(address)
    if status == HTTPStatus.UNAUTHORIZED:
        said = "refuses the token (opensora_checkpoint_token)" if has_token else "wants a token"
        advice = (
            "Set opensora_checkpoint_token, from a vault, to a token that may read the repository; the hub says the "
            "same of a repository that does not exist."
        )
        return failure("network", "unauthorized", f"{shown} {said} (HTTP 401)", advice)
    if status == HTTPStatus.FORBIDDEN:
        advice = (
            "If the repository is gated, accept its licence on its page with the account of the token; give the token "
            "in opensora_checkpoint_token."
        )
        return failure("network", "forbidden", f"{shown} may not be read (HTTP 403)", advice)
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        advice = (
            "Check repository, revision and path in the manifest, and opensora_checkpoint_mirror_url or "
            "opensora_checkpoint_endpoint."
        )
        return failure("network", "not_found", f"{shown} does not exist (HTTP {status})", advice)
    again = status in _BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    problem = Problem(
        "network",
        "checkpoint.server_error",
        "error",
        f"{shown} answered with HTTP {status}",
        _AGAIN if again else "Look at the log of that server.",
    )
    return FetchError(problem, again=again, pause=pause)


def network_failure(address: str, reason: str) -> FetchError:
    """Return that a server did not answer, or stopped in the middle."""
    return failure("network", "unreachable", f"{shown_address(address)}: {reason}", _AGAIN, again=True)


def size_failure(address: str, found: int, file: ManifestFile) -> FetchError:
    """Return that a server has a file of another size."""
    return failure(
        "application",
        "size_differs",
        f"{shown_address(address)} has {found} bytes, the manifest says {file.size}",
        "The server has another file than the manifest names: correct the one or the other.",
    )


def digest_failure(address: str, found: str, file: ManifestFile) -> FetchError:
    """Return that what was fetched is not what the manifest names."""
    return failure(
        "application",
        "digest_differs",
        f"{file.path} from {shown_address(address)} has the sha256 {found}, expected is {file.sha256}; "
        "it was not put in place",
        "The server has another file than the manifest names, or damages it: correct the one or the other.",
    )


def disk_failure(directory: str, error: OSError) -> FetchError:
    """Return that a file could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return failure(
            "disk",
            "disk_full",
            f"{directory} is full: {error.strerror}",
            "Free space on that file system; what was fetched stays, so run again then.",
        )
    place = error.filename or directory
    return failure(
        "disk", "not_written", f"{place}: {error.strerror or error}", "Look at that file system and run again."
    )


def time_failure(file: ManifestFile, done: int, timeout: int) -> FetchError:
    """Return that the time was over."""
    return failure(
        "network",
        "timeout",
        f"the weights were not fetched within {timeout} s; {file.path} has {size_text(done)} of {size_text(file.size)}",
        "Run again, which goes on from there, or raise opensora_checkpoint_timeout.",
    )
