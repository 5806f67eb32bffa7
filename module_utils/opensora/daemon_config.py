# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The configuration file of the Docker Engine: merge the keys asked for into what is there, find contradictions."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# Lists whose order means nothing to the engine, or to which one more entry is always welcome: asked-for entries join
# those that are there. Every other list (dns, dns-search, default-address-pools, the args of a runtime) is one value.
UNION_LISTS = frozenset(
    {
        "cdi-spec-dirs",
        "dns-opts",
        "exec-opts",
        "hosts",
        "insecure-registries",
        "labels",
        "registry-mirrors",
        "storage-opts",
    }
)

# Lists of name=value, where one name must not have two values.
OPTION_LISTS = frozenset({"exec-opts", "labels", "storage-opts"})

# What the engine takes over on a reload signal, so that running containers need not stop. The engine's manual also
# lists runtimes and features; a restart is made for these, because the device drivers are registered at start only.
RELOADABLE = frozenset(
    {
        "debug",
        "insecure-registries",
        "labels",
        "live-restore",
        "max-concurrent-downloads",
        "max-concurrent-uploads",
        "max-download-attempts",
        "registry-mirrors",
        "shutdown-timeout",
    }
)

# Flag -> key of the file, where the two differ. The engine does not start when one setting is in both places.
FLAG_KEYS = {
    "H": "hosts",
    "host": "hosts",
    "D": "debug",
    "G": "group",
    "b": "bridge",
    "g": "data-root",
    "graph": "data-root",
    "l": "log-level",
    "p": "pidfile",
    "s": "storage-driver",
    "authorization-plugin": "authorization-plugins",
    "cdi-spec-dir": "cdi-spec-dirs",
    "default-address-pool": "default-address-pools",
    "default-ulimit": "default-ulimits",
    "dns-opt": "dns-opts",
    "exec-opt": "exec-opts",
    "insecure-registry": "insecure-registries",
    "label": "labels",
    "log-opt": "log-opts",
    "registry-mirror": "registry-mirrors",
    "storage-opt": "storage-opts",
}

# Flags that say where or how the engine starts, and runtimes, which the engine merges from both places.
FLAGS_WITHOUT_KEY = frozenset({"add-runtime", "config-file", "validate", "version", "help"})


@dataclass(frozen=True)
class Merge:
    """The outcome of a merge.

    Attributes:
        config: The merged configuration; meaningful only without conflicts.
        changed_keys: Top-level keys whose meaning changed, sorted.
        conflicts: Contradictions between what is there and what was asked for, one sentence each.
    """

    config: dict[str, Any]
    changed_keys: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = field(default=())


def _option_conflicts(path: str, found: list[Any], wanted: list[Any]) -> list[str]:
    present: dict[str, str] = {}
    for entry in found:
        name, _, _ = str(entry).partition("=")
        present[name] = str(entry)
    conflicts = []
    for entry in wanted:
        name, _, _ = str(entry).partition("=")
        if present.get(name, str(entry)) != str(entry):
            conflicts.append(f"{path} has {present[name]!r}, asked for is {str(entry)!r}")
        present[name] = str(entry)
    return conflicts


def _merge_into(target: dict[str, Any], wanted: dict[str, Any], prefix: str, conflicts: list[str]) -> None:
    for key, value in wanted.items():
        path = f"{prefix}{key}"
        found = target.get(key)
        if value is None:
            conflicts.append(f"{path} was asked to be null, which is not a setting; leave the key out instead")
        elif isinstance(value, dict) and isinstance(found, dict):
            _merge_into(found, value, f"{path}.", conflicts)
        elif isinstance(value, list) and isinstance(found, list) and path in UNION_LISTS:
            if path in OPTION_LISTS:
                conflicts += _option_conflicts(path, found, value)
            target[key] = found + [entry for entry in value if entry not in found]
        else:
            if isinstance(value, list) and path in OPTION_LISTS:
                conflicts += _option_conflicts(path, [], value)
            target[key] = copy.deepcopy(value)


def merge(found: dict[str, Any], wanted: dict[str, Any]) -> Merge:
    """Merge the keys asked for into the configuration that is there.

    Every key that was not asked for stays, in its place. Mappings are merged at every depth; the lists named in
    ``UNION_LISTS`` gain what they lack; any other value is replaced. The inputs are not modified.

    Args:
        found: The configuration that is there.
        wanted: The keys asked for.
    """
    config = copy.deepcopy(found)
    conflicts: list[str] = []
    _merge_into(config, wanted, "", conflicts)
    changed = sorted(key for key in config if key not in found or config[key] != found[key])
    return Merge(config=config, changed_keys=tuple(changed), conflicts=tuple(conflicts))


def fingerprint(value: Any) -> Any:
    """Return a configuration in which each value is replaced by its digest; mappings, lists and names stay.

    It can be kept and compared where the configuration itself must not be: proxies and log drivers carry passwords.

    Args:
        value: The configuration, or a part of it.
    """
    if isinstance(value, dict):
        return {key: fingerprint(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [fingerprint(entry) for entry in value]
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def lacks(found: Mapping[str, Any], wanted: dict[str, Any]) -> bool:
    """Say whether the engine's configuration file lacks keys asked for, or can't be judged by its fingerprint.

    Args:
        found: ``gpu_host.engine.daemon_config``.
        wanted: The keys asked for.
    """
    if not wanted:
        return False
    if found.get("error") or "fingerprint" not in found:
        return True
    outcome = merge(found["fingerprint"], fingerprint(wanted))
    return bool(outcome.changed_keys or outcome.conflicts)


def needed_action(changed_keys: tuple[str, ...]) -> str:
    """Return what makes a running engine take over changed keys: ``none``, ``reload`` or ``restart``."""
    if not changed_keys:
        return "none"
    return "reload" if set(changed_keys) <= RELOADABLE else "restart"


def flags_of_unit(exec_start: str) -> list[str]:
    """Return the engine's command line from the service manager's description of the unit.

    Args:
        exec_start: Value of the property ``ExecStart``, such as
            ``{ path=/usr/bin/dockerd ; argv[]=/usr/bin/dockerd -H fd:// ; ignore_errors=no ; ... }``.
    """
    found = re.search(r"argv\[\]=(.*?) ;", exec_start)
    if not found:
        return []
    try:
        return shlex.split(found.group(1))
    except ValueError:
        return found.group(1).split()


def flag_conflicts(command_line: list[str], config: dict[str, Any]) -> list[str]:
    """Return the settings that stand both on the engine's command line and in its file, one sentence each.

    Args:
        command_line: The engine's command line, the program first.
        config: The configuration file about to be written.
    """
    conflicts = {}
    for argument in command_line[1:]:
        found = re.match(r"--?([A-Za-z][A-Za-z0-9-]*)", argument)
        if not found:
            continue
        name = found.group(1)
        if not argument.startswith("--"):
            name = name[0]  # -Hfd:// and -H fd:// are the same flag
        key = FLAG_KEYS.get(name, name)
        if name not in FLAGS_WITHOUT_KEY and key in config:
            conflicts[key] = f"{key} is in the file, and the service starts the engine with {argument.split('=')[0]}"
    return list(conflicts.values())
