#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Provide an image on a host by nothing, a pull or a build."""

from __future__ import annotations

DOCUMENTATION = r"""
module: opensora_image
short_description: Provide an image on a host by nothing, a pull, or a watched build
description:
  - Computes a build key from everything that decides what a build gives, looks for an image with that key on the host
    and in the site's registry, and does the least that is needed. Same key, no work; times and owners of files don't
    count.
  - Builds with BuildKit (C(docker buildx build)). Every step goes to a log on the host, and to the terminal while it
    runs.
  - With a registry the image is pushed under its build key, so that it is built once for all hosts.
  - Needs the Docker SDK for Python, and the buildx plugin where it builds.
options:
  name:
    description: Name of the image.
    type: str
    required: true
  registry:
    description: Registry of the site, C(host[:port][/path]). Empty keeps the image on the host.
    type: str
    default: ""
  dockerfile:
    description: Text of the Dockerfile.
    type: str
    required: true
  context:
    description: Text of every file of the build context, by relative path. It is written to the host only for a build.
    type: dict
    default: {}
  build_arguments:
    description: Build arguments that can change the result. No secrets, the image's history keeps them.
    type: dict
    default: {}
  effort_arguments:
    description: Build arguments that say how hard a build works, such as MAX_JOBS. They are no part of the build key.
    type: dict
    default: {}
  base_images:
    description: Digest of each base image, by any name; C(base) becomes a label.
    type: dict
    default: {}
  revision:
    description: Commit of the application.
    type: str
    default: ""
  target:
    description: Stage to build; empty builds the last.
    type: str
    default: ""
  platform:
    description: Platform to build for.
    type: str
    default: linux/amd64
  proxies:
    description: Proxies C(http_proxy), C(https_proxy) and C(no_proxy) for the build and the registry.
    type: dict
    default: {}
  build:
    description:
      - V(missing) builds when neither the host nor the registry has the image.
      - V(never) pulls, but fails instead of building. V(always) builds even when the image is there.
    type: str
    choices: [missing, never, always]
    default: missing
  minimum_free_bytes:
    description: Free bytes that the engine's data root must have before a build.
    type: int
    default: 0
  minimum_free_inodes:
    description: Free inodes that the engine's data root must have before a build.
    type: int
    default: 0
  keep:
    description:
      - How many images of this name and of this project to keep, the wanted and the previous one among them. Older ones
        that no container uses are removed.
    type: int
    default: 3
  timeout:
    description: Seconds that a build may take, with the wait for another one on the same host.
    type: int
    default: 14400
  progress:
    description: Show steps in the terminal while they run.
    type: bool
    default: true
  directory:
    description: Folder on the host for the build context and the lock.
    type: path
    default: /opt/opensora-site/image
  log_directory:
    description: Folder on the host for the logs of builds.
    type: path
    default: /var/log/opensora-site
  docker_host:
    description: Address of the engine.
    type: str
    default: unix:///var/run/docker.sock
attributes:
  check_mode:
    support: full
    description: Predicts by the same decision. A host without an engine or without the SDK is predicted to build.
  diff_mode:
    support: full
    description: Shows the inputs of the build that differ from those of the newest image on the host.
  idempotent:
    support: full
    description: Nothing is done while the build key stays the same.
author: The opensora-site authors
"""

EXAMPLES = r"""
- name: Provide the image
  opensora_image:
    name: opensora
    registry: registry.example.org/site
    dockerfile: "{{ lookup('ansible.builtin.template', 'Dockerfile.j2') }}"
    context:
      requirements.txt: "{{ lookup('ansible.builtin.file', 'requirements.txt', rstrip=false) }}"
    build_arguments:
      PYTHON_VERSION: "3.10"
    base_images:
      base: sha256:0bd0bbd2f4d1f4b0b2e9b2d7c8f1d3c1c5f9e8a7b6c5d4e3f2a1b0c9d8e7f6a5
    revision: 7ad6a96a135feb81f755c84fb391818718f6beb2
  vars:
    ansible_python_interpreter: /opt/opensora-site/docker-sdk/bin/python
"""

