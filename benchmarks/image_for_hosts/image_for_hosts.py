#!/usr/bin/env python3
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Measure what the image costs for several hosts: built once and shared in two ways, against built on each host.

    ./run exec python benchmarks/image_for_hosts/image_for_hosts.py --hosts 1 2 4
        --down            remove the hosts (those of benchmarks/fleet)

Runs the image step alone (playbooks/image.yml) on throw-away hosts with a running engine and nothing in it. Before each
run the engines' images and build caches are emptied, and the image is taken out of the site's registry. The image is a
small one of stand-ins, so seconds and bytes are those of a small image; how they grow with the hosts is what counts.
All hosts share this machine's cores. Numbers go to .cache/benchmarks/image_for_hosts.json.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import docker

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.measure import fleet_site, report, site
from benchmarks.measure.playbook import ROOT, Run, RunError, run_playbook

PLAYBOOKS = ROOT / "playbooks"
WAYS: dict[str, dict[str, object]] = {
    "built once, pulled from the registry": {},
    "built once, handed over": {"opensora_image_registry": ""},
    "built on each host": {"opensora_image_registry": "", "opensora_image_share": False},
}
EMPTY_ENGINE = "docker system prune --all --volumes --force && docker builder prune --all --force"
EMPTY_REGISTRY = (
    "rm -rf /var/lib/docker-registry/docker/registry/v2/repositories/opensora"
    " && docker-registry garbage-collect /etc/docker/registry/config.yml && systemctl restart docker-registry"
)


@dataclass(frozen=True)
class Cost:
    """What one run of the image step took."""

    way: str
    hosts: int
    seconds: float
    received_bytes: int
    sent_bytes: int
    hosts_processor_seconds: float
    builders: list[str]


def builders(output: str) -> list[str]:
    """Return the hosts that built an image, by the progress that a run shows."""
    return sorted(set(re.findall(r"^(\S+) \| \d+/\d+ exporting to image", output, re.MULTILINE)))


def empty(hosts: list[str]) -> None:
    """Empty the engines of the hosts, and take the image out of the registry."""
    containers = site.containers(docker.from_env(), fleet_site.SITE)
    for name, command in (*((host, EMPTY_ENGINE) for host in hosts), ("mirror", EMPTY_REGISTRY)):
        code, output = containers[name].exec_run(["sh", "-c", command])
        if code != 0:
            raise RunError(f"{name} could not be emptied: {output.decode(errors='replace')[-1000:]}")


def measure(way: str, number: int) -> Cost:
    """Provide the image on a number of empty hosts."""
    hosts = [fleet_site.host_name(index) for index in range(1, number + 1)]
    empty(hosts)
    before = site.readings(fleet_site.SITE)
    run = provide(hosts, WAYS[way])
    taken = site.between(before, site.readings(fleet_site.SITE))
    built = builders(run.output)
    expected = number if way == "built on each host" else 1
    if len(built) != expected:
        raise RunError(f"{way}: built on {built}, expected {expected} of {hosts}")
    own = [taken[host] for host in hosts]
    return Cost(
        way=way,
        hosts=number,
        seconds=run.seconds,
        received_bytes=sum(reading.received for reading in own),
        sent_bytes=sum(reading.sent for reading in own),
        hosts_processor_seconds=sum(reading.processor_seconds for reading in own),
        builders=built,
    )


def provide(hosts: list[str], variables: dict[str, object]) -> Run:
    """Run the image step on some of the hosts."""
    return run_playbook(
        [
            *("-i", str(fleet_site.INVENTORY), "--limit", ",".join(hosts)),
            *("-e", json.dumps(variables), str(PLAYBOOKS / "image.yml")),
        ]
    )


def cost_table(costs: list[Cost]) -> str:
    """Return the runs, grouped by number of hosts."""
    heads = ["hosts", "way", "time", "received by the hosts", "sent by the hosts", "hosts' CPU"]
    rows = [
        [
            str(cost.hosts),
            cost.way,
            f"{cost.seconds:.0f} s",
            f"{cost.received_bytes / 1e6:.0f} MB",
            f"{cost.sent_bytes / 1e6:.0f} MB",
            f"{cost.hosts_processor_seconds:.0f} s",
        ]
        for cost in sorted(costs, key=lambda cost: (cost.hosts, list(WAYS).index(cost.way)))
    ]
    return report.table(heads, rows)


def main() -> None:
    """Measure each way for each number of hosts and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--down", action="store_true")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    arguments = parser.parse_args()
    if arguments.down:
        fleet_site.remove_all()
        return
    numbers = sorted(set(arguments.hosts))
    try:
        fleet_site.require_room(max(numbers))
        fleet_site.remove_hosts()
        fleet_site.provide(max(numbers))
        site.say("engines on all hosts")
        steps = [str(PLAYBOOKS / f"{name}.yml") for name in ("preflight", "driver", "engine")]
        run_playbook(["-i", str(fleet_site.INVENTORY), *steps])
        costs = []
        for number in numbers:
            for way in WAYS:
                costs.append(measure(way, number))
                site.say(f"{number} hosts, {way}: {costs[-1].seconds:.0f} s")
    except RunError as error:
        sys.exit(str(error))
    text = f"The image step on hosts with an empty engine, one run each.\n\n{cost_table(costs)}"
    report.publish(
        "image_for_hosts", text, {"costs": [asdict(cost) for cost in costs]}, write_docs=arguments.write_docs
    )


if __name__ == "__main__":
    main()
