# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Filters of the service: what it shall be on a host, what a video needs, and the table at the end.

They run on the control node, where jmespath and PyYAML live; what they decide by stands in module_utils.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils
import jmespath
import yaml
from ansible.errors import AnsibleFilterError

# Ansible finds the project's module_utils for modules only; plugins have to be told where they are.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora.gpu_selection import (  # noqa: E402
    NO_GPU,
)
from ansible.module_utils.opensora.host_table import host_row, render_table, short_digest  # noqa: E402
from ansible.module_utils.opensora.plain_data import plain  # noqa: E402
from ansible.module_utils.opensora.problems import describe  # noqa: E402
from ansible.module_utils.opensora.service_instances import Instance, make_plans  # noqa: E402
from ansible.module_utils.opensora.service_plan import ServicePlan  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HEADER = "# Written by opensora-site: change the variables of the role opensora_service, not this file.\n"


def opensora_service_plan(
    settings: Mapping[str, Any], host: Mapping[str, Any], instances: object, *, is_final: bool, needs_image: bool
) -> dict[str, Any]:
    """Return what the services of a host shall be: their compose projects, their GPUs, and every problem.

    Args:
        settings: Variables of the role without their prefix.
        instances: ``opensora_service_instances``.
        host: ``gpu_host``.
        is_final: Whether driver and engine are in place.
        needs_image: Whether the image has to be known.
    """
    wanted = make_plans(
        plain(settings), plain(host), plain(instances), jmespath.search, is_final=is_final, needs_image=needs_image
    )
    found = [problem.as_dict() for problem in wanted.problems]
    return {
        "services": [_as_data(instance, plan) for instance, plan in wanted.services],
        "problems": found,
        "errors": "\n".join(describe(problem) for problem in found if problem["severity"] == "error"),
    }


def _as_data(instance: Instance, plan: ServicePlan) -> dict[str, Any]:
    """Return one service as the tasks use it; no secret is in it."""
    text = yaml.safe_dump(plan.project, sort_keys=False, width=120) if plan.project else ""
    settings = instance.settings
    return {
        "name": instance.name,
        "project": instance.project,
        "directory": settings["directory"],
        "definition": HEADER + text if text else "",
        "image": settings["image"],
        "user": settings["user"],
        "gpus": [gpu.uuid for gpu in plan.gpus],
        # Nothing is known of them while the driver is to come or the selection is wrong.
        "gpus_known": bool(plan.gpus) or settings["gpus"] == NO_GPU,
        "device_driver": plan.device_driver.name,
        "device_driver_reason": plan.device_driver.reason,
        "health_wait": plan.health.wait if plan.health else 0,
        "ports": [str(port) for port in plan.ports],
        "uid": plan.user[0] if plan.user else None,
        "gid": plan.user[1] if plan.user else None,
        "directories": [
            {"path": settings[name], "uid": uid, "gid": gid, "writable": writable}
            for name, writable in (
                ("checkpoints_directory", False),
                ("samples_directory", True),
                ("cache_directory", True),
            )
            for uid, gid in [plan.user or (None, None)]
            if settings[name]
        ],
        "proof_command": list(plan.proof_command),
        "start_after_engine": plan.start_after_engine,
    }


def opensora_service_results(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what was deployed, by the services' names.

    Args:
        results: Results of opensora_service for ``services`` of a plan.
    """
    return {
        result["item"]["name"]: {
            **result["service"],
            "action": result["action"],
            "changed_keys": result["changed_keys"],
            "device_driver_reason": result["item"]["device_driver_reason"],
        }
        for result in plain(results)
    }


def opensora_service_named(services: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return the service with a name, or all for an empty one.

    Args:
        services: ``services`` of a plan.
        name: The name.

    Raises:
        AnsibleFilterError: There is none of that name; the message says which there are.
    """
    found = [service for service in plain(services) if not name or service["name"] == name]
    if not found:
        names = ", ".join(service["name"] for service in plain(services))
        raise AnsibleFilterError(f"service is {name!r}, allowed is one of: {names}")
    return found


def opensora_release_table(hostvars: Mapping[str, Any], hosts: Sequence[str]) -> str:
    """Return the table of what runs after a rollback.

    Args:
        hostvars: Variables of all hosts.
        hosts: Hosts of the run.
    """
    rows = [
        (str(host), result["item"]["name"], result["release"], short_digest(str(result["service"].get("image") or "")))
        for host in hosts
        for result in plain((hostvars[host].get("__opensora_service_rollback") or {}).get("results")) or []
        if result.get("release")
    ]
    return render_table(rows, ("host", "service", "release", "image"))


def opensora_host_table(hostvars: Mapping[str, Any], hosts: Sequence[str], started: int = 0) -> str:
    """Return the table at the end of a run.

    Args:
        hostvars: Variables of all hosts.
        hosts: Hosts of the run.
        started: Begin of the run in seconds of the epoch; 0 for the begin of this ansible-playbook.
    """
    minutes = f"{(time.time() - started) / 60:.1f}" if started else _run_minutes()
    rows = []
    for host in hosts:
        variables = hostvars[host]
        results = plain((variables.get("__opensora_service_verify") or {}).get("results")) or [{}]
        rows += [
            host_row(
                str(host) if len(results) == 1 else f"{host} {result['item']['name']}",
                plain(variables.get("gpu_host") or {}),
                result.get("service") or {},
                result.get("problems") or [],
                skipped=str(variables.get("opensora_host_skipped") or ""),
                minutes=minutes,
            )
            for result in results
        ]
    return render_table(rows)


def _run_minutes() -> str:
    """Return how many minutes ansible-playbook has been running, or a dash where the system doesn't tell.

    A filter runs in a worker of ansible-playbook, whose parent therefore is the run.
    """
    try:
        fields = Path(f"/proc/{os.getppid()}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return "-"
    return f"{(uptime - started) / 60:.1f}"


class FilterModule:
    """The filters by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters."""
        return {
            "opensora_service_plan": opensora_service_plan,
            "opensora_service_results": opensora_service_results,
            "opensora_service_named": opensora_service_named,
            "opensora_release_table": opensora_release_table,
            "opensora_host_table": opensora_host_table,
        }