RETURN = r"""
action:
  description: What was needed, V(none), V(push), V(pull) or V(build). In check mode what would be.
  type: str
  returned: always
reason:
  description: Why, in one sentence.
  type: str
  returned: always
build_key:
  description: The build key, 64 hexadecimal digits.
  type: str
  returned: always
reference:
  description:
    - How to run exactly this image. C(name@sha256:...) with a registry, else the image's ID. Null when it is only
      predicted.
  type: str
  returned: always
id:
  description: ID of the image in the engine, null when it is only predicted.
  type: str
  returned: always
digest:
  description: Digest in the registry, null without one.
  type: str
  returned: always
labels:
  description: Labels of the image.
  type: dict
  returned: always
changed_inputs:
  description: Names of the inputs that differ from the newest image of this project on the host.
  type: list
  elements: str
  returned: always
removed:
  description: IDs of older images that were removed. In check mode those that would be.
  type: list
  elements: str
  returned: always
log:
  description: Path of the build's log on the host, null when nothing was built.
  type: str
  returned: always
seconds:
  description: How long the action took.
  type: float
  returned: always
problems:
  description: What is wrong, on failure.
  type: list
  elements: dict
  returned: failure
"""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.build_failure import classify_failure, failure_message
from ansible.module_utils.opensora.build_key import (
    BASE_DIGEST_LABEL,
    BUILD_KEY_LABEL,
    INPUTS_LABEL,
    REVISION_LABEL,
    build_inputs,
    build_key,
    changed_inputs,
    check_context_path,
)
from ansible.module_utils.opensora.buildx_command import (
    BuildTimeoutError,
    Reporter,
    buildx_arguments,
    exclusive,
    run_build,
    write_context,
)
from ansible.module_utils.opensora.disk_space import disk_problems
from ansible.module_utils.opensora.image_decision import (
    MINIMUM_KEPT,
    Decision,
    LocalImage,
    decide,
    recorded_inputs,
    surplus,
)
from ansible.module_utils.opensora.image_engine import EngineError, ImageEngine
from ansible.module_utils.opensora.image_reference import parse_image_reference
from ansible.module_utils.opensora.image_transfer import TransferError
from ansible.module_utils.opensora.problems import Layer, Problem
from ansible.module_utils.opensora.registry_client import RegistryClient, RegistryError
from ansible.module_utils.opensora.web_access import WebAccess, use_proxies


