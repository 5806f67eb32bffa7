# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Reach a web server with the standard library alone, and say in words why it did not work."""

from __future__ import annotations

import os
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPException, HTTPResponse
from typing import cast
from urllib.parse import urlsplit

USER_AGENT = "opensora-site"


class UnreachableError(Exception):
    """A server did not answer; the text says why, without the address."""


class WebAccess:
    """Opens addresses with the certificate authorities and proxies of a site.

    Args:
        ca_certificates: PEM texts that are trusted besides the system's own.
        timeout: Seconds that one wait may take.
    """

    def __init__(self, ca_certificates: Sequence[str] = (), timeout: float = 20.0) -> None:
        self.timeout = timeout
        context = ssl.create_default_context()
        # Python 3.13 refuses authorities without the newest extensions, which every other client of a site accepts.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        for certificate in ca_certificates:
            context.load_verify_locations(cadata=certificate)
        # The default proxy handler reads the environment, which is the only place where no_proxy is honoured.
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))

    def open(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> HTTPResponse:
        """Send a request and return the open answer; the caller closes it.

        Args:
            url: http or https address.
            method: HTTP method.
            headers: Further header fields.
            body: What to send.

        Raises:
            UnreachableError: No answer came.
            urllib.error.HTTPError: The server answered with an error status.
        """
        if urlsplit(url).scheme not in ("http", "https"):
            raise UnreachableError("it is no http or https address")
        request = urllib.request.Request(  # noqa: S310 (the scheme is checked above)
            url, data=body, method=method, headers={"User-Agent": USER_AGENT, **(headers or {})}
        )
        try:
            return cast("HTTPResponse", self._opener.open(request, timeout=self.timeout))
        except urllib.error.HTTPError:
            raise
        except (urllib.error.URLError, OSError, HTTPException) as error:
            raise UnreachableError(describe_network_error(error)) from error


def describe_network_error(error: BaseException) -> str:
    """Return why a request failed, in words that name the kind of failure."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({reason.verify_message}); add the authority of the site to "
            "site_trust_ca_certificates"
        )
    if isinstance(reason, socket.gaierror):
        return "its name can't be resolved"
    if isinstance(reason, (TimeoutError, socket.timeout)):
        return "it did not answer in time"
    if isinstance(reason, ConnectionRefusedError):
        return "it refused the connection"
    return str(reason) or type(reason).__name__


def use_proxies(proxies: Mapping[str, str]) -> None:
    """Make this process use the proxies of a site.

    Args:
        proxies: ``http_proxy``, ``https_proxy`` and ``no_proxy``; empty ones leave the environment as it is.
    """
    for name, value in proxies.items():
        if value:
            os.environ[name] = value
