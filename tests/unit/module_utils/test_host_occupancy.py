# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.host_occupancy import (
    ComputeProcess,
    busy_gpus,
    container_in,
    listener_in,
    parse_compute_processes,
)

CONTAINER = "4f5c" * 16


@pytest.mark.parametrize(
    ("text", "processes"),
    [
        ("", []),
        ("No running processes found\n", []),
        ("GPU-a, 77, 512, /usr/bin/python3\n", [ComputeProcess("GPU-a", 77, "/usr/bin/python3", 512)]),
        # The driver does not always tell the memory, and a name may hold commas.
        ("GPU-a, 77, [N/A], a, b\n", [ComputeProcess("GPU-a", 77, "a, b", None)]),
        ("GPU-a, 1, 2, x\nGPU-b, 3, 4, y\n", [ComputeProcess("GPU-a", 1, "x", 2), ComputeProcess("GPU-b", 3, "y", 4)]),
        ("GPU-a, [Not Found], 2, x\n", []),
    ],
)
def test_compute_processes(text, processes):
    assert parse_compute_processes(text) == processes


def test_foreign_processes_on_the_own_gpus_only():
    processes = [ComputeProcess(gpu, pid, "python", 512) for gpu, pid in (("GPU-a", 1), ("GPU-a", 2), ("GPU-b", 3))]
    found = busy_gpus(processes, ["GPU-a"], {1}, {2: "4f5c4f5c4f5c"}.__getitem__)
    assert [problem.message for problem in found] == [
        "GPU-a is in use by python (process 2 in container 4f5c4f5c4f5c) with 512 MiB"
    ]


SOCKETS = """LISTEN 0 4096 127.0.0.1:8080 0.0.0.0:* users:(("nginx",pid=5,fd=6),("nginx",pid=7,fd=6))
LISTEN 0 4096 [::]:22 [::]:* users:(("sshd",pid=9,fd=3))
LISTEN 0 4096 0.0.0.0:80 0.0.0.0:*
"""


@pytest.mark.parametrize(
    ("port", "who"),
    [
        (8080, "nginx (process 5), nginx (process 7) on 127.0.0.1:8080"),
        (22, "sshd (process 9) on [::]:22"),
        (80, "another process on 0.0.0.0:80"),
        (2, ""),
    ],
)
def test_listener(port, who):
    assert listener_in(SOCKETS, port) == who


@pytest.mark.parametrize(
    ("text", "container"),
    [
        (f"0::/system.slice/docker-{CONTAINER}.scope\n", CONTAINER[:12]),
        (f"12:memory:/docker/{CONTAINER}\n", CONTAINER[:12]),
        ("0::/user.slice/user-1000.slice\n", ""),
    ],
)
def test_container_of_a_process(text, container):
    assert container_in(text) == container
