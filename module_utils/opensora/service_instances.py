# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Several services on one host: what each is made of, and that none takes what another has."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.compose_model import PROJECT
from ansible.module_utils.opensora.problems import Problem, invalid_value
from ansible.module_utils.opensora.service_plan import ServicePlan, make_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

VARIABLE = "opensora_service_instances"
# Compose allows more, but the name also is a folder and a part of host names.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
# One host has one of these, whatever its services are.
_OF_THE_HOST = frozenset({"directory", "instances"})
# Folders that hold what the service writes; instances that say nothing get one below it each.
_OWN_FOLDERS = ("samples_directory", "cache_directory")


@dataclass(frozen=True)
class Instance:
    """One service of a host.

    Attributes:
        name: Name by which the user knows it.
        project: Name of its compose project.
        settings: Variables of the role without their prefix, with what the instance has of its own.
    """

    name: str
    project: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class HostPlan:
    """What the services of one host shall be.

    Attributes:
        services: Each service with its plan, in the order of their names.
        problems: Everything wrong or worth a warning.
    """

    services: tuple[tuple[Instance, ServicePlan], ...]
    problems: tuple[Problem, ...]


def make_plans(
    settings: Mapping[str, Any],
    host: Mapping[str, Any],
    wish: object,
    search: Callable[[str, Any], Any],
    *,
    is_final: bool,
    needs_image: bool,
) -> HostPlan:
    """Return the plans of all services of a host; for the arguments see ``make_plan`` and ``read_instances``."""
    instances, problems = read_instances(settings, wish)
    services = [
        (
            instance,
            make_plan(
                instance.settings,
                host,
                search,
                is_final=is_final,
                needs_image=needs_image,
                project=instance.project,
            ),
        )
        for instance in instances
    ]
    for instance, plan in services:
        where = f"{instance.name}: " if len(services) > 1 or instance.project != PROJECT else ""
        problems += [replace(problem, message=where + problem.message) for problem in plan.problems]
    return HostPlan(tuple(services), tuple(problems + conflicts(services)))


def read_instances(settings: Mapping[str, Any], wish: object) -> tuple[list[Instance], list[Problem]]:
    """Return the services of a host, in the order of their names.

    Args:
        settings: Variables of the role without their prefix.
        wish: ``opensora_service_instances``: name -> the variables that differ, without their prefix. Empty means one
            service by the variables as they are.
    """
    if wish in ({}, None):
        return [Instance(PROJECT, PROJECT, settings)], []
    allowed = sorted(set(settings) - _OF_THE_HOST)
    if not isinstance(wish, dict):
        return [], [
            invalid_value(VARIABLE, wish, "a dictionary such as {first: {gpus: '[0]'}, second: {gpus: '[1:]'}}")
        ]
    instances, problems = [], []
    for name in sorted(wish, key=str):
        own = wish[name] if wish[name] is not None else {}
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            problems.append(invalid_value(VARIABLE, name, "names of lower-case letters, digits and '-', up to 32"))
        elif not isinstance(own, dict):
            problems.append(invalid_value(f"{VARIABLE}.{name}", own, f"a dictionary of {', '.join(allowed)}"))
        elif unknown := sorted(str(key) for key in own if key not in allowed):
            problems += [
                invalid_value(f"{VARIABLE}.{name}", key, f"these keys: {', '.join(allowed)}") for key in unknown
            ]
        else:
            below = {key: f"{str(settings[key]).rstrip('/')}/{name}" for key in _OWN_FOLDERS if settings.get(key)}
            place = {"directory": f"{str(settings['directory']).rstrip('/')}/{name}"}
            instances.append(Instance(name, f"{PROJECT}-{name}", {**settings, **below, **own, **place}))
    return instances, problems


def conflicts(plans: Sequence[tuple[Instance, ServicePlan]]) -> list[Problem]:
    """Return what two services of a host would both take.

    Args:
        plans: Each service with its plan.
    """
    problems = []
    for (first, one), (second, other) in combinations(plans, 2):
        shared = sorted({gpu.uuid for gpu in one.gpus} & {gpu.uuid for gpu in other.gpus})
        if shared:
            problems.append(
                Problem(
                    "configuration",
                    "instances.same_gpu",
                    "error",
                    f"{VARIABLE}: {first.name} and {second.name} both select {', '.join(shared)}",
                    "Give them expressions that select disjoint GPUs, such as [:1] and [1:], or instances of MIG.",
                )
            )
        ports = sorted({port.host_port for port in one.ports} & {port.host_port for port in other.ports})
        if ports:
            listed = ", ".join(str(port) for port in ports)
            problems.append(
                Problem(
                    "configuration",
                    "instances.same_port",
                    "error",
                    f"{VARIABLE}: {first.name} and {second.name} both publish port {listed}",
                    "Give each its own host port: HOST_PORT:CONTAINER_PORT.",
                )
            )
        if first.settings["samples_directory"] == second.settings["samples_directory"]:
            problems.append(
                invalid_value(
                    f"{VARIABLE}.{second.name}.samples_directory",
                    second.settings["samples_directory"],
                    f"another folder than that of {first.name}",
                )
            )
    return problems
