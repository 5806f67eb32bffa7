#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Tell how a GPU host and its services are doing right now."""

from __future__ import annotations

DOCUMENTATION = r"""
module: opensora_status_info
short_description: Tell how a GPU host and its services are doing right now
description:
  - Reads in one round trip how much of each GPU is in use, the services of this project, their last videos and the
    room on the disks.
  - Changes nothing, needs no Docker SDK, and answers on every host, also on one without driver, engine or service.
  - Something that cannot be known is null with a reason; it is never 0 and never a guess.
author:
  - The opensora-site authors (!UNKNOWN)
attributes:
  check_mode:
    support: full
    description: Reads only.
  diff_mode:
    support: none
    description: Reads only.
  idempotent:
    support: full
    description: Reads only; what it returns changes with the host.
options:
  samples:
    description: How often the GPUs are asked, from 1 to 60.
    type: int
    default: 5
  interval:
    description: Seconds between two of these, from 0 to 60.
    type: float
    default: 1
  checkpoints_directory:
    description: Folder of the weights; measured where no service tells its own.
    type: path
  samples_directory:
    description: Folder of the videos; measured where no service tells its own.
    type: path
  docker_host:
    description: Address of the engine.
    type: str
    default: unix:///var/run/docker.sock
  probe_root:
    description:
      - Folder that holds the host's files. Where it is not V(/), commands are taken only from the folders
        C(usr/sbin), C(usr/bin), C(sbin) and C(bin) below it.
    type: path
    default: /
"""

EXAMPLES = r"""
- name: Read how the host is doing
  opensora_status_info:
    samples: 5
    interval: 1
  register: __opensora_status_answer
"""

RETURN = r"""
status:
  description: How the host is doing.
  returned: always
  type: dict
  contains:
    uptime_seconds:
      description: Seconds since the host started, or null.
      type: int
    bus_gpu_count:
      description: NVIDIA GPUs on the PCI bus, seen without any driver.
      type: int
    driver:
      description: Its C(version) as nvidia-smi says, and the C(error) where nvidia-smi shows no GPU.
      type: dict
    gpus:
      description:
        - The GPUs that answered. The use is the average of the samples, everything else as it was last.
        - C(unknown) has the reason for each value that is null.
      type: list
      elements: dict
    engine:
      description: C(kind), C(version), C(running), and the C(error) of an engine that does not answer.
      type: dict
    services:
      description: The services of this project, each with health, image, uptime, GPUs and its last video.
      type: list
      elements: dict
    services_unknown:
      description: Why the services could not be read, or null.
      type: str
    disks:
      description: What is kept where, with C(total_bytes) and C(free_bytes) of that file system.
      type: list
      elements: dict
  sample:
    uptime_seconds: 86400
    bus_gpu_count: 1
    driver: {version: 580.159.04, error: null}
    gpus:
      - index: 0
        uuid: GPU-5f3c9a70-1111-2222-3333-444455556666
        name: NVIDIA H100 80GB HBM3
        utilization_percent: 96.4
        memory_used_mib: 63120
        memory_total_mib: 81559
        temperature_celsius: 64
        power_draw_watts: 612.4
        power_limit_watts: 700
        process_count: 1
        unknown: {}
    engine: {kind: docker, version: 29.7.2, running: true, error: null}
    services: []
    services_unknown: null
    disks:
      - {holds: samples, path: /srv/opensora/samples, mount: /, total_bytes: 1000000000000, free_bytes: 400000000000}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.command_runner import command_runner
from ansible.module_utils.opensora.host_probe import HostProbe
from ansible.module_utils.opensora.status_reading import read_status

ARGUMENT_SPEC: dict[str, Any] = {
    "samples": {"type": "int", "default": 5},
    "interval": {"type": "float", "default": 1},
    "checkpoints_directory": {"type": "path"},
    "samples_directory": {"type": "path"},
    "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
    "probe_root": {"type": "path", "default": "/"},
}

# Seconds. nvidia-smi initialises every card first where no persistence daemon runs, which takes seconds a card.
_LIMITS = {"nvidia-smi": 45.0}
_LIMIT = 15.0


def main() -> None:
    """Read the host."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    options = module.params
    for name, lowest in (("samples", 1), ("interval", 0)):
        if not lowest <= options[name] <= 60:  # noqa: PLR2004  as documented
            module.fail_json(msg=f"{name} is {options[name]}, allowed is a number from {lowest} to 60")
    root = options["probe_root"]
    run = command_runner(root, {"DOCKER_HOST": options["docker_host"]}, _LIMITS, _LIMIT)
    status = read_status(
        HostProbe(root, run),
        samples=options["samples"],
        interval=options["interval"],
        checkpoints_directory=options["checkpoints_directory"],
        samples_directory=options["samples_directory"],
    )
    module.exit_json(changed=False, status=status)


if __name__ == "__main__":
    main()
