# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Which host makes which video: what is there already is not made again, the rest is spread over the GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ansible.module_utils.opensora.generation import (
    Execution,
    Request,
    is_parallel,
    places,
    request_identifier,
    resolve_processes,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

Action = Literal["stored", "fetch", "render"]
# Seconds for a video of this many frames on one H100, by the makers' own table.
_SECONDS_256 = 60.0
_SECONDS_768 = 1656.0
_FRAMES = 129


@dataclass(frozen=True)
class Renderer:
    """A host whose service can make videos.

    Attributes:
        name: Name in the inventory.
        image: Identity of the service's image.
        gpus: UUIDs of the service's GPUs.
        execution: How this host makes videos.
        finished: Identifiers of the videos that lie on the host.
        begun: Identifiers of the videos that an earlier run is making there.
    """

    name: str
    image: str
    gpus: tuple[str, ...]
    execution: Execution
    finished: frozenset[str] = frozenset()
    begun: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Assignment:
    """What is to be done for one video.

    Attributes:
        request: The video.
        host: Where it is made, lies, or was made.
        identifier: Its identifier there.
        action: ``stored`` when it is on the control node already, ``fetch`` when it lies on the host, else ``render``.
    """

    request: Request
    host: str
    identifier: str
    action: Action


def share(
    requests: Sequence[Request],
    renderers: Sequence[Renderer],
    stored: Mapping[str, Collection[str]],
    *,
    each_host: bool = False,
    again: bool = False,
) -> list[Assignment]:
    """Return what is to be done for each video, in the order of the requests.

    Args:
        requests: The videos.
        renderers: The hosts, in the order of the inventory; at least one.
        stored: Identifier -> hosts below whose names the control node has the video, in a fixed order.
        each_host: Whether every host makes every video.
        again: Whether to make what is there already.
    """
    if each_host:
        return [
            assignment
            for request in requests
            for renderer in renderers
            for assignment in share(
                [request],
                [renderer],
                {key: [host for host in hosts if host == renderer.name] for key, hosts in stored.items()},
                again=again,
            )
        ]
    found = {} if again else {index: hit for index, r in enumerate(requests) if (hit := _found(r, renderers, stored))}
    missing = [index for index in range(len(requests)) if index not in found]
    load = dict.fromkeys((renderer.name for renderer in renderers), 0.0)
    # The longest first, so that none is left for the end.
    for index in sorted(missing, key=lambda index: -_work(requests[index])):
        request = requests[index]
        # Of two that would end at the same time, the one that has less to do.
        ends = [(load[r.name] + _work(request) / _speed(r, request), load[r.name], p) for p, r in enumerate(renderers)]
        end, _, place = min(ends)
        renderer = renderers[place]
        load[renderer.name] = end
        found[index] = Assignment(request, renderer.name, request_identifier(request, renderer.image), "render")
    return [found[index] for index in range(len(requests))]


def _found(request: Request, renderers: Sequence[Renderer], stored: Mapping[str, Collection[str]]) -> Assignment | None:
    identifiers = {renderer.name: request_identifier(request, renderer.image) for renderer in renderers}
    for identifier in identifiers.values():
        for host in stored.get(identifier, ()):
            return Assignment(request, host, identifier, "stored")
    for renderer in renderers:
        if identifiers[renderer.name] in renderer.finished:
            return Assignment(request, renderer.name, identifiers[renderer.name], "fetch")
    for renderer in renderers:
        if identifiers[renderer.name] in renderer.begun:
            return Assignment(request, renderer.name, identifiers[renderer.name], "render")
    return None


def _work(request: Request) -> float:
    """Return how long one GPU needs, roughly; only the relation between requests counts."""
    seconds = _SECONDS_768 if "768px" in request.config else _SECONDS_256
    return seconds * (request.num_frames or _FRAMES) / _FRAMES


def _speed(renderer: Renderer, request: Request) -> float:
    """Return how many GPUs of a host work at videos like this one at the same time."""
    count = max(1, len(renderer.gpus))
    processes, problems = resolve_processes(request.config, renderer.execution.processes, count)
    if problems:
        return 1.0
    groups = len(places([""] * count, processes, renderer.execution))
    return float(groups * (processes if is_parallel(request.config) else 1))
