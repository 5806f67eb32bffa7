"""Free bytes and inodes."""

from __future__ import annotations

from ansible.module_utils.opensora.disk import describe_disk, measure_command, parse_measure

OUTPUT = """\
 1B-blocks       Avail  Inodes   IFree Mounted on   File
52000000000  8800000000 3276800       0 /            /var/lib/docker
28000000000000 27000000000000 0 0 /data with blank /data with blank/x
"""


def test_command() -> None:
    assert measure_command(["/a"])[-2:] == ("--", "/a")


def test_figures() -> None:
    paths = ["/var/lib/docker", "/data with blank/x", "/gone"]
    figures = parse_measure(OUTPUT, paths)
    assert figures["/var/lib/docker"] == {
        "mount": "/",
        "total_bytes": 52000000000,
        "free_bytes": 8800000000,
        "free_inodes": 0,
    }
    # A file system without a fixed number of inodes: unknown, not none left.
    assert figures["/data with blank/x"]["free_inodes"] is None
    assert figures["/data with blank/x"]["mount"] == "/data with blank"
    described = describe_disk([("/srv/new", "/gone"), ("/var/lib/docker/x", "/var/lib/docker")], figures)
    assert described[0] == {
        "path": "/srv/new",
        "measured_path": "/gone",
        "mount": None,
        "total_bytes": None,
        "free_bytes": None,
        "free_inodes": None,
    }
    assert described[1]["free_bytes"] == 8800000000


def test_no_answer() -> None:
    assert parse_measure("", ["/"]) == {}
