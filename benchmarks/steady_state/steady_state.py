#!/usr/bin/env python3
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Time a run with nothing to change: ours against the stack that people assemble for the same end state, in turns.

    ./run exec python benchmarks/steady_state/steady_state.py --rounds 5
        --docker-role PATH   the Docker role of the other side: a checkout of geerlingguy.docker (from Ansible Galaxy,
                             or https://github.com/geerlingguy/ansible-role-docker). Without it stands a role of our
                             own with the same steps, peers/roles/docker
        --inventory PATH     other hosts than the throw-away one of this folder: both sides are deployed there
        --profile            also say where the time of each side goes, task by task (runs of their own, not timed)
        --down               remove the throw-away host

Both sides are deployed on the same hosts first. Then each round runs ours as it is shipped, theirs as people run it
(peers/ansible.cfg: Ansible's defaults), and theirs with pipelining, each beginning without open connections. A run of
either side that changes something is an error. It prints the medians,
and writes all numbers to .cache/benchmarks/steady_state.json.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.measure import report, site
from benchmarks.measure.playbook import ROOT, Run, RunError, run_playbook
from benchmarks.measure.profile import profile_table

HERE = Path(__file__).resolve().parent
SITE = "steadystate"
TARGET_TASKS = 25
# What a run with nothing to change looks at, layer by layer; what a side does not look at is left out of its column.
LAYERS = {
    "PCI bus, firmware, kernel": ("cards on the bus, Secure Boot, nouveau", ""),
    "driver": ("packages, module on disk, module loaded, versions against the wish", "`nvidia-smi` answers"),
    "package manager": ("locks, half-installed packages, sources that contradict each other", ""),
    "site": ("certificates, mirrors and proxies; each server that is needed answers", "the certificate's file"),
    "engine": ("version, service, daemon.json, compose and buildx, data root", "packages, daemon.json, service"),
    "container toolkit": (
        "packages, versions, CDI against the cards that are there",
        "package, the engine knows the runtime",
    ),
    "image": ("all it is built from against what the host has; room on the disk", "the name exists"),
    "service": ("compose project, image, health, folders", "compose project, folders"),
    "GPUs in the container": ("the reserved ones, no others, seen from inside", ""),
}


class Side:
    """One way to run a playbook, with its runs."""

    def __init__(self, name: str, arguments: list[str], environment: dict[str, str]) -> None:
        self.name = name
        self.arguments = arguments
        self.environment = environment
        self.runs: list[Run] = []

    def run(self, *, record: bool = False) -> Run:
        """Run it; the caller decides what it is worth."""
        return run_playbook(self.arguments, self.environment, record=record, memory=False)

    @property
    def median(self) -> float:
        """Return the median time in seconds."""
        return statistics.median(run.seconds for run in self.runs)


def sides(inventory: Path, docker_role: str) -> tuple[Side, Side, Side]:
    """Return ours, theirs as people run it, and theirs with pipelining."""
    where = ["-i", str(inventory)]
    theirs = [*where, str(HERE / "peers" / "site.yml"), "-e", f"docker_role={docker_role}"]
    plain = {"ANSIBLE_CONFIG": str(HERE / "peers" / "ansible.cfg")}
    return (
        Side("ours", [*where, str(ROOT / "site.yml")], {}),
        Side("theirs, as people run it", theirs, plain),
        Side("theirs, with pipelining", theirs, {**plain, "ANSIBLE_PIPELINING": "true"}),
    )


def seconds_table(
    ours: Side, others: tuple[Side, ...], recorded: dict[str, Run], taken: dict[str, dict[str, site.Reading]]
) -> str:
    """Return the comparison."""
    rows = []
    for side in (ours, *others):
        times = [run.seconds for run in side.runs]
        moved = sum(reading.received + reading.sent for host, reading in taken[side.name].items() if host != "mirror")
        rows.append(
            [
                side.name,
                f"{side.median:.1f} s",
                f"{min(times):.1f} to {max(times):.1f} s",
                f"{statistics.median(run.processor_seconds for run in side.runs):.1f} s",
                f"{side.runs[-1].tasks_per_host:.0f}",
                str(len(recorded[side.name].calls)),
                f"{moved / 1e6:.2f} MB" if moved else "",
                "1" if side is ours else f"{ours.median / side.median:.2f}",
            ]
        )
    heads = ["run", "median", "range", "controller's CPU", "tasks a host", "SSH calls", "moved", "ours ÷ this"]
    return report.table(heads, rows)


def verdicts(ours: Side, plain: Side, pipelined: Side) -> list[tuple[str, bool]]:
    """Return each target and whether it is met."""
    tasks = max(run.tasks_per_host for run in ours.runs)
    return [
        (f"at most 0.5 of as people run it: {ours.median / plain.median:.2f}", ours.median <= 0.5 * plain.median),
        (
            f"at most 0.7 of the other side's with pipelining for both: {ours.median / pipelined.median:.2f}",
            ours.median <= 0.7 * pipelined.median,
        ),
        (f"at most {TARGET_TASKS} tasks a host: {tasks:.0f}", tasks <= TARGET_TASKS),
    ]


def main() -> None:
    """Deploy both sides, time them in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--inventory", type=Path)
    parser.add_argument("--docker-role", default="docker")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--down", action="store_true")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    arguments = parser.parse_args()
    own = HERE / "inventory"
    if arguments.down:
        site.destroy(own)
        return
    if not arguments.inventory:
        site.create(own)
    role = arguments.docker_role
    if role != "docker":
        role = str(Path(role).resolve(strict=True))
    try:
        measure(arguments, *sides(arguments.inventory or own, role))
    except RunError as error:
        sys.exit(str(error))


def measure(arguments: argparse.Namespace, *compared: Side) -> None:
    """Time the sides in turns and report."""
    ours, plain, pipelined = compared
    for side in (ours, plain):
        site.say(f"deploying {side.name}")
        side.run()
    recorded, taken = {}, {}
    for side in compared:
        site.say(f"once without timing, to count the calls: {side.name}")
        before = {} if arguments.inventory else site.readings(SITE)
        recorded[side.name] = side.run(record=True)
        taken[side.name] = {} if arguments.inventory else site.between(before, site.readings(SITE))
        recorded[side.name].require_idle(side.name)
    for number in range(arguments.rounds):
        # Another one begins each round, so that none always follows the same one.
        turn = number % len(compared)
        for side in (*compared[turn:], *compared[:turn]):
            run = side.run()
            run.require_idle(side.name)
            side.runs.append(run)
            site.say(f"round {number + 1} of {arguments.rounds}: {side.name} {run.seconds:.1f} s")
    results = verdicts(ours, plain, pipelined)
    role = (
        "a role of our own with the usual steps"
        if arguments.docker_role == "docker"
        else Path(arguments.docker_role).name
    )
    parts = [
        f"Docker role of the other side: {role}. Rounds: {arguments.rounds}, in turns. All runs ended with changed=0.",
        seconds_table(ours, (plain, pipelined), recorded, taken),
        "\n".join(f"- {text}, {'met' if is_met else '**missed**'}" for text, is_met in results),
        report.table(["looks at", "ours", "theirs"], [[layer, *looks] for layer, looks in LAYERS.items()]),
    ]
    if arguments.profile:
        parts += [
            "\n".join([f"Where the time of {side.name} goes:", "", *profile_table(recorded[side.name].profile)])
            for side in compared
        ]
    numbers = {
        "docker_role": arguments.docker_role,
        "sides": {
            side.name: {
                "seconds": [run.seconds for run in side.runs],
                "processor_seconds": [run.processor_seconds for run in side.runs],
                "hosts": {host: asdict(counts) for host, counts in side.runs[-1].hosts.items()},
                "calls": len(recorded[side.name].calls),
                "taken": {host: asdict(reading) for host, reading in taken[side.name].items()},
                "profile": [asdict(task) for task in recorded[side.name].profile],
            }
            for side in compared
        },
        "targets": dict(results),
    }
    report.publish("steady_state", "\n\n".join(parts), numbers, write_docs=arguments.write_docs)


if __name__ == "__main__":
    main()
