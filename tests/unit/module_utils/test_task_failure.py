# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.task_failure import failed_task_problem

PROBLEM = {
    "layer": "disk",
    "code": "disk.bytes",
    "severity": "error",
    "message": "the disk is full",
    "next_action": "Free it.",
    "evidence": ["/var/lib/docker"],
}


@pytest.mark.parametrize(
    ("result", "role", "layer", "code"),
    [
        (
            {"unreachable": True, "msg": "Failed to connect to the host via ssh: Connection refused"},
            "opensora_image",
            "connection",
            "connection.unreachable",
        ),
        (
            {"failed": True, "msg": "write: No space left on device: Could not get lock"},
            "docker_engine",
            "disk",
            "disk.full",
        ),
        (
            {"failed": True, "msg": "E: dpkg was interrupted, you must manually run 'dpkg --configure -a'"},
            "docker_engine",
            "packages",
            "packages.change_failed",
        ),
        (
            {"failed": True, "msg": "apt-get failed", "stderr": "E: Failed to fetch https://m/x.deb  502  Bad Gateway"},
            "docker_engine",
            "network",
            "network.server_failed",
        ),
        (
            {"failed": True, "msg": "Release file for https://m/InRelease is not valid yet (invalid for another 364d)"},
            "docker_engine",
            "network",
            "network.certificate_time",
        ),
        (
            {"failed": True, "msg": "Cannot connect to the Docker daemon at unix:///var/run/docker.sock"},
            "opensora_service",
            "engine",
            "engine.unreachable",
        ),
        ({"failed": True, "msg": "something else"}, "nvidia_container_toolkit", "toolkit", "task.failed"),
        ({"failed": True, "msg": "something else"}, "", "configuration", "task.failed"),
        ({"failed": True, "msg": "without a layer", "problems": [PROBLEM]}, "opensora_image", "disk", "disk.bytes"),
        (
            {
                "failed": True,
                "msg": "One or more items failed",
                "results": [{"msg": "fine"}, {"failed": True, "msg": "Temporary failure in name resolution"}],
            },
            "site_trust",
            "network",
            "network.server_failed",
        ),
    ],
)
def test_the_layer_of_a_failed_task(result, role, layer, code):
    problem = failed_task_problem(result, "Do it", role, "ansible.builtin.apt")
    assert problem is not None
    assert (problem.layer, problem.code, problem.severity) == (layer, code, "error")
    assert problem.next_action


@pytest.mark.parametrize("text", ["[engine] it is down (engine.down)", "two lines\ngpu01: [disk] full (disk.full)"])
def test_a_message_that_names_its_layer_is_left_alone(text):
    assert (
        failed_task_problem(
            {"failed": True, "msg": text, "problems": [PROBLEM]}, "Do it", "docker_engine", "ansible.builtin.apt"
        )
        is None
    )


def test_the_message_says_what_failed_and_keeps_the_lines_below_it():
    problem = failed_task_problem(
        {"failed": True, "msg": "first\nsecond", "stderr": "third"}, "Do it", "docker_engine", "ansible.builtin.apt"
    )
    assert problem is not None
    assert problem.message == "'Do it' failed: first"
    assert problem.evidence == ("second", "third")


@pytest.mark.parametrize("action", ["ansible.builtin.assert", "fail", "opensora_doctor_report"])
def test_what_the_project_says_itself_is_judged_by_its_words_alone(action):
    assert failed_task_problem({"failed": True, "msg": "Confirm it first"}, "Ask", "opensora_service", action) is None
    problem = failed_task_problem({"failed": True, "msg": "x: No space left on device"}, "Ask", "docker_engine", action)
    assert problem is not None
    assert problem.layer == "disk"
    said = {"failed": True, "msg": "docker-ce could not be installed: it is not there."}
    problem = failed_task_problem(said, "Report why", "docker_engine", action)
    assert problem is not None
    assert (problem.layer, problem.code) == ("packages", "packages.not_installed")
