# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The Docker SDK's client, whose engine may go away between two calls or in the middle of an answer."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from typing import Any

try:
    import requests.exceptions
    import urllib3.exceptions
    from docker.errors import APIError, DockerException

    # The SDK passes on what its libraries raise.
    _LOST: tuple[type[Exception], ...] = (
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        OSError,
    )
    # Errors that an engine answered with: some of them are those of its libraries as well.
    _ANSWERED: tuple[type[Exception], ...] = (APIError, DockerException)
except ImportError:  # a host that has not been set up yet, in check mode
    _LOST = _ANSWERED = ()


class EngineLostError(Exception):
    """The engine went away."""


class EngineApi:
    """Passes each call on to the SDK's client, and says it in one way when the engine is gone.

    What a call yields bit by bit is watched as well. Errors that the engine answers with stay what they are.

    Args:
        client: ``docker.APIClient``.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        return _watched(value) if callable(value) else value


def _watched(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        answer = _ask(lambda: method(*arguments, **options))
        return _each(answer) if isinstance(answer, Iterator) else answer

    return call


def _each(answer: Iterator[Any]) -> Iterator[Any]:
    while True:
        try:
            part = _ask(lambda: next(answer))
        except StopIteration:
            return
        yield part


def _ask(question: Callable[[], Any]) -> Any:
    try:
        return question()
    except _ANSWERED:
        raise
    except _LOST as error:
        raise EngineLostError(f"the engine stopped answering: {error}") from error
