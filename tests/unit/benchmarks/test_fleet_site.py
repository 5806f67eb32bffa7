from __future__ import annotations

import io
import json
import tarfile

import pytest

from benchmarks.measure.fleet_site import copy_members, inotify_problem, inventory_text


def test_hosts_differ_in_name_address_port_and_gpu() -> None:
    groups = json.loads(inventory_text(12))["test_hosts"]["children"]
    hosts = groups["opensora_hosts"]["hosts"]
    assert next(iter(hosts)) == "gpu01"
    assert hosts["gpu12"] == {
        "test_host_address": "10.213.80.22",
        "test_host_ssh_port": 22612,
        "test_host_gpus": [{"uuid": "GPU-6d1f0b3e-41d8-4f6e-9c27-000000022612"}],
    }
    everything = [*hosts.values(), *groups["mirror"]["hosts"].values()]
    assert len({host["test_host_address"] for host in everything}) == 13
    assert len({host["test_host_ssh_port"] for host in everything}) == 13


def test_a_host_stays_the_same_when_others_come() -> None:
    few, many = (json.loads(inventory_text(hosts))["test_hosts"]["children"] for hosts in (1, 16))
    assert few["opensora_hosts"]["hosts"]["gpu01"] == many["opensora_hosts"]["hosts"]["gpu01"]
    assert few["mirror"] == many["mirror"]


@pytest.mark.parametrize("hosts", [0, 91])
def test_more_hosts_than_the_network_has(hosts: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 90"):
        inventory_text(hosts)


def archive_of(names: list[str]) -> io.BytesIO:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        folder = tarfile.TarInfo("archives")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))
    data.seek(0)
    return data


def test_packages_are_kept_below_their_folder_without_locks() -> None:
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w") as archive:
        copy_members(
            archive_of(["archives/a.deb", "archives/lock", "archives/partial/b.deb"]), archive, "var/cache/apt"
        )
    kept.seek(0)
    with tarfile.open(fileobj=kept) as archive:
        assert archive.getnames() == ["var/cache/apt/archives/a.deb", "var/cache/apt/archives/partial/b.deb"]


@pytest.mark.parametrize(
    ("hosts", "limit", "is_fine"), [(1, 128, True), (4, 50, True), (4, 49, False), (16, 128, False)]
)
def test_limit_of_inotify_instances(hosts: int, limit: int, is_fine: bool) -> None:
    problem = inotify_problem(hosts, limit)
    assert (problem == "") is is_fine
    assert is_fine or "sysctl fs.inotify.max_user_instances=512" in problem
