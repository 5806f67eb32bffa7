# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import http.client

import docker.errors
import pytest
import requests.exceptions
import urllib3.exceptions
from ansible.module_utils.opensora.engine_api import EngineApi, EngineLostError

LOST = [
    requests.exceptions.ConnectionError("refused"),
    requests.exceptions.ChunkedEncodingError("cut"),
    requests.exceptions.ReadTimeout("silent"),
    urllib3.exceptions.ProtocolError("Connection broken: IncompleteRead(0 bytes read)"),
    http.client.RemoteDisconnected("closed"),
    ConnectionResetError("reset"),
]
ANSWERED = [docker.errors.NotFound("no such image"), docker.errors.APIError("500"), docker.errors.DockerException("x")]


class Client:
    base_url = "http+docker://localhost"

    def __init__(self, fault=None):
        self.fault = fault

    def info(self, *words, **options):
        if self.fault:
            raise self.fault
        return [*words, *options]

    def pull(self):
        yield "first"
        if self.fault:
            raise self.fault
        yield "second"


def test_an_engine_that_answers():
    api = EngineApi(Client())
    assert api.base_url == "http+docker://localhost"
    assert api.info(1, stream=True) == [1, "stream"]
    assert list(api.pull()) == ["first", "second"]


@pytest.mark.parametrize("fault", LOST, ids=lambda fault: type(fault).__name__)
def test_an_engine_that_goes_away(fault):
    api = EngineApi(Client(fault))
    with pytest.raises(EngineLostError, match="the engine stopped answering"):
        api.info()
    parts = api.pull()
    assert next(parts) == "first"
    with pytest.raises(EngineLostError):
        next(parts)


@pytest.mark.parametrize("fault", ANSWERED, ids=lambda fault: type(fault).__name__)
def test_what_the_engine_answers_stays_what_it_is(fault):
    api = EngineApi(Client(fault))
    with pytest.raises(type(fault)):
        api.info()
    with pytest.raises(type(fault)):
        list(api.pull())
