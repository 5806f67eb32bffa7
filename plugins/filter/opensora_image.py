# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The decisions of the role opensora_image as filters, so that they cost no round trip to the host."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ansible.module_utils
from ansible.errors import AnsibleFilterError

# Ansible adds module_utils/ of a project for modules only; a filter runs on the controller.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora.build_key import build_inputs, build_key  # noqa: E402 (the path is set above)
from ansible.module_utils.opensora.compute_capability import all_capabilities  # noqa: E402
from ansible.module_utils.opensora.image_archive import choose_compression  # noqa: E402
from ansible.module_utils.opensora.image_decision import HostAnswer, assign, decide, local_images  # noqa: E402
from ansible.module_utils.opensora.image_preflight import (  # noqa: E402
    host_problems,
    is_missing,
    pinned_sources,
    setting_problems,
    unread_problems,
)
from ansible.module_utils.opensora.plain_data import plain  # noqa: E402
from ansible.module_utils.opensora.problems import Problem, invalid_value  # noqa: E402

# Only a Dockerfile of the user's own needs the packages that read it.
try:
    from ansible.module_utils.opensora.dockerfile_lint import lint
    from ansible.module_utils.opensora.dockerfile_state import Build

    _MISSING = ""
except ModuleNotFoundError as error:
    _MISSING = str(error.name)


def text(path: str) -> str:
    """Return the text of a file on the control node.

    Args:
        path: Path of the file.

    Raises:
        AnsibleFilterError: The file can't be read or is no text.
    """
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AnsibleFilterError(f"opensora_image: the build context's file {path} can't be read: {error}") from error


def key(build: Mapping[str, Any]) -> str:
    """Return the build key of what a build is made of."""
    build = plain(build)
    arguments = {str(name): str(value) for name, value in build["build_arguments"].items()}
    return build_key(build_inputs(**{**build, "build_arguments": arguments}))


def judge_settings(settings: Mapping[str, Any], unread_hosts: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the problems of the role's settings.

    Args:
        settings: The role's settings.
        unread_hosts: Hosts of the inventory that this run has not read.
    """
    wish = plain(settings)
    files = wish.get("__opensora_image_local_files") or {}
    problems = [*_unreadable_files(files), *setting_problems(wish), *unread_problems(wish, plain(unread_hosts))]
    return [problem.as_dict() for problem in problems]


def _unreadable_files(files: Mapping[str, str]) -> list[Problem]:
    """Return the files of the control node that can't be read as text.

    Args:
        files: Path of each by the variable that names it; empty for none.
    """
    return [
        invalid_value(variable, path, f"a text file of the control node ({reason})")
        for variable, path in files.items()
        if path and (reason := _why_unreadable(path))
    ]


def _why_unreadable(path: str) -> str:
    try:
        text(path)
    except AnsibleFilterError as error:
        return str(error.__cause__ or error)
    return ""


def cuda_architectures(hosts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the compute capabilities of the cards of several hosts, lowest first."""
    return all_capabilities(plain(hosts))


def judge_dockerfile(path: str, build: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the problems of a Dockerfile of the user's own.

    Args:
        path: Its path on the control node, for messages.
        build: Its text, the text of each file of the context, the build arguments, the names of those that the user
            gave, whether the user added files, the target, and the codes of warnings that are not wanted.

    Raises:
        AnsibleFilterError: The control node lacks a Python package of requirements/runtime.txt.
    """
    if _MISSING:
        raise AnsibleFilterError(
            f"opensora_image: opensora_image_dockerfile is {path!r}, and checking it needs the Python package "
            f"{_MISSING} on the control node; install requirements/runtime.txt there"
        )
    build = plain(build)
    wish = Build(
        context={str(name): str(content) for name, content in build["context"].items()},
        given={str(name): str(value) for name, value in build["build_arguments"].items()},
        asked=tuple(build["asked_arguments"]),
        has_own_files=bool(build["has_own_files"]),
        target=str(build["target"]),
    )
    return [problem.as_dict() for problem in lint(str(build["text"]), str(path), wish, build["ignored_findings"])]


def judge_host(
    host: Mapping[str, Any], settings: Mapping[str, Any], sources: Mapping[str, Any], wanted_key: str
) -> dict[str, Any]:
    """Return the ``problems`` of a host with the image, and the image where the host has it (``known``).

    What is known is what a look by the module opensora_image would say, and empty where that look is needed.

    Args:
        host: The fact gpu_host.
        settings: The role's settings.
        sources: What opensora_sources_info returned.
        wanted_key: The build key that the host shall have.
    """
    found = plain(sources)
    host, settings = plain(host), plain(settings)
    missing = is_missing(wanted_key, found.get("local_build_keys") or [])
    return {
        "problems": [problem.as_dict() for problem in host_problems(host, settings, found, missing)],
        "known": _known_image(host, settings, found, wanted_key),
    }


def _known_image(
    host: Mapping[str, Any], settings: Mapping[str, Any], sources: Mapping[str, Any], wanted_key: str
) -> dict[str, Any]:
    registry, name = settings["opensora_image_registry"], settings["opensora_image_name"]
    repository = f"{registry}/{name}" if registry else ""
    decision = decide(wanted_key, local_images(sources.get("local_images") or []), repository, None)
    started, image = (host.get("engine") or {}).get("started_at"), decision.image
    # Of an engine that tells nothing about its start nobody knows later whether it is still the one that was asked.
    if not wanted_key or decision.action != "none" or image is None or not started:
        return {}
    digest = image.digest_in(repository) if repository else None
    return {
        "action": decision.action,
        "reason": decision.reason,
        "build_key": wanted_key,
        "reference": f"{repository}@{digest}" if digest else image.id,
        "id": image.id,
        "digest": digest,
        "labels": image.labels,
        "compressions": sources.get("compressions") or [],
        "problems": [],
        "engine_started_at": started,
    }


def assignment(
    hosts: Sequence[Mapping[str, Any]], name: str, batch: Collection[str], registry: str, rebuild: bool
) -> dict[str, str]:
    """Return what a host does so that the site builds an image once.

    Args:
        hosts: Variables of the hosts that were asked for the image.
        name: The host.
        batch: Names of the hosts that run together with it.
        registry: The site's registry; empty when there is none.
        rebuild: Whether to build although the image is there.
    """
    answers = [
        HostAnswer(
            name=str(host["inventory_hostname"]),
            build_key=str(host["__opensora_image_asked"]["build_key"]),
            action=host["__opensora_image_asked"]["action"],
            in_batch=host["inventory_hostname"] in batch,
            shares=bool(host["__opensora_image_shares"]),
            provided=bool(host.get("__opensora_image_provided")),
        )
        for host in hosts
    ]
    return asdict(assign(answers, name, registry=bool(registry), rebuild=rebuild))


class FilterModule:
    """Register the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name and function of each filter."""
        return {
            "opensora_image_text": text,
            "opensora_image_build_key": key,
            "opensora_image_cuda_architectures": cuda_architectures,
            "opensora_image_setting_problems": judge_settings,
            "opensora_image_dockerfile_problems": judge_dockerfile,
            "opensora_image_judged": judge_host,
            "opensora_image_assignment": assignment,
            "opensora_image_compression": lambda asked: choose_compression(answer["compressions"] for answer in asked),
            "opensora_image_pinned_sources": lambda settings: pinned_sources(plain(settings)),
        }
