#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Look whether a deployed GPU service is what it should be."""

from __future__ import annotations

DOCUMENTATION = r"""
module: opensora_service_info
short_description: Look whether a deployed GPU service is what it should be
description:
  - Reads the live state of one compose service and proves inside its container that it sees exactly the wanted GPUs.
  - Finds problems instead of failing, so that those of all hosts can be shown together. Changes nothing.
author:
  - The opensora-site authors (!UNKNOWN)
requirements:
  - docker >= 7.1 (Python)
attributes:
  check_mode:
    support: full
    description: Reads only.
  diff_mode:
    support: none
    description: Reads only.
  idempotent:
    support: full
    description: Reads only.
options:
  project_name:
    description: Name of the compose project.
    type: str
    default: opensora
  service:
    description: Name of the service in the compose project.
    type: str
    default: opensora
  project_directory:
    description: Folder of the host with the compose file.
    type: path
    required: true
  gpus:
    description: UUIDs that the container has to have. Not judged when left out.
    type: list
    elements: str
  image:
    description: Image that the container has to run. Not judged when empty.
    type: str
    default: ""
  build_key:
    description: Build key that the image has to carry. When empty, it only has to carry one.
    type: str
    default: ""
  user:
    description: C(UID:GID) that the container has to run as. Not judged when empty.
    type: str
    default: ""
  proof_command:
    description: Command that is run in the container, beside C(nvidia-smi -L); it has to end with exit code 0.
    type: list
    elements: str
    default: []
  docker_host:
    description: Address of the engine.
    type: str
    default: unix:///var/run/docker.sock
"""

EXAMPLES = r"""
- name: Look at the running service
  opensora_service_info:
    project_directory: /opt/opensora-site/service
    gpus: [GPU-5f3c9a70-1111-2222-3333-444455556666]
  register: __opensora_service_verify
"""

RETURN = r"""
service:
  description: The container as it is.
  returned: always
  type: dict
  sample:
    state: present
    status: running
    health: healthy
    image: sha256:725ad2a36ae28ccfdc5c08bc5e6d1da48b895ce2c55a8ffb276af483f3c01b91
    gpus: [GPU-5f3c9a70-1111-2222-3333-444455556666]
    image_digest: sha256:725ad2a36ae28ccfdc5c08bc5e6d1da48b895ce2c55a8ffb276af483f3c01b91
    build_key: 0123456789abcdef
problems:
  description: What is not as it should be, each with its layer, evidence and next action.
  returned: always
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.docker_service_client import DockerServiceClient, ServiceError
from ansible.module_utils.opensora.engine_api import EngineLostError
from ansible.module_utils.opensora.problems import Problem
from ansible.module_utils.opensora.service_deployment import verify

ARGUMENT_SPEC: dict[str, Any] = {
    "project_name": {"type": "str", "default": "opensora"},
    "service": {"type": "str", "default": "opensora"},
    "project_directory": {"type": "path", "required": True},
    "gpus": {"type": "list", "elements": "str"},
    "image": {"type": "str", "default": ""},
    "build_key": {"type": "str", "default": "", "no_log": False},
    "user": {"type": "str", "default": ""},
    "proof_command": {"type": "list", "elements": "str", "default": []},
    "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
}


def main() -> None:
    """Read the service and judge it."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    parameters = module.params
    service: dict[str, Any] = {"state": "absent"}
    try:
        client = DockerServiceClient(
            parameters["docker_host"],
            parameters["project_name"],
            parameters["service"],
            parameters["project_directory"],
        )
        service, problems = verify(
            client,
            gpus=parameters["gpus"],
            image=parameters["image"],
            build_key=parameters["build_key"],
            user=parameters["user"],
            proof_command=parameters["proof_command"],
        )
    except (ServiceError, EngineLostError) as error:
        problems = [Problem("engine", "engine.unreachable", "error", str(error), "Run playbooks/engine.yml.")]
    module.exit_json(changed=False, service=service, problems=[problem.as_dict() for problem in problems])


if __name__ == "__main__":
    main()
