# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What a number of hosts that was not measured would need, from the growth that was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.measure.growth import Growth


@dataclass(frozen=True)
class Terms:
    """The measured terms of a run: how they grow, and how long one host takes for its own part."""

    processor: Growth  # seconds on the controller, in all its processes
    main_process: Growth  # seconds of them in the one process that leads the run: it can't be shared out to cores
    memory: Growth  # bytes
    host_seconds: float  # in which a controller waits for a single host


@dataclass(frozen=True)
class Requirement:
    """A lower bound of what a run needs."""

    hosts: int
    seconds: float
    processor_seconds: float
    main_process_seconds: float
    memory_bytes: float


def requirement(terms: Terms, hosts: int, *, forks: int, cores: int, controllers: int = 1) -> Requirement:
    """Return what a run on so many hosts needs at least, shared out evenly to controllers.

    The controller's work is done by its cores, except that of its main process; the hosts work in groups of `forks`.
    """
    share = math.ceil(hosts / controllers)
    processor, main_process = terms.processor.at(share), terms.main_process.at(share)
    seconds = max(processor / cores, main_process) + terms.host_seconds * math.ceil(share / forks)
    return Requirement(hosts, seconds, processor * controllers, main_process, terms.memory.at(share))
