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
  - Containers, networks and projects that are not its own are left alone; one that is in the way is reported.
author:
  - the opensora-site authors
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
      - V(present) deploys. V(absent) removes containers, networks and the compose file, never any data folder.
    type: str
    choices: [present, absent]
    default: present
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
    description: Folders of the host that have to be there before the container starts. Missing ones are made; the
      owner and mode of existing ones are never changed.
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
        description: Whether O(directories[].uid) has to be able to write there.
        type: bool
        default: false
  health_wait:
    description: Seconds to wait for a healthy container.
    type: int
    default: 900
  proof_command:
    description: Command that is run in the healthy container, beside C(nvidia-smi -L); it has to end with exit code 0.
    type: list
    elements: str
    default: []
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
problems:
  description: What stands in the way, each with its layer, evidence and next action.
  returned: always
  type: list
  elements: dict
"""

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.docker_service_client import DockerServiceClient, ServiceError
from ansible.module_utils.opensora.problems import Problem, describe
from ansible.module_utils.opensora.service_deployment import Deployment, DeploymentError, Wanted, remove

ARGUMENT_SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
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
    "health_wait": {"type": "int", "default": 900},
    "proof_command": {"type": "list", "elements": "str", "default": []},
    "remove_image": {"type": "bool", "default": False},
    "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
}


def main() -> None:
    """Deploy or remove the service."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[("state", "present", ("definition", "image"))],
        supports_check_mode=True,
    )
    parameters = module.params
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
        if parameters["state"] == "absent":
            result = remove(client, parameters["project_directory"], parameters["remove_image"], module.check_mode)
        else:
            wanted = Wanted(
                parameters["definition"],
                parameters["image"],
                tuple(parameters["gpus"]),
                tuple(parameters["ports"]),
                tuple(parameters["directories"]),
                parameters["health_wait"],
                tuple(parameters["proof_command"]),
            )
            deployment = Deployment(client, parameters["project_directory"], wanted)
            result = deployment.run(check_mode=module.check_mode)
    except DeploymentError as error:
        fail(module, error.problems, changed=error.changed)
    except ServiceError as error:
        fail(module, [Problem("compose", "service.refused", "error", str(error), "Correct it and run again.")])
    module.exit_json(**result)


def fail(module: AnsibleModule, problems: list[Problem], **extra: Any) -> NoReturn:
    """End the module with problems as the message."""
    found = [problem.as_dict() for problem in problems]
    module.fail_json(msg="\n".join(describe(problem) for problem in found), problems=found, **extra)


if __name__ == "__main__":
    main()
