# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.disk_space import disk_of, disk_problems

ROOT = {"path": "/", "mount": "/", "free_bytes": 8 * 1024**3, "free_inodes": 1000}
DATA = {"path": "/data", "mount": "/data", "free_bytes": 27 * 1024**4, "free_inodes": None}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ROOT),
        ("/var/lib/docker", ROOT),
        ("/data/docker", DATA),
        ("/database", ROOT),
    ],
)
def test_the_deepest_mount_counts(path, expected):
    assert disk_of(path, [ROOT, DATA]) == expected


def test_an_own_measurement_comes_first():
    own = {"path": "/var/lib/docker", "mount": "/var", "free_bytes": 1, "free_inodes": 1}
    assert disk_of("/var/lib/docker", [ROOT, own]) == own


def test_free_space_on_another_file_system_does_not_help():
    problems = disk_problems("/var/lib/docker", [ROOT, DATA], 60 * 1024**3, 200000)
    assert [problem.code for problem in problems] == ["disk.too_few_bytes", "disk.too_few_inodes"]
    assert "/var/lib/docker (on /) has 8.0 GiB free, the image needs 60.0 GiB" in problems[0].message
    assert disk_problems("/data/docker", [ROOT, DATA], 60 * 1024**3, 200000) == []


def test_what_is_not_known_is_no_problem():
    assert disk_problems("/x", [], 1, 1) == []
    unknown = {"path": "/x", "mount": "/", "free_bytes": None, "free_inodes": None}
    assert disk_problems("/x", [unknown], 1, 1) == []