class ImageTask:
    """One run of the module.

    Args:
        module: The module with its arguments.
    """

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._wish = wish = module.params
        arguments = {name: str(value) for name, value in wish["build_arguments"].items()}
        context = {name: str(text) for name, text in wish["context"].items()}
        try:
            for path in context:
                check_context_path(path)
            self._name = f"{wish['registry']}/{wish['name']}" if wish["registry"] else wish["name"]
            self._registry_name = self._name if wish["registry"] else ""
            parse_image_reference(self._name)
        except ValueError as error:
            module.fail_json(msg=str(error))
        self._inputs = build_inputs(
            dockerfile=wish["dockerfile"],
            context=context,
            build_arguments=arguments,
            base_images={name: str(digest) for name, digest in wish["base_images"].items()},
            revision=wish["revision"],
            target=wish["target"],
            platform=wish["platform"],
        )
        self._key = build_key(self._inputs)
        self._reporter = Reporter(wish["_progress_path"])
        self._deadline = time.monotonic() + wish["timeout"]
        self._log: Path | None = None
        if wish["keep"] < MINIMUM_KEPT:
            module.fail_json(
                msg=f"keep is {wish['keep']}, allowed is {MINIMUM_KEPT} or more: the wanted image and the previous one"
            )

    def run(self) -> NoReturn:
        """Read, decide, act, and read again."""
        wish, started = self._wish, time.monotonic()
        use_proxies(wish["proxies"])
        try:
            engine = ImageEngine(wish["docker_host"])
        except EngineError as error:
            if self._module.check_mode:
                self._exit(Decision("build", f"a host without a usable engine builds ({error})"), [], started)
            self._fail("engine", "engine.unreachable", str(error), "Run playbooks/engine.yml for this host.")
        images = engine.images()
        decision = self._decide(images)
        if self._module.check_mode or decision.action == "none":
            self._exit(decision, images, started, removed=self._remove_surplus(engine, images, decision.image))
        try:
            with exclusive(Path(wish["directory"]) / "build.lock", self._deadline, self._reporter):
                # Another run may have provided the image while this one waited.
                images = engine.images()
                decision = self._decide(images)
                self._act(engine, decision)
        except BuildTimeoutError as error:
            self._fail("image", "image.timeout", str(error), "Raise opensora_image_build_timeout and run again.")
        except TransferError as error:
            cause = classify_failure(str(error).splitlines())
            self._fail(
                "network",
                f"image.{decision.action}_failed",
                f"{decision.action} of {self._name}: {error}",
                cause.advice,
            )
        before = recorded_inputs(images[0] if images else None)
        after = engine.images()
        provided = decide(self._key, after, self._registry_name, None)
        if provided.image is None or provided.action != "none":
            message = f"after the {decision.action} the host still has no image with build key {self._key}"
            self._fail("image", "image.not_provided", message, "Look at the log and at `docker images` on the host.")
        removed = self._remove_surplus(engine, after, provided.image)
        self._exit(Decision(decision.action, decision.reason, provided.image), images, started, before, removed)

    def _decide(self, images: list[LocalImage]) -> Decision:
        decision = decide(self._key, images, self._registry_name, None, force=self._wish["build"] == "always")
        if self._registry_name and decision.action in ("build", "push") and self._wish["build"] != "always":
            # The registry is asked only when the host does not know the answer itself.
            decision = decide(self._key, images, self._registry_name, self._registry_digest())
        if decision.action == "build" and self._wish["build"] == "never" and not self._module.check_mode:
            self._fail(
                "image",
                "image.not_built",
                f"{decision.reason} ({self._key[:12]}), and this host is not the one that builds",
                "Look at the host that builds; when it is done, run again.",
            )
        return decision

    def _registry_digest(self) -> str | None:
        login = Path("~/.docker/config.json").expanduser()
        client = RegistryClient(WebAccess(), login.read_text(encoding="utf-8") if login.is_file() else "")
        try:
            return client.digest(parse_image_reference(f"{self._name}:{self._key}"))
        except RegistryError as error:
            if self._module.check_mode:
                self._module.warn(f"opensora_image: {error}")
                return None
            self._fail("network", "registry.unreachable", str(error), "Check opensora_image_registry on this host.")

    def _act(self, engine: ImageEngine, decision: Decision) -> None:
        if decision.action == "build":
            self._build(engine)
            if self._registry_name:
                built = next(image for image in engine.images() if image.labels.get(BUILD_KEY_LABEL) == self._key)
                engine.push(built.id, self._name, self._key, self._reporter.say)
        elif decision.action == "push" and decision.image:
            engine.push(decision.image.id, self._name, self._key, self._reporter.say)
        elif decision.action == "pull":
            engine.pull(self._name, self._registry_digest() or "", self._key, self._reporter.say)

    def _build(self, engine: ImageEngine) -> None:
        wish = self._wish
        self._check_disk(engine.data_root)
        self._log = Path(wish["log_directory"]) / f"build-{self._key[:8]}.log"
        self._reporter.say(f"building {self._name} {self._key[:12]}, log {self._log}")
        folder = Path(wish["directory"])
        write_context(
            folder / "context", wish["dockerfile"], {name: str(text) for name, text in wish["context"].items()}
        )
        proxies = {key: value for name, value in wish["proxies"].items() if value for key in (name, name.upper())}
        command = buildx_arguments(
            docker=self._module.get_bin_path("docker", required=True),
            context=str(folder / "context"),
            tag=f"{self._name}:{self._key}",
            target=wish["target"],
            platform=wish["platform"],
            labels={
                BUILD_KEY_LABEL: self._key,
                INPUTS_LABEL: json.dumps(self._inputs, sort_keys=True, separators=(",", ":")),
                REVISION_LABEL: wish["revision"],
                BASE_DIGEST_LABEL: str(wish["base_images"].get("base", "")),
            },
            build_arguments={
                name: str(value) for name, value in {**wish["build_arguments"], **wish["effort_arguments"]}.items()
            },
            inherited_arguments=list(proxies),
            metadata_file=str(folder / "metadata.json"),
        )
        # The SDK and the client shall mean the same engine, whatever context the user has chosen.
        environment = {**os.environ, **proxies, "DOCKER_HOST": wish["docker_host"], "LC_ALL": "C.UTF-8"}
        environment.pop("DOCKER_CONTEXT", None)
        status, progress = run_build(command, environment, self._log, self._deadline, self._reporter)
        if status == 0:
            return
        step = progress.failed
        lines = [*step.lines, step.error] if step else progress.messages
        cause = classify_failure(lines, progress.exit_code)
        title = step.title if step else ""
        message = failure_message(title, progress.exit_code, cause, lines, str(self._log))
        short = f"the build failed in '{title}': {cause.title}"
        problem = Problem(cause.layer, f"build.{cause.code}", "error", short, cause.advice)
        self._module.fail_json(
            msg=message,
            problems=[problem.as_dict()],
            cause=cause.as_dict(),
            failed_step=title,
            build_key=self._key,
            log=str(self._log),
        )

    def _remove_surplus(self, engine: ImageEngine, images: list[LocalImage], current: LocalImage | None) -> list[str]:
        wanted = current.id if current else None
        found = surplus(images, self._name, self._wish["keep"], wanted)
        # Most hosts have nothing to remove, and are not asked for their containers.
        used = engine.used_images() if found else set()
        removed = []
        for image in found:
            if image.id in used:
                continue
            against = "" if self._module.check_mode else engine.remove(image)
            if against:
                self._module.warn(f"opensora_image: the older image {image.id} stays: {against}")
            else:
                removed.append(image.id)
        return removed

    def _check_disk(self, root: str) -> None:
        found = os.statvfs(root)
        disk = {
            "path": root,
            "mount": root,
            "free_bytes": found.f_bavail * found.f_frsize,
            # A file system that makes inodes as it needs them counts none.
            "free_inodes": found.f_favail if found.f_files else None,
        }
        problems = disk_problems(root, [disk], self._wish["minimum_free_bytes"], self._wish["minimum_free_inodes"])
        if problems:
            self._module.fail_json(
                msg="; ".join(problem.message for problem in problems),
                problems=[problem.as_dict() for problem in problems],
            )

    def _exit(
        self,
        decision: Decision,
        images: list[LocalImage],
        started: float,
        before: dict[str, str] | None = None,
        removed: Sequence[str] = (),
    ) -> NoReturn:
        image, seconds = decision.image, round(time.monotonic() - started, 1)
        recorded = before if before is not None else recorded_inputs(images[0] if images else None)
        after = self._inputs if decision.action != "none" else recorded
        digest = image.digest_in(self._registry_name) if image and self._registry_name else None
        reference = f"{self._name}@{digest}" if digest else (image.id if image and not self._registry_name else None)
        self._module.exit_json(
            changed=decision.action != "none" or bool(removed),
            action=decision.action,
            reason=decision.reason,
            build_key=self._key,
            reference=reference,
            id=image.id if image else None,
            digest=digest,
            labels=image.labels if image else {},
            changed_inputs=changed_inputs(recorded, after),
            removed=list(removed),
            log=str(self._log) if self._log else None,
            seconds=seconds,
            diff=self._diff(recorded, after),
        )

    @staticmethod
    def _diff(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
        names = changed_inputs(before, after)
        return {
            "before": "".join(f"{name}: {before[name]}\n" for name in names if name in before),
            "after": "".join(f"{name}: {after[name]}\n" for name in names if name in after),
            "before_header": "inputs of the image on the host",
            "after_header": "inputs of the image that is wanted",
        }

    def _fail(self, layer: Layer, code: str, message: str, next_action: str) -> NoReturn:
        problem = Problem(layer, code, "error", message, next_action)
        self._module.fail_json(
            msg=f"{message}. {next_action}", problems=[problem.as_dict()], build_key=self._key, action="none"
        )


def main() -> None:
    """Provide the image."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "registry": {"type": "str", "default": ""},
            "dockerfile": {"type": "str", "required": True},
            "context": {"type": "dict", "default": {}},
            "build_arguments": {"type": "dict", "default": {}},
            "effort_arguments": {"type": "dict", "default": {}},
            "base_images": {"type": "dict", "default": {}},
            "revision": {"type": "str", "default": ""},
            "target": {"type": "str", "default": ""},
            "platform": {"type": "str", "default": "linux/amd64"},
            "proxies": {"type": "dict", "default": {}},
            "build": {"type": "str", "choices": ["missing", "never", "always"], "default": "missing"},
            "minimum_free_bytes": {"type": "int", "default": 0},
            "minimum_free_inodes": {"type": "int", "default": 0},
            "keep": {"type": "int", "default": 3},
            "timeout": {"type": "int", "default": 14400},
            "progress": {"type": "bool", "default": True},
            "directory": {"type": "path", "default": "/opt/opensora-site/image"},
            "log_directory": {"type": "path", "default": "/var/log/opensora-site"},
            "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
            # Where the action plugin of the same name reads what happens; nobody else sets it.
            "_progress_path": {"type": "path"},
        },
        supports_check_mode=True,
    )
    ImageTask(module).run()


if __name__ == "__main__":
    main()
