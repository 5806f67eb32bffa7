#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Render videos in a running Open-Sora service."""

from __future__ import annotations

DOCUMENTATION = r"""
module: opensora_generate
short_description: Render videos in a running Open-Sora service
description:
  - Runs the application inside the container of the service, word by word, without a shell. Each video gets a folder of
    its own in the samples folder of the host, with a record and a contact sheet.
  - Videos with equal options are made by one run of the application, which loads the model once; where one video needs
    one GPU, as many runs go at the same time as the service has GPUs.
  - Refuses options that the application would silently ignore or misunderstand.
  - A video that can't be made doesn't hold up the others; it is in RV(results) with its problem. So is one that the
    application left out without a word, or that can't be decoded to its end.
  - One call at a time works with a service; another one waits, and then takes what the first one has made.
author:
  - The opensora-site authors (!UNKNOWN)
requirements:
  - docker >= 7.1 (Python)
attributes:
  check_mode:
    support: partial
    description: Says which videos would be made, and makes none.
    details:
      - Whether the application would render them can't be predicted.
  diff_mode:
    support: none
    description: There is nothing to compare.
  idempotent:
    support: full
    description: A video of the same request with the same image is made once, unless O(again) asks for it.
options:
  requests:
    description:
      - The videos. Each has C(prompt), and may have C(config), C(seed), C(num_frames) (4k+1), C(aspect_ratio), C(name),
        C(picture) (sha256 of the picture that it begins with) and C(row) (where it was asked for).
    type: list
    elements: dict
    required: true
  offload_model:
    description: Whether parts of the model leave the GPU while they are not needed.
    type: str
    default: "false"
  processes:
    description: Number of processes for each video. V(0) means what the configuration needs.
    type: str
    default: "0"
  at_once:
    description: Videos at the same time. V(0) means what the GPUs allow, and one with O(offload_model).
    type: str
    default: "0"
  pictures_directory:
    description: Folder of the host with the pictures, each named by its sha256; it is removed when they have been used.
    type: path
  again:
    description: Whether to render videos that are already there.
    type: bool
    default: false
  time_limit:
    description: Seconds for each video, after which the application is ended.
    type: int
    default: 7200
  host:
    description: Name of the host for the records.
    type: str
    default: ""
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
  progress:
    description: Whether to show how far the videos are while they are made. Read by the action plugin.
    type: bool
    default: true
  _progress_path:
    description: File for what is shown meanwhile. Set by the action plugin.
    type: path
"""

EXAMPLES = r"""
- name: Render two videos
  opensora_generate:
    requests:
      - {prompt: "raining, sea", num_frames: 49}
      - {prompt: "a lighthouse in fog", seed: 7, name: lighthouse}
    project_directory: /opt/opensora-site/service
  register: __opensora_service_generation
"""

RETURN = r"""
results:
  description: What became of each video, in the order of the requests.
  returned: success
  type: list
  elements: dict
  contains:
    row: {description: Where it was asked for., type: str, returned: always}
    id: {description: Name of its folder., type: str, returned: always}
    state:
      description: V(rendered), V(present), V(failed), or V(planned) in check mode.
      type: str
      returned: always
    directory: {description: Its folder on the host., type: str, returned: always}
    record: {description: What it was made from., type: dict, returned: always}
    problem: {description: "Why it failed, else empty.", type: dict, returned: always}
problems:
  description: What stood in the way of all videos.
  returned: always
  type: list
  elements: dict
"""

import json
import time
from pathlib import Path
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.docker_service_client import DockerServiceClient, ServiceError
from ansible.module_utils.opensora.engine_api import EngineLostError
from ansible.module_utils.opensora.file_modes import fix_umask
from ansible.module_utils.opensora.generation import read_execution, read_request, request_identifier
from ansible.module_utils.opensora.generation_runs import Item
from ansible.module_utils.opensora.host_lock import LockedError, Reporter, exclusive
from ansible.module_utils.opensora.problems import Problem, describe
from ansible.module_utils.opensora.service_generation import (
    RUN_FOLDER,
    Generation,
    GenerationError,
    begun_file,
    lock_file,
    read_place,
    read_records,
)

