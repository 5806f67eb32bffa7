# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""A test site of any number of equal hosts, for benchmarks/fleet and benchmarks/image_for_hosts."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import docker

from benchmarks.measure.playbook import ROOT, RunError
from benchmarks.measure.report import RESULTS
from benchmarks.measure.site import LABEL, containers, create, destroy, say

SITE = "fleet"
INVENTORY = ROOT / "benchmarks" / "fleet" / "inventory"
NETWORK = "10.213.80"
FIRST_PORT = 22600
MOST_HOSTS = 90
PACKAGES = RESULTS / "fleet-packages.tar"
PACKAGE_FOLDERS = ("var/cache/apt/archives", "var/lib/apt/lists")


INOTIFY_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_PER_HOST = 10  # systemd, Docker Engine and containerd of a host; all hosts count as one user


def inotify_problem(hosts: int, limit: int) -> str:
    """Say what stands against so many hosts, whose service managers fail beyond the limit; empty for nothing."""
    needed = INOTIFY_PER_HOST * (hosts + 1)
    if limit >= needed:
        return ""
    return (
        f"{hosts} hosts need about {needed} inotify instances, this machine allows {limit}: "
        f"sysctl fs.inotify.max_user_instances={max(512, needed * 2)}"
    )


def require_room(hosts: int) -> None:
    """Refuse more hosts than this machine's limits allow."""
    if problem := inotify_problem(hosts, int(INOTIFY_LIMIT.read_text(encoding="ascii"))):
        raise RunError(problem)


def host_name(number: int) -> str:
    """Return the name of a host, counted from 1."""
    return f"gpu{number:02}"


def inventory_text(hosts: int) -> str:
    """Return the inventory of a number of hosts, each with one GPU."""
    if not 1 <= hosts <= MOST_HOSTS:
        msg = f"between 1 and {MOST_HOSTS} hosts, not {hosts}"
        raise ValueError(msg)
    members = {
        host_name(number): {
            "test_host_address": f"{NETWORK}.{10 + number}",
            "test_host_ssh_port": FIRST_PORT + number,
            "test_host_gpus": [{"uuid": f"GPU-6d1f0b3e-41d8-4f6e-9c27-{FIRST_PORT + number:012}"}],
        }
        for number in range(1, hosts + 1)
    }
    mirror = {"test_host_address": f"{NETWORK}.2", "test_host_ssh_port": FIRST_PORT}
    site = {
        "vars": {"test_site": SITE, "test_site_subnet": f"{NETWORK}.0/24"},
        "children": {"mirror": {"hosts": {"mirror.opensora.test": mirror}}, "opensora_hosts": {"hosts": members}},
    }
    return json.dumps({"test_hosts": site}, indent=1) + "\n"


def provide(hosts: int) -> None:
    """Have this many hosts; those that are there stay as they are."""
    (INVENTORY / "hosts.json").write_text(inventory_text(hosts), encoding="utf-8")
    create(INVENTORY)


def remove_all() -> None:
    """Remove all that carries the site's label, and the kept packages."""
    (INVENTORY / "hosts.json").write_text(inventory_text(1), encoding="utf-8")
    destroy(INVENTORY)
    PACKAGES.unlink(missing_ok=True)


def remove_hosts() -> None:
    """Remove all hosts with their engines' data; the mirror and what is in its registry stay."""
    client = docker.from_env()
    for name, container in containers(client, SITE).items():
        if name != "mirror":
            container.remove(force=True)
    for volume in client.volumes.list(filters={"label": f"{LABEL}={SITE}"}):
        if volume.name.startswith(f"opensora-site-{SITE}-gpu"):
            volume.remove(force=True)


def save_packages() -> None:
    """Keep the packages and package lists that a converged host has downloaded."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    container = containers(docker.from_env(), SITE)[host_name(1)]
    with tarfile.open(PACKAGES, "w") as archive:
        for folder in PACKAGE_FOLDERS:
            stream, _ = container.get_archive(f"/{folder}")
            copy_members(io.BytesIO(b"".join(stream)), archive, folder.rpartition("/")[0])


def copy_members(source: io.BytesIO, archive: tarfile.TarFile, parent: str) -> None:
    """Add the files of another archive below a folder; locks stay behind."""
    with tarfile.open(fileobj=source) as found:
        for member in found:
            if member.isfile() and not member.name.endswith("/lock"):
                member.name = f"{parent}/{member.name}"
                archive.addfile(member, found.extractfile(member))


def load_packages(path: Path = PACKAGES) -> None:
    """Give each host the kept packages, as if it had downloaded them."""
    for name, container in containers(docker.from_env(), SITE).items():
        if name != "mirror":
            with path.open("rb") as archive:
                container.put_archive("/", archive)
            say(f"packages are on {name}")
