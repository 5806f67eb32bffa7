# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Ask an image registry what stands under a tag, without an engine."""

from __future__ import annotations

import hashlib
import json
import re
import urllib.error
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlencode, urlsplit

from ansible.module_utils.opensora.image_reference import DEFAULT_REGISTRY, ImageReference
from ansible.module_utils.opensora.web_access import UnreachableError, WebAccess, describe_network_error

MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
# The engine logs in to Docker Hub under this name, and Docker Hub's registry answers under another.
HUB_LOGIN = "https://index.docker.io/v1/"
HUB_HOST = "registry-1.docker.io"
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_NOT_FOUND, _UNAUTHORIZED, _FORBIDDEN, _TOO_MANY = 404, 401, 403, 429


class RegistryError(Exception):
    """A registry could not say what was asked; the text says why."""


def parse_challenge(header: str) -> tuple[str, dict[str, str]]:
    """Return scheme and parameters of a ``WWW-Authenticate`` header, such as ("bearer", {"realm": ...})."""
    scheme, _, rest = header.partition(" ")
    return scheme.lower(), dict(_PARAMETER.findall(rest))


def stored_authorization(configuration: str, registry: str) -> str:
    """Return the login that the engine's client keeps for a registry, as ``Basic`` value, or an empty text.

    Args:
        configuration: Text of ``~/.docker/config.json``.
        registry: Host of the registry.
    """
    try:
        stored = json.loads(configuration or "{}").get("auths", {})
        names = (HUB_LOGIN, registry) if registry == DEFAULT_REGISTRY else (registry, f"https://{registry}")
        for name in names:
            if stored.get(name, {}).get("auth"):
                return str(stored[name]["auth"])
    except (ValueError, AttributeError):
        pass
    return ""


class RegistryClient:
    """Reads manifests from registries.

    Args:
        web: How servers are reached.
        configuration: Text of the engine client's ``config.json``, for stored logins.
    """

    def __init__(self, web: WebAccess, configuration: str = "") -> None:
        self._web = web
        self._configuration = configuration
        self._tokens: dict[tuple[str, str], str] = {}

    def digest(self, reference: ImageReference) -> str | None:
        """Return the digest of the manifest that a reference names, or None when the registry has none.

        Raises:
            RegistryError: The registry did not answer or did not let us in.
        """
        answer = self._get(reference, f"manifests/{reference.selector}", "HEAD")
        if answer is None:
            return None
        with answer:
            digest = answer.headers.get("Docker-Content-Digest")
        if digest:
            return str(digest)
        body = self._read(reference, f"manifests/{reference.selector}")
        return None if body is None else "sha256:" + hashlib.sha256(body).hexdigest()

    def environment(self, reference: ImageReference, platform: str) -> dict[str, str]:
        """Return the environment variables that an image sets; empty when the registry doesn't say.

        Args:
            reference: The image.
            platform: Such as ``linux/amd64``, to choose from an image of several platforms.

        Raises:
            RegistryError: The registry did not answer or did not let us in.
        """
        manifest = self._json(reference, f"manifests/{reference.selector}")
        chosen = _manifest_of(manifest, platform)
        if chosen:
            manifest = self._json(reference, f"manifests/{chosen}")
        configuration = manifest.get("config", {}).get("digest")
        if not configuration:
            return {}
        image = self._json(reference, f"blobs/{configuration}")
        pairs = (image.get("config") or {}).get("Env") or []
        return dict(pair.split("=", 1) for pair in pairs if "=" in pair)

    def _json(self, reference: ImageReference, path: str) -> dict[str, Any]:
        try:
            value = json.loads(self._read(reference, path) or b"{}")
        except ValueError as error:
            raise RegistryError(f"the registry {reference.registry} answered with something that is no JSON") from error
        return value if isinstance(value, dict) else {}

    def _read(self, reference: ImageReference, path: str) -> bytes | None:
        answer = self._get(reference, path, "GET")
        if answer is None:
            return None
        try:
            with answer:
                return answer.read()
        except (OSError, HTTPException) as error:
            raise RegistryError(
                f"the registry {reference.registry} broke off: {describe_network_error(error)}"
            ) from error

    def _get(self, reference: ImageReference, path: str, method: str) -> HTTPResponse | None:
        registry = reference.registry
        url = f"{_address(registry)}/v2/{reference.repository}/{path}"
        headers = {"Accept": ", ".join(MANIFEST_TYPES)} if path.startswith("manifests/") else {}
        token = self._tokens.get((registry, reference.repository))
        try:
            return self._web.open(url, method=method, headers={**headers, **_authorization(token)})
        except UnreachableError as error:
            raise RegistryError(f"the registry {registry} can't be reached: {error}") from error
        except urllib.error.HTTPError as error:
            with error:
                if error.code == _NOT_FOUND:
                    return None
                if error.code != _UNAUTHORIZED or token is not None:
                    raise RegistryError(_refusal(registry, error.code)) from error
                challenge = error.headers.get("WWW-Authenticate", "")
        self._tokens[registry, reference.repository] = self._login(reference, challenge)
        return self._get(reference, path, method)

    def _login(self, reference: ImageReference, challenge: str) -> str:
        """Return the value of an ``Authorization`` header that the registry asked for."""
        registry = reference.registry
        basic = stored_authorization(self._configuration, registry)
        scheme, parameters = parse_challenge(challenge)
        if scheme == "basic":
            if not basic:
                raise RegistryError(_refusal(registry, _UNAUTHORIZED))
            return f"Basic {basic}"
        realm = parameters.get("realm", "")
        if scheme != "bearer" or not realm:
            raise RegistryError(_refusal(registry, _UNAUTHORIZED))
        query = {"service": parameters.get("service", ""), "scope": f"repository:{reference.repository}:pull"}
        headers = {"Authorization": f"Basic {basic}"} if basic else {}
        try:
            with self._web.open(f"{realm}?{urlencode(query)}", headers=headers) as answer:
                token = json.loads(answer.read())
        except UnreachableError as error:
            server = urlsplit(realm).netloc
            raise RegistryError(f"the login server {server} of {registry} can't be reached: {error}") from error
        except urllib.error.HTTPError as error:
            raise RegistryError(_refusal(registry, error.code)) from error
        except (ValueError, OSError, HTTPException) as error:
            raise RegistryError(f"the login server of {registry} gave no token: {error}") from error
        return f"Bearer {token.get('token') or token.get('access_token') or ''}"


def _address(registry: str) -> str:
    if registry == DEFAULT_REGISTRY:
        return f"https://{HUB_HOST}"
    # As the engine does: only this machine's own registry may go without TLS.
    local = registry.split(":", maxsplit=1)[0] in ("localhost", "127.0.0.1")
    return f"{'http' if local else 'https'}://{registry}"


def _authorization(value: str | None) -> dict[str, str]:
    return {"Authorization": value} if value else {}


def _refusal(registry: str, status: int) -> str:
    if status in (_UNAUTHORIZED, _FORBIDDEN):
        return f"the registry {registry} refuses access ({status}); it may want a `docker login` of root on the host"
    if status == _TOO_MANY:
        return f"the registry {registry} limits the rate of requests ({status}); log in or use a mirror"
    return f"the registry {registry} answered with status {status}"


def _manifest_of(index: Mapping[str, Any], platform: str) -> str:
    """Return the digest of a platform's manifest in an index; empty for what is no index."""
    system, _, architecture = platform.partition("/")
    for entry in index.get("manifests") or []:
        found = entry.get("platform") or {}
        if (found.get("os"), found.get("architecture")) == (system, architecture.split("/")[0]):
            return str(entry["digest"])
    return ""
