#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Render a video in a running Open-Sora service."""

from __future__ import annotations

DOCUMENTATION = r"""
module: opensora_generate
short_description: Render a video in a running Open-Sora service
description:
  - Runs the application inside the container of the service, word by word, without a shell, and returns the videos that
    appeared in the samples folder of the host.
  - Refuses options that the application would silently ignore or misunderstand.
  - Fails when the application ends well but no video appeared, and when a video can't be decoded to its end.
author:
  - the opensora-site authors
requirements:
  - docker >= 7.1 (Python)
attributes:
  check_mode:
    support: partial
    description: Checks the options and the service, and renders nothing.
  diff_mode:
    support: none
    description: There is nothing to compare.
  idempotent:
    support: full
    description: A video of the same request with the same image is rendered once, unless O(again) asks for it.
options:
  prompt:
    description: What to show.
    type: str
    required: true
  config:
    description: Configuration of the application, such as V(256px), V(768px), V(t2i2v_256px).
    type: str
    default: 256px
  seed:
    description: Seed of the noise.
    type: str
    default: "42"
  num_frames:
    description: Number of frames, 4k+1 and at most 129. When empty, what the configuration says.
    type: str
    default: ""
  aspect_ratio:
    description: Aspect ratio, one of V(16:9), V(9:16), V(1:1), V(2.39:1). When empty, what the configuration says.
    type: str
    default: ""
  offload_model:
    description: Whether parts of the model leave the GPU while they are not needed.
    type: str
    default: "false"
  processes:
    description: Number of processes. V(0) means what the configuration needs.
    type: str
    default: "0"
  again:
    description: Whether to render a video that is already there.
    type: bool
    default: false
  time_limit:
    description: Seconds after which the application is ended.
    type: int
    default: 7200
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
- name: Render a video
  opensora_generate:
    prompt: raining, sea
    config: 256px
    num_frames: 49
    project_directory: /opt/opensora-site/service
  register: __opensora_service_generation
"""

RETURN = r"""
videos:
  description: Paths of the videos on the host.
  returned: success
  type: list
  elements: str
record:
  description: What the videos were made from.
  returned: success
  type: dict
  sample:
    id: 256px-42-0f3c5a1be27d
    prompt: raining, sea
    config: 256px
    seed: 42
    image: sha256:725ad2a36ae28ccfdc5c08bc5e6d1da48b895ce2c55a8ffb276af483f3c01b91
    gpus: [GPU-5f3c9a70-1111-2222-3333-444455556666]
    seconds: 61.2
    command: [torchrun, --nproc_per_node, "1"]
    videos:
      - {file: video_256px/prompt_0000.mp4, frames: 129, seconds: 5.375, width: 448, height: 256}
problems:
  description: What stood in the way.
  returned: always
  type: list
  elements: dict
"""

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.docker_service_client import DockerServiceClient, ServiceError
from ansible.module_utils.opensora.generation import read_request, resolve_processes
from ansible.module_utils.opensora.problems import Problem, describe
from ansible.module_utils.opensora.service_generation import GenerationError, generate

ARGUMENT_SPEC: dict[str, Any] = {
    "prompt": {"type": "str", "required": True},
    "config": {"type": "str", "default": "256px"},
    "seed": {"type": "str", "default": "42"},
    "num_frames": {"type": "str", "default": ""},
    "aspect_ratio": {"type": "str", "default": ""},
    "offload_model": {"type": "str", "default": "false"},
    "processes": {"type": "str", "default": "0"},
    "again": {"type": "bool", "default": False},
    "time_limit": {"type": "int", "default": 7200},
    "project_name": {"type": "str", "default": "opensora"},
    "service": {"type": "str", "default": "opensora"},
    "project_directory": {"type": "path", "required": True},
    "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
}


def main() -> None:
    """Render one video."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    parameters = module.params
    request, problems = read_request(parameters)
    if request is None:
        fail(module, problems)
    try:
        client = DockerServiceClient(
            parameters["docker_host"],
            parameters["project_name"],
            parameters["service"],
            parameters["project_directory"],
        )
        state = client.read_state()
        if state.status != "running" or state.health == "unhealthy":
            message = f"the service is {state.health or state.status or 'not there'}"
            fail(module, [Problem("compose", "service.not_running", "error", message, "Run playbooks/service.yml.")])
        processes, problems = resolve_processes(request, len(state.gpus))
        if problems:
            fail(module, problems)
        if module.check_mode:
            module.exit_json(changed=True, videos=[], record={}, problems=[])
        changed, videos, record = generate(
            client, state, request, processes, parameters["time_limit"], again=parameters["again"]
        )
    except GenerationError as error:
        fail(module, [error.problem], changed=True)
    except ServiceError as error:
        fail(module, [Problem("engine", "engine.refused", "error", str(error), "Run playbooks/verify.yml.")])
    module.exit_json(changed=changed, videos=videos, record=record, problems=[])


def fail(module: AnsibleModule, problems: list[Problem], **extra: Any) -> NoReturn:
    """End the module with problems as the message."""
    found = [problem.as_dict() for problem in problems]
    module.fail_json(msg="\n".join(describe(problem) for problem in found), problems=found, **extra)


if __name__ == "__main__":
    main()
