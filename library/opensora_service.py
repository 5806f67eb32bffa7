#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Deploy a GPU service as a compose project and prove that it works."""

from __future__ import annotations

DOCUMENTATION = r"""
module: opensora_service
short_description: Deploy a GPU service as a compose project and prove that it works
description:
  - Brings the container of one compose service to the wanted definition, waits until it is healthy and proves inside
    the container that it sees exactly the GPUs that were reserved for it.
  - Reads the state before and after; what is reported as changed comes from these two, not from what compose printed.
  - When the new container does not become healthy or sees other GPUs, the previous compose file is brought back up and
    the module fails with the log, the exit code and the health history of the new one.
  - Every deployment that succeeded is kept as a release beside the compose file, so that it can be deployed again.
  - Containers, networks and projects that are not its own are left alone; one that is in the way is reported, as are
    processes that compute on the GPUs and programs that listen on the ports.
  - One run at a time changes the services of a host; another one waits.
author:
  - The opensora-site authors (!UNKNOWN)
requirements:
  - docker >= 7.1 (Python)
  - docker compose >= 2.20 (for O(state=present))
attributes:
  check_mode:
    support: full
    description: Predicts by the same decision as a real run, also on a host that has no engine yet.
  diff_mode:
    support: full
    description: Shows the compose file and the state of the container, before and after.
  idempotent:
    support: full
    description: Nothing is done when definition, image, GPUs and state are as wanted.
options:
  state:
    description:
      - V(present) deploys. V(absent) removes containers, networks, the compose file, releases and secrets, never any
        data folder. V(previous) deploys an earlier release again.
    type: str
    choices: [present, absent, previous]
    default: present
  release:
    description: Name of the release for O(state=previous). Empty takes the one before the current.
    type: str
    default: ""
  keep_releases:
    description: How many releases to keep, the current one among them, at least 2.
    type: int
    default: 3
  services_directory:
    description: Folder of the host for the services of this project. Those of them that are not O(project_name) and
      not in O(other_projects) are returned; with O(state=absent) all of them are removed. Empty looks for none.
    type: path
  other_projects:
    description: Names of the compose projects that the host shall have besides.
    type: list
    elements: str
    default: []
  project_name:
    description: Name of the compose project.
    type: str
    default: opensora
  service:
    description: Name of the service in the compose project.
    type: str
    default: opensora
  project_directory:
    description: Folder of the host for the compose file.
    type: path
    required: true
  definition:
    description: The compose project as YAML. Required for O(state=present).
    type: str
  image:
    description: Image of the service as O(definition) names it. Required for O(state=present).
    type: str
  gpus:
    description: UUIDs of the GPUs and MIG instances that O(definition) reserves.
    type: list
    elements: str
    default: []
  ports:
    description: Ports that O(definition) publishes, as C(ADDRESS:HOST_PORT:CONTAINER_PORT).
    type: list
    elements: str
    default: []
  directories:
    description: Folders of the host that have to be there before the container starts. Missing ones are made; existing
      ones are refused when the user can't use them, and changed only with O(take_ownership).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      uid:
        description: Numeric owner of a new folder.
        type: int
        required: true
      gid:
        description: Numeric group of a new folder.
        type: int
        required: true
      writable:
        description: Whether O(directories[].uid) has to be able to write there. Else all of it has to be readable.
        type: bool
        default: false
  take_ownership:
    description: Give what O(directories[].uid) can't use of O(directories) to it.
    type: bool
    default: false
  share_gpus:
    description: Deploy also when processes of others compute on O(gpus).
    type: bool
    default: false
  secrets:
    description: Secrets that the definition takes from files in the folder C(secrets) of O(project_directory), name to
      text. A changed text is written into the file that the container has mounted.
    type: dict
    default: {}
  secrets_uid:
    description: Numeric user that reads O(secrets).
    type: int
    default: 0
  secrets_gid:
    description: Its group.
    type: int
    default: 0
  lock_wait:
    description: Seconds to wait for another run that changes services of the host.
    type: int
    default: 600
  health_wait:
    description: Seconds to wait for a healthy container.
    type: int
    default: 900
  proof_command:
    description: Command that is run in the healthy container, beside C(nvidia-smi -L); it has to end with exit code 0.
    type: list
    elements: str
    default: []
  start_after_engine:
    description: Have systemd start the container after the engine, for an engine that leaves containers with CDI
      devices down when it starts (Docker before 28.2).
    type: bool
    default: false
  remove_image:
    description: With O(state=absent), also remove the images built by this project that no container uses.
    type: bool
    default: false
  docker_host:
    description: Address of the engine.
    type: str
    default: unix:///var/run/docker.sock
"""

