#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Save an image of this project as a compressed archive and bring it to the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: opensora_image_archive
short_description: Save an image as a compressed archive and bring it to the control node
description:
  - Saves the image with a build key on the host that has it and fetches the archive to the control node, in parts that
    are checked one by one. O(opensora_image#module:archive) of the module M(opensora_image) brings it to another host.
  - For a site without a registry. The image is saved without a name, so that nothing has one before it was verified.
  - Needs the Docker SDK for Python, and C(zstd) or C(gzip).
options:
  build_key:
    description: Build key of the image.
    type: str
    required: true
  compression:
    description: How to compress. V(zstd) uses all cores.
    type: str
    choices: [zstd, gzip]
    default: gzip
  directory:
    description: Folder on the host in which the archive is made, and removed when it is fetched.
    type: path
    required: true
  control_directory:
    description: Folder of the control node in which one for the archive is made. Whoever runs this task removes it.
    type: path
    required: true
  timeout:
    description: Seconds that saving may take.
    type: int
    default: 3600
  progress:
    description: Show how far it is.
    type: bool
    default: true
  docker_host:
    description: Address of the engine.
    type: str
    default: unix:///var/run/docker.sock
attributes:
  check_mode:
    support: none
    description: What it would save may not be there yet.
  diff_mode:
    support: none
    description: Changes nothing that could be compared.
  idempotent:
    support: full
    description: Never changes a host.
author: The opensora-site authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Fetch the image from the host that built it
  opensora_image_archive:
    build_key: 5d1f0c1a7c3f0f5e8b0c6f0f4f0f2d2b1b3c0d9e8f7a6b5c4d3e2f1a0b9c8d7e
    compression: zstd
    directory: /opt/opensora-site/image
    control_directory: /var/tmp
  delegate_to: gpu01
  register: fetched
  vars:
    ansible_python_interpreter: /opt/opensora-site/docker-sdk/bin/python
"""

RETURN = r"""
archive:
  description:
    - The archive. C(folder) on the control node, C(parts) with name, length and sha256, C(compression),
      C(unpacked_bytes), C(image_id), C(image_bytes), C(build_key), C(layers), and C(store), the kind of the engine's
      image store.
  type: dict
  returned: success
problems:
  description: What is wrong, on failure.
  type: list
  elements: dict
  returned: failure
"""

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.build_key import BUILD_KEY_LABEL
from ansible.module_utils.opensora.engine_api import EngineLostError
from ansible.module_utils.opensora.file_modes import fix_umask
from ansible.module_utils.opensora.host_lock import Reporter
from ansible.module_utils.opensora.image_archive import ImageArchive, compress, room_problem, write_parts
from ansible.module_utils.opensora.image_decision import LocalImage
from ansible.module_utils.opensora.image_engine import EngineError, ImageEngine
from ansible.module_utils.opensora.image_transfer import CountedStream, TransferError
from ansible.module_utils.opensora.problems import Problem


def save(module: AnsibleModule, engine: ImageEngine, image: LocalImage) -> ImageArchive:
    """Write the archive of an image into the task's folder."""
    wish, folder = module.params, Path(module.params["folder"])
    stream = CountedStream(engine.save(image.id), image.size, "save", Reporter(wish["_progress_path"]).say)
    parts = write_parts(compress(stream, wish["compression"]), folder, folder.stat().st_uid)
    return ImageArchive(
        folder=str(folder),
        parts=parts,
        compression=wish["compression"],
        unpacked_bytes=stream.bytes,
        image_id=image.id,
        image_bytes=image.size,
        build_key=wish["build_key"],
        layers=tuple(engine.layers(image.id)),
        store=engine.image_store,
    )


def main() -> None:
    """Find the image, see that there is room, and save it."""
    fix_umask()
    module = AnsibleModule(
        argument_spec={
            "build_key": {"type": "str", "required": True, "no_log": False},
            "compression": {"type": "str", "choices": ["zstd", "gzip"], "default": "gzip"},
            "directory": {"type": "path", "required": True},
            "control_directory": {"type": "path", "required": True},
            "timeout": {"type": "int", "default": 3600},
            "progress": {"type": "bool", "default": True},
            "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
            # Set by the action plugin of the same name: the folder that it made, and where it reads what happens.
            "folder": {"type": "path", "required": True},
            "_progress_path": {"type": "path"},
        },
    )
    wish = module.params
    host = os.uname().nodename
    try:
        engine = ImageEngine(wish["docker_host"])
        having = [image for image in engine.images() if image.labels.get(BUILD_KEY_LABEL) == wish["build_key"]]
        if not having:
            problem = Problem(
                layer="image",
                code="image.not_there",
                severity="error",
                message=f"{host} was to give its image to others and has none of build key {wish['build_key'][:12]}",
                next_action="Look at what failed on that host; when it has the image, run again.",
            )
            module.fail_json(msg=f"{problem.message}. {problem.next_action}", problems=[problem.as_dict()])
        found = os.statvfs(wish["folder"])
        # What it comes to is known only afterwards; it is never more than the image itself.
        room = room_problem(
            host, wish["directory"], found.f_bavail * found.f_frsize, having[0].size, "opensora_image_directory"
        )
        if room:
            module.fail_json(msg=f"{room.message}. {room.next_action}", problems=[room.as_dict()])
        archive = save(module, engine, having[0])
    except (EngineError, EngineLostError, TransferError, OSError) as error:
        module.fail_json(msg=f"the image could not be saved on {host}: {error}", problems=[])
    module.exit_json(changed=False, archive=archive.as_dict())


if __name__ == "__main__":
    main()
