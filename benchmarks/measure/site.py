# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The throw-away hosts of a benchmark, and what can be read of them from this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.measure.playbook import ROOT, run_playbook

PLAYBOOKS = ROOT / "molecule" / "resources" / "playbooks"


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


def docker(*arguments: str) -> str:
    """Run docker on this machine and return what it prints."""
    command = ["docker", *arguments]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if found.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{found.stderr[-2000:]}")
    return found.stdout


def containers(site: str) -> dict[str, str]:
    """Return the containers of a test site, host name -> container name."""
    prefix = f"opensora-site-{site}-"
    names = docker("ps", "--filter", f"label=org.opensora-site.test-site={site}", "--format", "{{.Names}}").split()
    return {name.removeprefix(prefix): name for name in names}


def parse_traffic(text: str) -> tuple[int, int]:
    """Return received and sent bytes of eth0 from /proc/net/dev."""
    for line in text.splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == "eth0":
            fields = numbers.split()
            return int(fields[0]), int(fields[8])
    msg = "there is no eth0"
    raise ValueError(msg)


def traffic(names: dict[str, str]) -> dict[str, tuple[int, int]]:
    """Return what each host has received and sent over its network, in bytes, by the counters of its interface."""
    found = {}
    for host, name in names.items():
        process = json.loads(docker("inspect", "--format", "{{.State.Pid}}", name))
        found[host] = parse_traffic(Path(f"/proc/{process}/net/dev").read_text(encoding="utf-8"))
    return found


def moved(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> dict[str, int]:
    """Return the bytes that each host has received and sent in between."""
    return {host: sum(after[host]) - sum(before[host]) for host in before}
