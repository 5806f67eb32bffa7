# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Judge where a build takes cached steps from and where it puts them.

The engine's own builder knows less than a builder in a container. Seen with Docker Engine 26.1 and buildx 0.13: the
classic image store imports from a registry and from a folder and exports only within the image (``inline``);
containerd's image store also exports to a registry and to a folder. Neither knows the stores of cloud vendors.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from typing import Literal

from ansible.module_utils.opensora.image_decision import ImageStore
from ansible.module_utils.opensora.image_reference import parse_image_reference
from ansible.module_utils.opensora.problems import Problem, invalid_value

Direction = Literal["from", "to"]
# type -> the attribute that it can't do without
_KNOWN: dict[Direction, dict[str, str]] = {
    "from": {"registry": "ref", "local": "src"},
    "to": {"inline": "", "registry": "ref", "local": "dest"},
}
_CLASSIC_EXPORTS = frozenset({"inline"})
_SECRET = re.compile(r"token|secret|password|passwd|access_?key|account_?key|credential", re.IGNORECASE)
_EXAMPLE: dict[Direction, str] = {
    "from": "type=registry,ref=registry.example.org/site/opensora-cache",
    "to": "type=registry,ref=registry.example.org/site/opensora-cache,mode=max",
}


def cache_attributes(entry: str) -> dict[str, str]:
    """Return the attributes of an entry as BuildKit reads it: comma separated pairs, or a reference alone.

    Raises:
        ValueError: A part is no pair, or a name stands twice.
    """
    fields = next(csv.reader([entry]), [])
    if len(fields) == 1 and "=" not in fields[0]:
        return {"type": "registry", "ref": fields[0].strip()}
    attributes: dict[str, str] = {}
    for field in fields:
        name, found, value = field.strip().partition("=")
        if not found or not name or name.lower() in attributes:
            raise ValueError(f"{field!r} is no pair name=value of its own")
        attributes[name.lower()] = value
    return attributes


def cache_setting_problems(variable: str, direction: Direction, entries: Sequence[object]) -> Iterator[Problem]:
    """Yield what can't be right in a list of caches, whatever host it is for.

    Args:
        variable: Name of the variable as the user writes it.
        direction: Whether steps are taken from these caches or put there.
        entries: The list.
    """
    known = _KNOWN[direction]
    for entry in entries:
        text = str(entry)
        try:
            attributes = cache_attributes(text)
        except ValueError as error:
            yield invalid_value(variable, text, f"pairs such as {_EXAMPLE[direction]} ({error})")
            continue
        secret = [name for name in attributes if _SECRET.search(name)]
        if secret or "@" in attributes.get("ref", "").partition("/")[0]:
            # The value is not shown: it may be the secret.
            what = ", ".join(secret) or "a login in its address"
            yield Problem(
                layer="configuration",
                code="variable.secret_in_command",
                severity="error",
                message=f"{variable} carries {what}; it stands in the process list and in the log of a build",
                next_action="Leave it out; give the registry's login as opensora_image_registry_username and "
                "opensora_image_registry_password.",
            )
            continue
        kind = attributes.get("type", "")
        needed = known.get(kind)
        if needed is None:
            yield invalid_value(variable, text, f"a type of {', '.join(known)}, such as {_EXAMPLE[direction]}")
        elif needed and not attributes.get(needed):
            yield invalid_value(variable, text, f"type={kind} with {needed}=")
        elif needed == "ref" and not _is_reference(attributes["ref"]):
            yield invalid_value(variable, text, "an image reference after ref=")
        elif needed in ("src", "dest") and not attributes[needed].startswith("/"):
            yield invalid_value(variable, text, f"an absolute path on the host after {needed}=")
        elif attributes.get("mode", "min") not in ("min", "max"):
            yield invalid_value(variable, text, "mode=min or mode=max")


def cache_host_problems(cache_to: Sequence[str], store: ImageStore) -> list[Problem]:
    """Return the exports that a host's own builder can't do.

    Args:
        cache_to: Where the build puts its steps; every entry is valid.
        store: Kind of the engine's image store.
    """
    if store == "containerd":
        return []
    return [
        Problem(
            layer="engine",
            code="engine.no_cache_export",
            severity="error",
            message=f"the builder of this host can't do {entry} (opensora_image_cache_to): its engine uses the classic "
            "image store, which exports only type=inline",
            next_action="Use type=inline, or switch the engine to containerd's image store "
            "(features: {containerd-snapshotter: true} in docker_engine_daemon_config).",
            evidence=(f"opensora_image_cache_to: {entry}",),
        )
        for entry in cache_to
        if cache_attributes(entry)["type"] not in _CLASSIC_EXPORTS
    ]


def export_argument(entry: str) -> str:
    """Return an export as BuildKit gets it: one that fails costs the cache, never the image that was built."""
    attributes = cache_attributes(entry)
    if attributes["type"] == "inline" or "ignore-error" in attributes:
        return entry
    return f"{entry},ignore-error=true" if "=" in entry else f"type=registry,ref={entry},ignore-error=true"


def _is_reference(text: str) -> bool:
    try:
        parse_image_reference(text)
    except ValueError:
        return False
    return True
