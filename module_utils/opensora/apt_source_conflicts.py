# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Find what is wrong with apt's source entries: two keys for one repository, dead lists, another system's entries."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ansible.module_utils.opensora.apt_repository import normalize_uri
from ansible.module_utils.opensora.apt_sources import (
    AptSource,
    UnreadableLine,
    is_distribution_source,
    missing_components,
)
from ansible.module_utils.opensora.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ansible.module_utils.opensora.problems import Severity

# Releases of the distributions that vendors serve by codename, with NVIDIA's word for each in its repositories.
CODENAMES = {
    "debian": {"buster": "debian10", "bullseye": "debian11", "bookworm": "debian12", "trixie": "debian13"},
    "ubuntu": {
        "bionic": "ubuntu1804",
        "focal": "ubuntu2004",
        "jammy": "ubuntu2204",
        "noble": "ubuntu2404",
        "questing": "ubuntu2510",
        "resolute": "ubuntu2604",
    },
}
_CUDA_PATH = re.compile(r"/cuda/repos/(?P<folder>[^/]+)/(?P<machine>[^/]+)")
_CUDA_FOLDER = re.compile(
    r"(debian\d\d?|ubuntu\d{4}|(rhel|sles|opensuse|fedora|amzn|azl)\d+|wsl-ubuntu|cross-linux\S*)"
)
_CUDA_MACHINES = {"amd64": "x86_64", "arm64": "sbsa"}
_DOCKER_PATH = re.compile(r"docker.*/linux/(?P<distribution>[a-z]+)$")
# The toolkit's repositories by distribution, given up for the one that serves all: libnvidia-container/stable/deb.
_GIVEN_UP = re.compile(
    r"//nvidia\.github\.io/(nvidia-docker/|nvidia-container-runtime/|libnvidia-container/(?!(stable|experimental)/(deb|rpm)\b))"
)
# The key that NVIDIA replaced in April 2022, by its short identifier, which is also the end of its fingerprint.
_OLD_CUDA_KEY = "7fa2af80"
# Debian 13's repository is signed by another key than those of Ubuntu and of Debian up to 12.
_CUDA_KEYS = {"debian13": "8793f200"}
_CUDA_KEY = "3bf863cc"
_REPAIR = (
    "the role package_manager does so with package_manager_repair_sources: true and keeps the former file beside it "
    "with the ending .orig."
)


@dataclass(frozen=True)
class Conflict:
    """Entries of one repository that apt cannot read together.

    Attributes:
        repository: Address and suite, as apt compares them.
        entries: All enabled entries of it, in the order in which apt reads them.
    """

    repository: tuple[str, str]
    entries: tuple[AptSource, ...]


def in_reading_order(sources: Iterable[AptSource]) -> list[AptSource]:
    """Return entries in the order in which apt reads them: the main file, then the others by name."""
    return sorted(sources, key=lambda source: (not source.path.endswith("/sources.list"), source.path, source.line))


def keys_of(source: AptSource) -> str:
    """Return the keys of an entry as apt compares them; empty for none."""
    return ",".join((source.signed_by or "").replace(",", " ").split())


def _as_apt_compares(uri: str, architecture: str) -> str:
    uri = uri.replace("$(ARCH)", architecture) if architecture else uri
    return uri if uri.endswith("/") else f"{uri}/"


def find_conflicts(sources: Iterable[AptSource], architecture: str) -> list[Conflict]:
    """Return the repositories for which entries name different keys.

    apt takes the first key that is named for a repository and stops at an entry after it that names another or none;
    an entry without a key before it does no harm. Source packages count like binary ones.

    Args:
        sources: The entries of all files; disabled ones are left out.
        architecture: The host's Debian architecture, empty when unknown.
    """
    entries: dict[tuple[str, str], list[AptSource]] = {}
    for source in in_reading_order(sources):
        if source.enabled:
            for uri in source.uris:
                for suite in source.suites:
                    found = entries.setdefault((_as_apt_compares(uri, architecture), suite), [])
                    found += [source] if source not in found else []
    conflicts = []
    for repository, found in entries.items():
        named = [keys_of(source) for source in found]
        first = next((number for number, key in enumerate(named) if key), len(named))
        if len(set(named[first:])) > 1:
            conflicts.append(Conflict(repository, tuple(found)))
    return conflicts


def _conflict_problems(conflicts: Sequence[Conflict]) -> list[Problem]:
    problems: dict[tuple[str, ...], Problem] = {}
    for conflict in conflicts:
        lines = tuple(f"{source.place}: Signed-By {source.signed_by or 'not set'}" for source in conflict.entries)
        problems.setdefault(
            lines,
            Problem(
                layer="packages",
                code="apt.conflicting_entries",
                severity="error",
                message=f"The repository {' '.join(conflict.repository)} has {len(lines)} entries with different keys, "
                "so that apt stops with 'Conflicting values set for option Signed-By' at everything",
                next_action=f"Disable all but one of the entries; {_REPAIR}",
                evidence=lines,
            ),
        )
    return list(problems.values())


