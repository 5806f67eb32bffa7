# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The decisions of the role opensora_checkpoint as filters, so that they cost no round trip to the host."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ansible.module_utils
import yaml

# Ansible adds module_utils/ of a project for modules only; a filter runs on the controller.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora.checkpoint_settings import required_urls, setting_problems  # noqa: E402 (see above)
from ansible.module_utils.opensora.checkpoint_share import HostWeights, assign  # noqa: E402
from ansible.module_utils.opensora.plain_data import plain  # noqa: E402
from ansible.module_utils.opensora.problems import Problem  # noqa: E402


def read(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``manifest`` that the settings name, empty where it is of no use, and the ``problems`` of both.

    Args:
        settings: The role's settings.
    """
    wish, content = plain(settings), None
    if wish["manifest"]:
        try:
            content = yaml.safe_load(Path(wish["manifest"]).expanduser().read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            problem = Problem(
                "configuration",
                "checkpoint.manifest_unreadable",
                "error",
                f"opensora_checkpoint_manifest {wish['manifest']} can't be read: {error}",
                "Name a YAML or JSON file of the control node; docs/checkpoints.md says how one is made.",
            )
            return {"manifest": {}, "problems": [problem.as_dict()]}
    problems = setting_problems(wish, content)
    is_usable = content is not None and not any(problem.severity == "error" for problem in problems)
    return {"manifest": content if is_usable else {}, "problems": [problem.as_dict() for problem in problems]}


def assignment(
    hosts: Sequence[Mapping[str, Any]], name: str, batch: Collection[str], chunk_bytes: int
) -> dict[str, Any]:
    """Return what a host does so that a site fetches the weights once.

    Args:
        hosts: Variables of the hosts that were asked for the weights.
        name: The host.
        batch: Names of the hosts that run together with it.
        chunk_bytes: Bytes of a piece that is handed over.
    """
    answers = [
        HostWeights(
            name=str(host["inventory_hostname"]),
            manifest_digest=str(host["__opensora_checkpoint_asked"]["checkpoint"]["manifest_digest"]),
            wanted=plain(host["__opensora_checkpoint_asked"]["wanted"]),
            in_batch=host["inventory_hostname"] in batch,
            shares=bool(host["__opensora_checkpoint_shares"]),
            provided=bool((host.get("__opensora_checkpoint_provided") or {}).get("checkpoint")),
        )
        for host in hosts
    ]
    return asdict(assign(answers, name, int(chunk_bytes)))


class FilterModule:
    """Register the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name and function of each filter."""
        return {
            "opensora_checkpoint_assignment": assignment,
            "opensora_checkpoint_read": read,
            "opensora_checkpoint_urls": _urls,
        }


def _urls(settings: Mapping[str, Any], problems: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return required_urls(plain(settings), plain(problems))