ARGUMENT_SPEC: dict[str, Any] = {
    "requests": {"type": "list", "elements": "dict", "required": True},
    "offload_model": {"type": "str", "default": "false"},
    "processes": {"type": "str", "default": "0"},
    "at_once": {"type": "str", "default": "0"},
    "pictures_directory": {"type": "path"},
    "again": {"type": "bool", "default": False},
    "time_limit": {"type": "int", "default": 7200},
    "host": {"type": "str", "default": ""},
    "project_name": {"type": "str", "default": "opensora"},
    "service": {"type": "str", "default": "opensora"},
    "project_directory": {"type": "path", "required": True},
    "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
    "progress": {"type": "bool", "default": True},
    "_progress_path": {"type": "path"},
}


def main() -> None:
    """Render the videos."""
    fix_umask()
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        changed, results = make(module.params, is_check=module.check_mode)
    except GenerationError as error:
        fail(module, [error.problem])
    except LockedError as error:
        advice = "Run again when it has ended."
        fail(module, [Problem("application", "generation.locked", "error", str(error), advice)])
    except (ServiceError, EngineLostError) as error:
        fail(module, [Problem("engine", "engine.refused", "error", str(error), "Run playbooks/verify.yml.")])
    finally:
        remove_pictures(module.params["pictures_directory"])
    module.exit_json(changed=changed, results=results, problems=[])


def make(parameters: dict[str, Any], *, is_check: bool) -> tuple[bool, list[dict[str, Any]]]:
    """Make what is missing, and return whether anything was made, and what became of each video."""
    client = connect(parameters)
    state = client.read_state()
    if state.status != "running" or state.health == "unhealthy":
        message = f"the service is {state.health or state.status or 'not there'}"
        raise GenerationError(Problem("compose", "service.not_running", "error", message, "Run playbooks/service.yml."))
    execution, problems = read_execution(parameters)
    if execution is None:
        raise GenerationError(problems[0])
    place = read_place(client, state)
    items = []
    for raw in parameters["requests"]:
        request, problems = read_request(raw, str(raw.get("row") or "prompt"))
        if request is None:
            raise GenerationError(problems[0])
        items.append(Item(request_identifier(request, place.identity), request))
    if is_check:
        return bool(items), [outcome(item, place.samples, "planned") for item in items]
    RUN_FOLDER.mkdir(mode=0o700, exist_ok=True)
    reporter = Reporter(parameters["_progress_path"])
    deadline = time.monotonic() + parameters["time_limit"] * (len(items) + 1)
    with exclusive(lock_file(parameters["project_name"]), deadline, reporter, "generation") as turn:
        # What another run made while this one waited is not made again, even if it was asked to.
        skip = not parameters["again"] or turn.waited
        present = read_records(client, place, [item.identifier for item in items]) if skip else {}
        generation = Generation(
            lambda: connect(parameters),
            place,
            execution,
            time_limit=parameters["time_limit"],
            pictures=Path(parameters["pictures_directory"]) if parameters["pictures_directory"] else None,
            host=parameters["host"],
            say=reporter.say,
        )
        begun_file(parameters["project_name"]).write_text(
            json.dumps([item.identifier for item in items]), encoding="utf-8"
        )
        generation.make([item for item in items if item.identifier not in present])
    results = []
    for item in items:
        record = present.get(item.identifier) or generation.records.get(item.identifier)
        problem = generation.problems.get(item.identifier)
        kind = "present" if item.identifier in present else "rendered" if record else "failed"
        results.append(outcome(item, place.samples, kind, record, None if record else problem))
    return bool(generation.records), results


def connect(parameters: dict[str, Any]) -> DockerServiceClient:
    """Return a client of the service."""
    return DockerServiceClient(
        parameters["docker_host"], parameters["project_name"], parameters["service"], parameters["project_directory"]
    )


def outcome(
    item: Item, samples: Path, state: str, record: dict[str, Any] | None = None, problem: Problem | None = None
) -> dict[str, Any]:
    """Return what became of one video."""
    return {
        "row": item.request.row,
        "id": item.identifier,
        "state": state,
        "directory": str(samples / item.identifier),
        "record": record or {},
        "problem": problem.as_dict() if problem else {},
    }


def remove_pictures(folder: str | None) -> None:
    """Remove the pictures and their folder; nothing else is in it."""
    if not folder or not Path(folder).is_dir():
        return
    for file in Path(folder).iterdir():
        file.unlink()
    Path(folder).rmdir()


def fail(module: AnsibleModule, problems: list[Problem], **extra: Any) -> NoReturn:
    """End the module with problems as the message."""
    found = [problem.as_dict() for problem in problems]
    module.fail_json(msg="\n".join(describe(problem) for problem in found), problems=found, **extra)


if __name__ == "__main__":
    main()
