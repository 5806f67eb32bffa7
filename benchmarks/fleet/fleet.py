#!/usr/bin/env python3
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Measure how a run grows with the number of hosts: a run with nothing to change, and the first one on bare hosts.

    ./run exec python benchmarks/fleet/fleet.py --hosts 1 4 16 --rounds 3
        --without-first   leave the first runs out of the tables (they happen: the hosts have to come from somewhere)
        --down            remove the hosts

The hosts are throw-away containers of this machine, each with an engine of its own, so they share its cores with the
controller; their processor time stands beside the controller's. The first run begins on bare hosts and downloads
nothing from outside the site: Debian's packages lie in each host's apt cache, all else comes from the site's mirror,
the image from its registry, where one host has put it before. Numbers go to .cache/benchmarks/fleet.json. 16 hosts take
about 4 GiB of memory and 20 GB of disk.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.measure import fleet_site, report, site
from benchmarks.measure.calls import covered_seconds
from benchmarks.measure.growth import Growth, fit_growth
from benchmarks.measure.playbook import ROOT, Run, RunError, run_playbook
from benchmarks.measure.requirement import Terms, requirement

ARGUMENTS = ["-i", str(fleet_site.INVENTORY), str(ROOT / "site.yml")]
FORKS = 20
TARGET_RATIO = 4
TARGET_BYTES = 2**30


@dataclass(frozen=True)
class Measured:
    """One run on so many hosts."""

    hosts: int
    run: Run
    hosts_processor_seconds: float
    mirror_processor_seconds: float
    moved_bytes: int

    def numbers(self) -> dict[str, object]:
        """Return what goes into the JSON."""
        kept = {name: value for name, value in asdict(self.run).items() if name not in ("output", "calls", "profile")}
        return {**vars(self), "run": kept}


def measure(hosts: int) -> Measured:
    """Run the site once and read what it took."""
    before = site.readings(fleet_site.SITE)
    run = run_playbook(ARGUMENTS)
    taken = site.between(before, site.readings(fleet_site.SITE))
    mirror = taken.pop("mirror")
    return Measured(
        hosts=hosts,
        run=run,
        hosts_processor_seconds=sum(reading.processor_seconds for reading in taken.values()),
        mirror_processor_seconds=mirror.processor_seconds,
        moved_bytes=sum(reading.received + reading.sent for reading in taken.values()),
    )


def median_of(runs: list[Measured], name: str) -> float:
    """Return the median of a quantity, of the run or beside it."""
    return statistics.median(getattr(one, name) if hasattr(one, name) else getattr(one.run, name) for one in runs)


def growth_table(measured: dict[int, list[Measured]]) -> str:
    """Return what runs on each number of hosts took."""
    heads = ["hosts", "median", "range", "against one", "controller's CPU", "in its main process"]
    heads += ["controller's memory", "hosts' CPU", "tasks a host", "tasks", "moved", "moved a host"]
    rows = []
    first = median_of(measured[min(measured)], "seconds")
    for hosts, runs in measured.items():
        times = [one.run.seconds for one in runs]
        seconds, moved = median_of(runs, "seconds"), median_of(runs, "moved_bytes")
        rows.append(
            [
                str(hosts),
                f"{seconds:.1f} s",
                f"{min(times):.1f} to {max(times):.1f} s" if len(times) > 1 else "one run",
                f"{seconds / first:.2f}",
                f"{median_of(runs, 'processor_seconds'):.1f} s",
                f"{median_of(runs, 'main_process_seconds'):.1f} s",
                report.mebibytes(max(one.run.peak_bytes for one in runs)),
                f"{median_of(runs, 'hosts_processor_seconds'):.1f} s",
                f"{runs[-1].run.tasks_per_host:.0f}",
                str(runs[-1].run.tasks),
                f"{moved / 1e6:.1f} MB",
                f"{moved / hosts / 1e6:.2f} MB",
            ]
        )
    return report.table(heads, rows)


def fit(measured: dict[int, list[Measured]], name: str) -> Growth:
    """Fit the growth of a quantity through the medians."""
    return fit_growth({hosts: median_of(runs, name) for hosts, runs in measured.items()})