def offers(source: AptSource, architecture: str) -> set[tuple[str, str, str]]:
    """Return what an entry offers: address, suite and component of each part, spellings of one thing made equal.

    Args:
        source: The entry.
        architecture: The host's Debian architecture, empty when unknown.
    """
    return {
        (normalize_uri(uri, architecture), "/" if suite == "./" else suite, component)
        for uri in source.uris
        for suite in source.suites
        for component in source.components or [""]
    }


def _duplicate_problems(
    sources: Sequence[AptSource], conflicts: Sequence[Conflict], architecture: str
) -> list[Problem]:
    conflicting = {source.place for conflict in conflicts for source in conflict.entries}
    first: dict[tuple[str, str, str], AptSource] = {}
    pairs: dict[tuple[str, str], tuple[str, AptSource, AptSource]] = {}
    for source in in_reading_order(sources):
        if not source.enabled or "deb" not in source.types or source.place in conflicting:
            continue
        for part in sorted(offers(source, architecture)):
            other = first.setdefault(part, source)
            apart = other.architectures and source.architectures
            if other is not source and not (apart and not set(other.architectures) & set(source.architectures)):
                pairs.setdefault((other.place, source.place), (f"{part[0]} {part[1]}", other, source))
    return [
        Problem(
            layer="packages",
            code="apt.duplicate_entries",
            severity="warning",
            message=f"The repository {name} is configured twice, in {first_entry.path} and {second.path}",
            next_action=f"Remove the entry in {second.path}: as long as both name the same key apt only warns.",
            evidence=tuple(
                f"{entry.place}: Signed-By {entry.signed_by or 'not set'}" for entry in (first_entry, second)
            ),
        )
        for name, first_entry, second in pairs.values()
    ]


def _source_problem(source: AptSource, code: str, severity: Severity, message: str, next_action: str) -> Problem:
    line = f"{source.place}: {' '.join(source.uris)} {' '.join(source.suites)}"
    return Problem(
        "packages", code, severity, message, next_action, (f"{line} (Signed-By {source.signed_by or 'not set'})",)
    )


def _disable(source: AptSource, code: str, message: str) -> Problem:
    return _source_problem(source, code, "error", message, f"Disable this entry in {source.path}; {_REPAIR}")


def _system_name(os: Mapping[str, Any]) -> str:
    return str(os.get("name") or f"{os.get('repository_id')} {os.get('codename')}")


def _cuda_key_problem(source: AptSource, folder: str, host: str) -> Problem | None:
    keys = keys_of(source).lower()
    if _OLD_CUDA_KEY in keys:
        return _disable(
            source,
            "apt.old_key",
            "NVIDIA's repository is signed with a newer key than 7fa2af80, which this entry names; apt refuses it with "
            "'NO_PUBKEY'",
        )
    right = _CUDA_KEYS.get(folder, _CUDA_KEY)
    wrong = next((key for key in (_CUDA_KEY, *_CUDA_KEYS.values()) if key in keys and right not in keys), None)
    if wrong:
        return _disable(
            source,
            "apt.wrong_key",
            f"NVIDIA signs its repository {folder} with the key {right}, this entry names {wrong}",
        )
    if not keys and host == "developer.download.nvidia.com":
        return _source_problem(
            source,
            "apt.key_not_named",
            "warning",
            f"NVIDIA's repository {folder} names no key, so that apt needs it among the keys that it trusts everywhere",
            f"Remove the entry in {source.path} and let nvidia_driver_source: vendor write one with a pinned key.",
        )
    return None


def _cuda_problem(source: AptSource, uri: str, os: Mapping[str, Any]) -> Problem | None:
    parts = urlsplit(uri)
    found = _CUDA_PATH.search(parts.path)
    if found is None:
        return None
    folder, machine = found.group("folder"), found.group("machine")
    distribution = str(os.get("repository_id") or os.get("id"))
    own = CODENAMES.get(distribution, {}).get(str(os.get("codename")))
    wanted = f" Of this host's system it would be {own}." if own else ""
    if not _CUDA_FOLDER.fullmatch(folder):
        return _disable(
            source,
            "apt.wrong_release",
            f"{uri} does not exist: NVIDIA's folders are named like debian12 and ubuntu2404, not {folder}.{wanted}",
        )
    if own and folder not in (own, "wsl-ubuntu"):
        if folder not in CODENAMES.get(distribution, {}).values():
            return _disable(
                source,
                "apt.wrong_release",
                f"{uri} has the packages of another system than {_system_name(os)}.{wanted}",
            )
        return _source_problem(
            source,
            "apt.wrong_release",
            "warning",
            f"{uri} has the packages of another release than {_system_name(os)}.{wanted}",
            f"Remove the entry in {source.path}, or change it to {own}.",
        )
    known = _CUDA_MACHINES.get(str(os.get("deb_arch")))
    if known and machine != known and machine in (*_CUDA_MACHINES, *_CUDA_MACHINES.values()):
        return _disable(
            source,
            "apt.wrong_release",
            f"{uri} is not for this host, whose architecture NVIDIA calls {known}",
        )
    return _cuda_key_problem(source, folder, parts.netloc.lower())


