#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Look which videos a running Open-Sora service has made already."""

from __future__ import annotations

DOCUMENTATION = r"""
module: opensora_generation_info
short_description: Look which videos a running Open-Sora service has made already
description:
  - Reads what the service of a host makes videos with, and which of the wanted videos lie whole in its samples folder.
  - Finds problems instead of failing, so that the videos can be made on other hosts. Changes nothing.
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
  requests:
    description: The wanted videos, as O(requests) of M(opensora_generate).
    type: list
    elements: dict
    required: true
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
  docker_host:
    description: Address of the engine.
    type: str
    default: unix:///var/run/docker.sock
"""

EXAMPLES = r"""
- name: Look which videos are there
  opensora_generation_info:
    requests:
      - {prompt: "raining, sea", seed: 42}
    project_directory: /opt/opensora-site/service
  register: __opensora_service_generation_info
"""

RETURN = r"""
renderer:
  description: What the videos are made with; the image's identity is the same on every host that has the same image.
  returned: always
  type: dict
  sample: {image: "sha256:725ad2a3", identity: f5cb3c43c64e, gpus: [GPU-5f3c9a70-1111-2222-3333-444455556666]}
finished:
  description: Identifiers of the wanted videos that lie on the host.
  returned: always
  type: list
  elements: str
begun:
  description: Identifiers of the videos that a run is making there, maybe one that lost its control node.
  returned: always
  type: list
  elements: str
problems:
  description: Why the service can't make videos.
  returned: always
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.docker_service_client import DockerServiceClient, ServiceError
from ansible.module_utils.opensora.engine_api import EngineLostError
from ansible.module_utils.opensora.generation import read_request, request_identifier
from ansible.module_utils.opensora.problems import Problem
from ansible.module_utils.opensora.service_generation import GenerationError, read_begun, read_place, read_records

ARGUMENT_SPEC: dict[str, Any] = {
    "requests": {"type": "list", "elements": "dict", "required": True},
    "project_name": {"type": "str", "default": "opensora"},
    "service": {"type": "str", "default": "opensora"},
    "project_directory": {"type": "path", "required": True},
    "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
}


def main() -> None:
    """Read one service."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    renderer, finished, problems = read(module.params)
    module.exit_json(
        changed=False,
        renderer=renderer,
        finished=finished,
        begun=read_begun(module.params["project_name"]) if renderer else [],
        problems=[problem.as_dict() for problem in problems],
    )


def read(parameters: dict[str, Any]) -> tuple[dict[str, Any], list[str], list[Problem]]:
    """Return what the videos are made with, those that are there, and why the service can't make any."""
    requests = [request for raw in parameters["requests"] if (request := read_request(raw)[0])]
    try:
        client = DockerServiceClient(
            parameters["docker_host"],
            parameters["project_name"],
            parameters["service"],
            parameters["project_directory"],
        )
        state = client.read_state()
        if state.status != "running" or state.health == "unhealthy":
            words = state.health if state.status == "running" else state.status
            message = f"the service is {words or 'not there'}"
            return {}, [], [Problem("compose", "service.not_running", "error", message, "Run playbooks/service.yml.")]
        place = read_place(client, state)
        found = read_records(client, place, [request_identifier(request, place.identity) for request in requests])
    except GenerationError as error:
        return {}, [], [error.problem]
    except (ServiceError, EngineLostError) as error:
        return {}, [], [Problem("engine", "engine.refused", "error", str(error), "Run playbooks/verify.yml.")]
    return {"image": place.image, "identity": place.identity, "gpus": list(place.gpus)}, sorted(found), []


if __name__ == "__main__":
    main()