EXAMPLES = r"""
- name: Deploy the service
  opensora_service:
    project_directory: /opt/opensora-site/service
    definition: "{{ __opensora_service_plan.definition }}"
    image: sha256:725ad2a36ae28ccfdc5c08bc5e6d1da48b895ce2c55a8ffb276af483f3c01b91
    gpus: [GPU-5f3c9a70-1111-2222-3333-444455556666]
    proof_command: [python, /opt/opensora-site/healthcheck.py]

- name: Remove the service
  opensora_service:
    state: absent
    project_directory: /opt/opensora-site/service
"""

RETURN = r"""
action:
  description: What was done, or would be done in check mode.
  returned: success
  type: str
  sample: replace
changed_keys:
  description: What differed from the wanted state.
  returned: success
  type: list
  elements: str
  sample: [definition]
reasons:
  description: The same for people.
  returned: success
  type: list
  elements: str
service:
  description: The container after the run.
  returned: success
  type: dict
  sample:
    container_id: 0d21b52a7ed0
    status: running
    health: healthy
    image: sha256:725ad2a36ae28ccfdc5c08bc5e6d1da48b895ce2c55a8ffb276af483f3c01b91
    gpus: [GPU-5f3c9a70-1111-2222-3333-444455556666]
    device_driver: cdi
release:
  description: Name of the release that is deployed now, with O(state=previous).
  returned: with O(state=previous)
  type: str
  sample: 20261125T173000Z-1f0c2d3e
unwanted:
  description: Compose projects of this project on the host that are not wanted any more.
  returned: success
  type: list
  elements: dict
  sample: [{project: opensora-old, directory: /opt/opensora-site/service/old}]
problems:
  description: What stands in the way, each with its layer, evidence and next action.
  returned: always
  type: list
  elements: dict
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.docker_service_client import DockerServiceClient, ServiceError
from ansible.module_utils.opensora.engine_api import EngineLostError
from ansible.module_utils.opensora.file_modes import fix_umask
from ansible.module_utils.opensora.host_lock import LockedError, Reporter, exclusive
from ansible.module_utils.opensora.problems import Problem, describe
from ansible.module_utils.opensora.service_deployment import (
    Deployment,
    DeploymentError,
    Wanted,
    earlier_release,
    of_release,
    projects_below,
    remove,
)
from ansible.module_utils.opensora.service_releases import ReleaseError

# Gone with a reboot, like whoever held it.
LOCK = Path("/run/opensora-site/service.lock")
LEAST_RELEASES = 2

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent", "previous"], "default": "present"},
    "release": {"type": "str", "default": ""},
    "keep_releases": {"type": "int", "default": 3},
    "services_directory": {"type": "path"},
    "other_projects": {"type": "list", "elements": "str", "default": []},
    "project_name": {"type": "str", "default": "opensora"},
    "service": {"type": "str", "default": "opensora"},
    "project_directory": {"type": "path", "required": True},
    "definition": {"type": "str"},
    "image": {"type": "str"},
    "gpus": {"type": "list", "elements": "str", "default": []},
    "ports": {"type": "list", "elements": "str", "default": []},
    "directories": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "uid": {"type": "int", "required": True},
            "gid": {"type": "int", "required": True},
            "writable": {"type": "bool", "default": False},
        },
    },
    "take_ownership": {"type": "bool", "default": False},
    "share_gpus": {"type": "bool", "default": False},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "secrets_uid": {"type": "int", "default": 0, "no_log": False},
    "secrets_gid": {"type": "int", "default": 0, "no_log": False},
    "lock_wait": {"type": "int", "default": 600},
    "health_wait": {"type": "int", "default": 900},
    "proof_command": {"type": "list", "elements": "str", "default": []},
    "start_after_engine": {"type": "bool", "default": False},
    "remove_image": {"type": "bool", "default": False},
    "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
}


def main() -> None:
    """Deploy or remove the service."""
    fix_umask()
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[("state", "present", ("definition", "image"))],
        supports_check_mode=True,
    )
    parameters = module.params
    if parameters["keep_releases"] < LEAST_RELEASES:
        module.fail_json(
            msg=f"keep_releases is {parameters['keep_releases']}, allowed is {LEAST_RELEASES} or more: "
            "the current one and the one before it"
        )
    client: DockerServiceClient | None = None
    try:
        client = DockerServiceClient(
            parameters["docker_host"],
            parameters["project_name"],
            parameters["service"],
            parameters["project_directory"],
        )
    except ServiceError as error:
        # Check mode predicts what a bare host will get; nothing can run where there is no engine.
        if not module.check_mode:
            problem = Problem("engine", "engine.unreachable", "error", str(error), "Run playbooks/engine.yml.")
            fail(module, [problem])
    try:
        with turn(parameters["lock_wait"], check_mode=module.check_mode):
            result = run(module, client)
    except DeploymentError as error:
        fail(module, error.problems, changed=error.changed)
    except LockedError as error:
        advice = "Wait for it, or look what it is doing; nothing was changed."
        fail(module, [Problem("compose", "service.locked", "error", str(error), advice)])
    except ReleaseError as error:
        fail(module, [Problem("compose", "service.no_release", "error", str(error), "Name one that is there.")])
    except EngineLostError as error:
        advice = "Look at `journalctl -u docker` on the host and run again."
        fail(module, [Problem("engine", "engine.lost", "error", str(error), advice)], changed=not module.check_mode)
    except ServiceError as error:
        fail(module, [Problem("compose", "service.refused", "error", str(error), "Correct it and run again.")])
    module.exit_json(**result)


@contextmanager
def turn(seconds: int, *, check_mode: bool) -> Iterator[None]:
    """Hold the lock of the host's services; a prediction needs none."""
    if check_mode:
        yield
        return
    with exclusive(LOCK, time.monotonic() + seconds, Reporter(None), "deployment"):
        yield