def extrapolation(measured: dict[int, list[Measured]], host_seconds: float) -> tuple[str, Terms]:
    """Return the fitted terms, and what they say of more hosts."""
    terms = Terms(
        processor=fit(measured, "processor_seconds"),
        main_process=fit(measured, "main_process_seconds"),
        memory=fit(measured, "peak_bytes"),
        host_seconds=host_seconds,
    )
    wall, work, moved = (fit(measured, name) for name in ("seconds", "hosts_processor_seconds", "moved_bytes"))
    fitted = [
        ["wall time here", f"{wall.fixed:.1f} s", f"{wall.per_host:.2f} s"],
        ["controller's CPU", f"{terms.processor.fixed:.1f} s", f"{terms.processor.per_host:.2f} s"],
        ["of it in its main process", f"{terms.main_process.fixed:.1f} s", f"{terms.main_process.per_host:.2f} s"],
        ["controller's memory", report.mebibytes(terms.memory.fixed), report.mebibytes(terms.memory.per_host)],
        ["hosts' CPU", f"{work.fixed:.1f} s", f"{work.per_host:.2f} s"],
        ["moved", f"{moved.fixed / 1e6:.2f} MB", f"{moved.per_host / 1e6:.2f} MB"],
    ]
    rows = []
    for hosts, forks, cores, controllers in (
        (100, FORKS, 2, 1),
        (100, FORKS, 8, 1),
        (100, 50, 8, 1),
        (1000, FORKS, 8, 1),
        (1000, 100, 32, 1),
        (1000, 50, 8, 10),
    ):
        need = requirement(terms, hosts, forks=forks, cores=cores, controllers=controllers)
        rows.append(
            [
                str(hosts),
                str(controllers),
                str(cores),
                str(forks),
                f"{need.processor_seconds:.0f} s",
                f"{need.main_process_seconds:.0f} s",
                report.mebibytes(need.memory_bytes),
                f"{need.seconds:.0f} s",
            ]
        )
    heads = ["hosts", "controllers", "cores of each", "forks", "CPU in all", "main process of each"]
    heads += ["memory of each, at most", "time, at least"]
    said = (
        "**Extrapolated, not measured**: from these terms, with hosts on machines of their own, and with the "
        f"{host_seconds:.1f} s that a single host needs for its part."
    )
    text = "\n\n".join(
        [
            "Least squares through the medians, with n the number of hosts:",
            report.table(["quantity", "fixed", "for each host"], fitted),
            said,
            report.table(heads, rows),
        ]
    )
    return text, terms


def main() -> None:
    """Measure each number of hosts and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-first", action="store_true")
    parser.add_argument("--down", action="store_true")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/performance.md")
    arguments = parser.parse_args()
    if arguments.down:
        fleet_site.remove_all()
        return
    try:
        report_on(arguments)
    except RunError as error:
        sys.exit(str(error))


def report_on(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    numbers = sorted(set(arguments.hosts))
    fleet_site.require_room(max(numbers))
    fleet_site.provide(1)
    site.say("one host builds the image and puts it into the registry; its packages are kept for the others")
    run_playbook(ARGUMENTS)
    fleet_site.save_packages()
    first: dict[int, list[Measured]] = {}
    steady: dict[int, list[Measured]] = {}
    host_seconds = 0.0
    for hosts in numbers:
        fleet_site.remove_hosts()
        fleet_site.provide(hosts)
        fleet_site.load_packages()
        first[hosts] = [measure(hosts)]
        site.say(f"{hosts} bare hosts: {first[hosts][0].run.seconds:.1f} s")
        # The second run closes what the first one left to be seen anew, and tells how long a host takes for its part.
        recorded = run_playbook(ARGUMENTS, record=True)
        recorded.require_idle(f"the run after the first one on {hosts} hosts")
        if hosts == min(numbers):
            host_seconds = covered_seconds(recorded.calls)
        steady[hosts] = []
        for number in range(arguments.rounds):
            one = measure(hosts)
            one.run.require_idle(f"steady state of {hosts} hosts")
            steady[hosts].append(one)
            site.say(f"{hosts} hosts, round {number + 1} of {arguments.rounds}: {one.run.seconds:.1f} s")
    parts = [f"A run with nothing to change, medians of {arguments.rounds}:", growth_table(steady)]
    most = max(numbers)
    ratio = median_of(steady[most], "seconds") / median_of(steady[min(numbers)], "seconds")
    memory = max(one.run.peak_bytes for runs in (*steady.values(), *first.values()) for one in runs)
    targets = {
        f"{most} hosts at most {TARGET_RATIO} times {min(numbers)} host: {ratio:.2f}": ratio <= TARGET_RATIO,
        f"controller under 1 GiB: {report.mebibytes(memory)}": memory < TARGET_BYTES,
    }
    parts.append("\n".join(f"- {text}, {'met' if is_met else '**missed**'}" for text, is_met in targets.items()))
    if not arguments.without_first:
        parts += ["The first run on bare hosts, one each:", growth_table(first)]
    if len(numbers) > 1:
        parts.append(extrapolation(steady, host_seconds)[0])
    report.publish(
        "fleet",
        "\n\n".join(parts),
        {
            "cores": os.cpu_count(),
            "host_seconds": host_seconds,
            "first": [one.numbers() for runs in first.values() for one in runs],
            "steady": [one.numbers() for runs in steady.values() for one in runs],
            "targets": targets,
        },
        write_docs=arguments.write_docs,
    )


if __name__ == "__main__":
    main()