def _docker_problem(source: AptSource, uri: str, os: Mapping[str, Any]) -> Problem | None:
    parts = urlsplit(uri)
    found = _DOCKER_PATH.search(f"{parts.netloc}{parts.path}".lower().rstrip("/"))
    codename = os.get("codename")
    if found is None or not codename:
        return None
    distribution = str(os.get("repository_id") or os.get("id"))
    named = found.group("distribution")
    name = _system_name(os)
    if named not in (distribution, os.get("id")):
        return _disable(
            source,
            "apt.wrong_release",
            f"{uri} {' '.join(source.suites)} is Docker's repository for {named}; this host is {name}, for which it "
            f"is {distribution} {codename}",
        )
    foreign = [suite for suite in source.suites if suite != codename]
    unknown = [suite for suite in foreign if suite not in CODENAMES.get(distribution, {})]
    if unknown:
        return _disable(
            source,
            "apt.wrong_release",
            f"Docker's repository {uri} has no {unknown[0]}; for this host, {name}, it is {codename}",
        )
    if foreign:
        return _source_problem(
            source,
            "apt.wrong_release",
            "warning",
            f"The entry for Docker's repository is for {foreign[0]}, this host is {name} ({codename})",
            f"Remove the entry in {source.path}, or change it to {codename}.",
        )
    return None


def source_problem(source: AptSource, os: Mapping[str, Any]) -> Problem | None:
    """Return what is wrong with one entry of a vendor by itself, or null.

    An error means that the entry can never be of use on this host, so that it may be disabled.

    Args:
        source: The entry.
        os: The ``os`` part of the host's description; a derivative counts as the distribution whose packages it uses.
    """
    if not source.enabled:
        return None
    for uri in source.uris:
        if _GIVEN_UP.search(f"{uri.lower()}/"):
            return _disable(
                source,
                "apt.dead_repository",
                f"NVIDIA has given up its container toolkit repositories of single distributions, such as {uri}",
            )
        problem = _cuda_problem(source, uri, os) or _docker_problem(source, uri, os)
        if problem:
            return problem
    return None


def _unreadable_problem(lines: Sequence[UnreadableLine]) -> Problem:
    first = lines[0]
    is_comment = first.text.startswith("#")
    if is_comment:
        message = f"{first.path} holds no repository but the refusal of the server that it was asked from"
        next_action = f"Remove {first.path}; apt does not stop at it, but whatever it was to offer is not there."
    else:
        what = "a web page" if first.text.startswith("<") else "a line that is no entry"
        message = f"{first.path} holds {what} instead of a repository, so that apt stops at everything"
        next_action = f"Make the line a comment; {_REPAIR}"
    return Problem(
        layer="packages",
        code="apt.dead_repository",
        severity="warning" if is_comment else "error",
        message=message,
        next_action=next_action,
        evidence=tuple(f"{line.path}, line {line.line}: {line.text}" for line in lines[:3]),
    )


def find_source_problems(
    sources: Iterable[Mapping[str, Any]],
    os: Mapping[str, Any],
    unreadable: Iterable[Mapping[str, Any]] = (),
) -> list[Problem]:
    """Return what is wrong with the source entries of a host, the worst first.

    Args:
        sources: The entries of all files, as ``AptSource.as_dict`` gives them.
        os: The ``os`` part of the host's description.
        unreadable: Lines that are no entries, as ``UnreadableLine.as_dict`` gives them.
    """
    entries = [AptSource(**source) for source in sources]
    by_file: dict[str, list[UnreadableLine]] = {}
    for line in unreadable:
        by_file.setdefault(line["path"], []).append(UnreadableLine(**line))
    architecture = str(os.get("deb_arch") or "")
    conflicts = find_conflicts(entries, architecture)
    problems = [_unreadable_problem(lines) for lines in by_file.values()]
    problems += _conflict_problems(conflicts)
    problems += [problem for entry in entries for problem in [source_problem(entry, os)] if problem]
    problems += _duplicate_problems(entries, conflicts, architecture)
    return sorted(problems, key=lambda problem: problem.severity != "error")


def find_missing_components(
    sources: Iterable[Mapping[str, Any]], os: Mapping[str, Any], wanted: Sequence[str]
) -> list[Problem]:
    """Return a warning for the distribution's own entries that lack components; none where there is no such entry.

    Args:
        sources: The entries of all files.
        os: The ``os`` part of the host's description.
        wanted: Components that the driver's packages come from.
    """
    own = [
        source
        for source in (AptSource(**entry) for entry in sources)
        if is_distribution_source(source, str(os.get("codename")))
    ]
    lacking = [(source, missing_components(source, list(wanted))) for source in own]
    lines = tuple(f"{source.place}: lacks {' '.join(missing)}" for source, missing in lacking if missing)
    if not lines:
        return []
    return [
        Problem(
            layer="packages",
            code="apt.components_missing",
            severity="warning",
            message=f"The distribution's own sources lack components that the driver comes from: {' '.join(wanted)}",
            next_action="Add them to these entries; nvidia_driver_source: distribution does so by itself.",
            evidence=lines,
        )
    ]