def run(module: AnsibleModule, client: DockerServiceClient | None) -> dict[str, Any]:
    """Deploy, remove or go back, and return the result of the module."""
    parameters = module.params
    directory = parameters["project_directory"]
    root = parameters["services_directory"]
    if parameters["state"] == "absent":
        projects = {parameters["project_name"]: directory, **(projects_below(client, root) if root else {})}
        return {**remove(client, projects, parameters["remove_image"], module.check_mode), "unwanted": []}
    wanted = Wanted(
        definition=parameters["definition"],
        image=parameters["image"],
        gpus=tuple(parameters["gpus"]),
        ports=tuple(parameters["ports"]),
        directories=tuple(parameters["directories"]),
        health_wait=parameters["health_wait"],
        proof_command=tuple(parameters["proof_command"]),
        secrets={name: str(text) for name, text in parameters["secrets"].items()},
        secrets_owner=(parameters["secrets_uid"], parameters["secrets_gid"]),
        keep_releases=parameters["keep_releases"],
        take_ownership=parameters["take_ownership"],
        share_gpus=parameters["share_gpus"],
        start_after_engine=parameters["start_after_engine"],
    )
    extra: dict[str, Any] = {}
    if parameters["state"] == "previous":
        release = earlier_release(client, directory, parameters["release"])
        wanted = of_release(wanted, release)
        extra["release"] = release.name
    result = Deployment(client, directory, wanted).run(check_mode=module.check_mode)
    there = projects_below(client, root) if root else {}
    expected = {parameters["project_name"], *parameters["other_projects"]}
    unwanted = [{"project": name, "directory": there[name]} for name in sorted(set(there) - expected)]
    return {**result, **extra, "unwanted": unwanted}


def fail(module: AnsibleModule, problems: list[Problem], **extra: Any) -> NoReturn:
    """End the module with problems as the message."""
    found = [problem.as_dict() for problem in problems]
    module.fail_json(msg="\n".join(describe(problem) for problem in found), problems=found, **extra)


if __name__ == "__main__":
    main()
