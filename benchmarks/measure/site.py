# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The throw-away hosts of a benchmark, and what this machine's engine counts of them."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import docker

from benchmarks.measure.playbook import ROOT, run_playbook

if TYPE_CHECKING:
    from pathlib import Path

PLAYBOOKS = ROOT / "molecule" / "resources" / "playbooks"
LABEL = "org.opensora-site.test-site"


@dataclass(frozen=True)
class Reading:
    """What a host has taken since it started, or in between two readings."""

    received: int
    sent: int
    processor_seconds: float

    def __sub__(self, earlier: Reading) -> Reading:
        return Reading(
            self.received - earlier.received,
            self.sent - earlier.sent,
            self.processor_seconds - earlier.processor_seconds,
        )


def say(text: str) -> None:
    """Tell on the error output what goes on."""
    print(f"==> {text}", file=sys.stderr, flush=True)


def create(inventory: Path) -> None:
    """Create the hosts of a test site; those that are there stay."""
    say(f"creating the hosts of {inventory}")
    run_playbook(["-i", str(inventory), str(PLAYBOOKS / "create.yml")])


def destroy(inventory: Path) -> None:
    """Remove the hosts of a test site."""
    say(f"removing the hosts of {inventory}")
    run_playbook(["-i", str(inventory), str(PLAYBOOKS / "destroy.yml")])


def containers(client: docker.DockerClient, site: str) -> dict[str, Any]:
    """Return the containers of a test site, host name -> container."""
    prefix = f"opensora-site-{site}-"
    found = client.containers.list(filters={"label": f"{LABEL}={site}"})
    return {container.name.removeprefix(prefix): container for container in found}


def parse_statistics(statistics: dict[str, Any]) -> Reading:
    """Return what the engine's statistics of a container say."""
    network = statistics["networks"]["eth0"]
    usage = statistics["cpu_stats"]["cpu_usage"]["total_usage"]
    return Reading(network["rx_bytes"], network["tx_bytes"], usage / 1e9)


def readings(site: str) -> dict[str, Reading]:
    """Return the readings of all hosts of a test site, the mirror as well."""
    client = docker.from_env()
    found = containers(client, site)
    with ThreadPoolExecutor(max_workers=8) as pool:
        statistics = pool.map(lambda one: client.api.stats(one.id, stream=False, one_shot=True), found.values())
        return {host: parse_statistics(text) for host, text in zip(found, statistics, strict=True)}


def between(before: dict[str, Reading], after: dict[str, Reading]) -> dict[str, Reading]:
    """Return what each host took in between."""
    return {host: after[host] - before[host] for host in before}
