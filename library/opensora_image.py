#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Provide an image on a host by nothing, a pull, an archive of another host, or a build."""

from __future__ import annotations

DOCUMENTATION = r"""
module: opensora_image
short_description: Provide an image on a host by nothing, a pull, an archive of another host, or a watched build
description:
  - Computes a build key from everything that decides what a build gives, looks for an image with that key on the host
    and in the site's registry, and does the least that is needed. Same key, no work; times and owners of files don't
    count.
  - Builds with BuildKit (C(docker buildx build)). Every step goes to a log on the host, and to the terminal while it
    runs.
  - With a registry the image is pushed under its build key, so that it is built once for all hosts. Without one an
    archive of M(opensora_image_archive) does the same.
  - Afterwards older images of the same name are removed, but for those that are kept or used.
  - Only one run at a time changes the images of a host. Another one waits, shows the steps of the first, and then finds
    what that one has made. A build whose run is killed ends with it, and is continued from the cache.
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
  registry_username:
    description: Name for that registry. Empty takes the login that root has on the host, if any.
    type: str
    default: ""
  registry_password:
    description: Password or token for that registry. It is never on a command line and on no disk.
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
  build_secrets:
    description:
      - Secrets that steps of the Dockerfile can read by C(RUN --mount=type=secret,id=...), id to value. They are in no
        layer, no history and no log. The ids are part of the build key, the values are not.
    type: dict
    default: {}
  cache_from:
    description:
      - Where cached steps may come from, as C(docker buildx build --cache-from) takes it. One that fails is no harm.
    type: list
    elements: str
    default: []
  cache_to:
    description:
      - Where steps are put for other builds, as C(docker buildx build --cache-to) takes it. An engine with the classic
        image store knows only C(type=inline). No part of the build key, like O(cache_from).
    type: list
    elements: str
    default: []
  proxies:
    description: Proxies C(http_proxy), C(https_proxy) and C(no_proxy) for the build and the registry.
    type: dict
    default: {}
  build:
    description:
      - V(missing) builds when neither the host nor the registry has the image.
      - V(never) pulls or takes the archive, but fails instead of building.
      - V(always) builds even when the image is there, and runs every step again; with an archive it takes that.
    type: str
    choices: [missing, never, always]
    default: missing
  archive:
    description:
      - Archive of the image on the control node, as M(opensora_image_archive) returns it. It is brought to the host and
        loaded instead of a build.
    type: dict
  digest:
    description:
      - Digest that another host has just pushed to the registry. An image of the same build key that has another one is
        replaced by it. Empty takes any.
    type: str
    default: ""
  keep:
    description:
      - How many earlier images of this name to keep beside the provided one, at least 1. One in use always stays.
    type: int
    default: 2
  minimum_free_bytes:
    description: Free bytes that the engine's data root must have before a build.
    type: int
    default: 0
  minimum_free_inodes:
    description: Free inodes that the engine's data root must have before a build.
    type: int
    default: 0
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
author: The opensora-site authors (!UNKNOWN)
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
  description: What was needed, V(none), V(push), V(pull), V(receive) or V(build). In check mode what would be.
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
  description:
    - Names of earlier images that were removed, IDs for those without a name. In check mode those that would be.
  type: list
  elements: str
  returned: always
compressions:
  description: How the host can compress and read an archive, V(zstd) and V(gzip).
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
  description: What is wrong, on failure; in check mode also what would stop a build on this host.
  type: list
  elements: dict
  returned: always
"""

import json
import os
import shutil
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.build_cache import cache_host_problems
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
    buildx_arguments,
    run_build,
    write_context,
)
from ansible.module_utils.opensora.buildx_progress import BuildProgress
from ansible.module_utils.opensora.disk_space import disk_problems
from ansible.module_utils.opensora.engine_api import EngineLostError
from ansible.module_utils.opensora.file_modes import fix_umask
from ansible.module_utils.opensora.host_lock import LockedError, Reporter, Turn, exclusive
from ansible.module_utils.opensora.image_archive import (
    COMPRESSIONS,
    ImageArchive,
    archive_from,
    decompress,
    loading_fault,
    read_parts,
)
from ansible.module_utils.opensora.image_decision import (
    Decision,
    LocalImage,
    decide,
    of_repository,
    recorded_inputs,
    removable_images,
)
from ansible.module_utils.opensora.image_engine import EngineError, ImageEngine
from ansible.module_utils.opensora.image_reference import parse_image_reference
from ansible.module_utils.opensora.image_transfer import CountedStream, TransferError
from ansible.module_utils.opensora.private_folder import (
    login_configuration,
    private_folder,
    secret_problems,
    secret_words,
    write_client_configuration,
    write_secrets,
)
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
        self._secrets = {name: str(value) for name, value in wish["build_secrets"].items()}
        self._archive: ImageArchive | None = archive_from(wish["archive"]) if wish["archive"] else None
        try:
            for path in context:
                check_context_path(path)
            self._name = f"{wish['registry']}/{wish['name']}" if wish["registry"] else wish["name"]
            self._registry_name = self._name if wish["registry"] else ""
            parse_image_reference(self._name)
        except ValueError as error:
            module.fail_json(msg=str(error))
        for problem in secret_problems("build_secrets", self._secrets):
            module.fail_json(msg=problem.message, problems=[problem.as_dict()])
        if wish["keep"] < 1:
            module.fail_json(msg=f"keep is {wish['keep']}, allowed is 1 or more")
        self._inputs = build_inputs(
            dockerfile=wish["dockerfile"],
            context=context,
            build_arguments=arguments,
            base_images={name: str(digest) for name, digest in wish["base_images"].items()},
            revision=wish["revision"],
            target=wish["target"],
            platform=wish["platform"],
            build_secrets=list(self._secrets),
        )
        self._key = build_key(self._inputs)
        hidden = secret_words([*self._secrets.values(), wish["registry_password"]])
        # What a tool prints of a secret is hidden in the result as well.
        module.no_log_values.update(hidden)
        self._reporter = Reporter(wish["_progress_path"], hidden)
        self._deadline = time.monotonic() + wish["timeout"]
        self._log: Path | None = None

    def run(self) -> NoReturn:
        """Provide the image, or say that the engine went away meanwhile."""
        try:
            self._provide()
        except EngineLostError as error:
            advice = "Look at `journalctl -u docker` on the host and run again; finished steps come from the cache."
            self._fail("engine", "engine.lost", str(error), advice)

    def _provide(self) -> NoReturn:
        """Read, decide, act, and read again."""
        wish, started = self._wish, time.monotonic()
        use_proxies(wish["proxies"])
        try:
            engine = ImageEngine(wish["docker_host"])
        except EngineError as error:
            if self._module.check_mode:
                self._exit(Decision("build", f"a host without a usable engine builds ({error})"), [], started)
            self._fail("engine", "engine.unreachable", str(error), "Run playbooks/engine.yml for this host.")
        images = self._images(engine)
        decision = self._decide(images)
        if decision.action == "none":
            self._exit(decision, images, started)
        if self._module.check_mode:
            too_many = removable_images(images, self._name, self._key, used=engine.used_images(), keep=wish["keep"])
            problems = cache_host_problems(wish["cache_to"], engine.image_store)
            self._exit(decision, images, started, removed=_names(too_many), problems=problems)
        try:
            with exclusive(Path(wish["directory"]) / "build.lock", self._deadline, self._reporter) as turn:
                # Another run may have provided the image while this one waited.
                before, images = {image.id for image in images}, self._images(engine)
                is_new = any(
                    image.id not in before and image.labels.get(BUILD_KEY_LABEL) == self._key for image in images
                )
                decision = self._decide(images, force=not (turn.waited and is_new))
                self._act(engine, decision, turn)
                provided = self._provided(engine, decision)
                removed = self._remove_older(engine, provided) if decision.action != "none" else []
        except (BuildTimeoutError, LockedError) as error:
            self._fail("image", "image.timeout", str(error), "Raise opensora_image_build_timeout and run again.")
        except TransferError as error:
            self._fail_transfer(decision, error)
        self._exit(Decision(decision.action, decision.reason, provided), images, started, removed=removed)

    def _decide(self, images: list[LocalImage], *, force: bool = True) -> Decision:
        force = force and self._wish["build"] == "always"
        archive = self._archive is not None
        pinned = self._wish["digest"]
        decision = decide(self._key, images, self._registry_name, None, force=force, archive=archive, pinned=pinned)
        if self._registry_name and decision.action in ("build", "push") and not force:
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

    def _images(self, engine: ImageEngine) -> list[LocalImage]:
        return engine.images(f"{self._name}:{self._key}")

    @property
    def _has_login(self) -> bool:
        return bool(self._wish["registry"] and self._wish["registry_username"])

    def _client_configuration(self) -> str:
        stored = Path("~/.docker/config.json").expanduser()
        return login_configuration(
            stored.read_text(encoding="utf-8") if stored.is_file() else "",
            self._wish["registry"],
            self._wish["registry_username"],
            self._wish["registry_password"],
        )

    def _registry_digest(self) -> str | None:
        client = RegistryClient(WebAccess(), self._client_configuration())
        try:
            return client.digest(parse_image_reference(f"{self._name}:{self._key}"))
        except RegistryError as error:
            if self._module.check_mode:
                self._module.warn(f"opensora_image: {error}")
                return None
            self._fail(
                "network",
                "registry.unreachable",
                str(error),
                "Check opensora_image_registry and its login (opensora_image_registry_username) on this host.",
            )

    def _act(self, engine: ImageEngine, decision: Decision, turn: Turn) -> None:
        with ExitStack() as stack:
            secrets: dict[str, str] = {}
            if decision.action != "none" and (self._has_login or self._secrets):
                folder = stack.enter_context(private_folder())
                secrets = write_secrets(folder, self._secrets)
                if self._has_login:
                    home = Path("~/.docker").expanduser()
                    write_client_configuration(folder, self._client_configuration(), home)
                    # The SDK and the client both look here.
                    os.environ["DOCKER_CONFIG"] = str(folder)
            if decision.action == "build":
                self._build(engine, turn, secrets)
                if self._registry_name:
                    built = next(
                        image for image in self._images(engine) if image.labels.get(BUILD_KEY_LABEL) == self._key
                    )
                    engine.push(built.id, self._name, self._key, self._reporter.say)
            elif decision.action == "push" and decision.image:
                engine.push(decision.image.id, self._name, self._key, self._reporter.say)
            elif decision.action == "pull":
                digest = self._wish["digest"] or self._registry_digest() or ""
                engine.pull(self._name, digest, self._key, self._reporter.say)
            elif decision.action == "receive" and self._archive:
                self._load(engine, self._archive)

    def _load(self, engine: ImageEngine, archive: ImageArchive) -> None:
        """Load the archive, and give the image its name when it is known to be the right one."""
        self._check_disk(engine.data_root, archive.image_bytes, 0)
        before = {image.id for image in self._images(engine)}
        unpacked = decompress(read_parts(archive), archive.compression)
        engine.load(CountedStream(unpacked, archive.unpacked_bytes, "load", self._reporter.say))
        # The ID is the engine's own: another kind of image store names the same image in another way.
        having = [image for image in self._images(engine) if image.labels.get(BUILD_KEY_LABEL) == self._key]
        faults = {
            image.id: loading_fault(archive, image.id, engine.layers(image.id), engine.image_store) for image in having
        }
        loaded = next((image for image in having if not faults[image.id]), None)
        if loaded is None:
            for image in having:
                if image.id not in before:
                    engine.remove(image)
            raise TransferError(
                "the image that was loaded is not the one that was saved: "
                + ("; ".join(faults.values()) or f"none has the build key {self._key[:12]}")
            )
        engine.tag(loaded.id, self._name, self._key)

    def _build(self, engine: ImageEngine, turn: Turn, secrets: dict[str, str]) -> None:
        wish = self._wish
        unable = cache_host_problems(wish["cache_to"], engine.image_store)
        if unable:
            self._fail(unable[0].layer, unable[0].code, unable[0].message, unable[0].next_action)
        self._check_disk(engine.data_root, wish["minimum_free_bytes"], wish["minimum_free_inodes"])
        self._log = Path(wish["log_directory"]) / f"build-{self._key[:8]}.log"
        self._reporter.say(f"building {self._name} {self._key[:12]}, log {self._log}")
        status, progress = self._run_buildx(turn, secrets, wish["cache_from"])
        if status and progress.failed and progress.failed.optional and wish["cache_from"]:
            self._reporter.say("building again without the cache that could not be read")
            status, progress = self._run_buildx(turn, secrets, [])
        for fault in progress.cache_faults:
            self._module.warn(f"opensora_image: {fault}")
        if status == 0:
            return
        step = progress.failed
        lines = [*step.lines, step.reason] if step else progress.messages
        cause = classify_failure(lines, progress.exit_code)
        title = step.title if step else ""
        message = failure_message(title, progress.exit_code, cause, lines, str(self._log))
        short = f"the image build failed{f' in the step {title!r}' if title else ''}: {cause.title}"
        evidence = (cause.evidence,) if cause.evidence else ()
        problem = Problem(cause.layer, f"build.{cause.code}", "error", short, cause.advice, evidence)
        self._module.fail_json(
            msg=message,
            problems=[problem.as_dict()],
            cause=cause.as_dict(),
            failed_step=title,
            build_key=self._key,
            log=str(self._log),
            action="build",
        )

    def _run_buildx(self, turn: Turn, secrets: dict[str, str], cache_from: list[str]) -> tuple[int, BuildProgress]:
        wish, folder = self._wish, Path(self._wish["directory"])
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
            secrets=secrets,
            cache_from=cache_from,
            cache_to=wish["cache_to"],
            use_cache=wish["build"] != "always",
        )
        # The SDK and the client shall mean the same engine, whatever context the user has chosen.
        environment = {**os.environ, **proxies, "DOCKER_HOST": wish["docker_host"], "LC_ALL": "C.UTF-8"}
        environment.pop("DOCKER_CONTEXT", None)
        log = Path(wish["log_directory"]) / f"build-{self._key[:8]}.log"
        return run_build(command, environment, log, self._deadline, self._reporter, turn=turn)

    def _provided(self, engine: ImageEngine, decision: Decision) -> LocalImage:
        """Return the image that the host has now."""
        found = decide(self._key, self._images(engine), self._registry_name, None, pinned=self._wish["digest"])
        if found.image is None or found.action != "none":
            message = f"after the {decision.action} the host still has no image with build key {self._key}"
            self._fail("image", "image.not_provided", message, "Look at the log and at `docker images` on the host.")
        return found.image

    def _remove_older(self, engine: ImageEngine, provided: LocalImage) -> list[str]:
        """Remove what is too much; what can't be removed is no reason to fail."""
        removed = []
        too_many = removable_images(
            self._images(engine),
            self._name,
            self._key,
            used=engine.used_images(),
            keep=self._wish["keep"],
            provided=provided.id,
        )
        for image in too_many:
            fault = engine.remove(image)
            if fault:
                self._module.warn(f"opensora_image: the older image {_name(image)} could not be removed: {fault}")
            else:
                removed.append(_name(image))
        return removed

    def _check_disk(self, root: str, minimum_bytes: int, minimum_inodes: int) -> None:
        found = os.statvfs(root)
        disk = {
            "path": root,
            "mount": root,
            "free_bytes": found.f_bavail * found.f_frsize,
            # A file system that makes inodes as it needs them counts none.
            "free_inodes": found.f_favail if found.f_files else None,
        }
        problems = disk_problems(root, [disk], minimum_bytes, minimum_inodes)
        if problems:
            self._module.fail_json(
                msg="; ".join(problem.message for problem in problems),
                problems=[problem.as_dict() for problem in problems],
            )

    def _exit(
        self,
        decision: Decision,
        before: list[LocalImage],
        started: float,
        removed: list[str] | None = None,
        problems: list[Problem] | None = None,
    ) -> NoReturn:
        image, seconds = decision.image, round(time.monotonic() - started, 1)
        # Images of a former name, such as before the site had a registry, tell more than none.
        newest = next(iter(of_repository(before, self._name) or before), None)
        recorded = recorded_inputs(newest)
        after = self._inputs if decision.action != "none" else recorded
        digest = image.digest_in(self._registry_name) if image and self._registry_name else None
        reference = f"{self._name}@{digest}" if digest else (image.id if image and not self._registry_name else None)
        self._module.exit_json(
            changed=decision.action != "none",
            action=decision.action,
            reason=decision.reason,
            build_key=self._key,
            reference=reference,
            id=image.id if image else None,
            digest=digest,
            labels=image.labels if image else {},
            changed_inputs=changed_inputs(recorded, after),
            removed=removed or [],
            compressions=[name for name in COMPRESSIONS if shutil.which(name)],
            log=str(self._log) if self._log else None,
            seconds=seconds,
            problems=[problem.as_dict() for problem in problems or []],
            diff=self._diff(recorded, after, removed or []),
        )

    @staticmethod
    def _diff(before: dict[str, str], after: dict[str, str], removed: list[str]) -> dict[str, str]:
        names = changed_inputs(before, after)
        return {
            "before": "".join(f"{name}: {before[name]}\n" for name in names if name in before)
            + "".join(f"older image: {name}\n" for name in removed),
            "after": "".join(f"{name}: {after[name]}\n" for name in names if name in after),
            "before_header": "inputs of the image on the host",
            "after_header": "inputs of the image that is wanted",
        }

    def _fail(self, layer: Layer, code: str, message: str, next_action: str) -> NoReturn:
        problem = Problem(layer, code, "error", message, next_action)
        self._module.fail_json(
            msg=f"{message}. {next_action}", problems=[problem.as_dict()], build_key=self._key, action="none"
        )

    def _fail_transfer(self, decision: Decision, error: TransferError) -> NoReturn:
        cause = classify_failure(str(error).splitlines())
        # What is transferred after a build is what was built.
        action = "push" if decision.action == "build" else decision.action
        layer: Layer = "network"
        if cause.layer != "image":
            layer = cause.layer
        elif action == "receive" or cause.code == "hash_mismatch":
            # An archive or a layer that is damaged or does not fit is no matter of the network.
            layer = "image"
        self._fail(layer, f"image.{action}_failed", f"{action} of {self._name}: {error}", cause.advice)


def _name(image: LocalImage) -> str:
    return image.tags[0] if image.tags else image.id


def _names(images: list[LocalImage]) -> list[str]:
    return [_name(image) for image in images]


def _end_orderly(*_: object) -> NoReturn:
    """Leave by an exception, so that everything that was begun is ended and cleaned up."""
    raise KeyboardInterrupt


def main() -> None:
    """Provide the image."""
    fix_umask()
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "registry": {"type": "str", "default": ""},
            "registry_username": {"type": "str", "default": ""},
            "registry_password": {"type": "str", "default": "", "no_log": True},
            "dockerfile": {"type": "str", "required": True},
            "context": {"type": "dict", "default": {}},
            "build_arguments": {"type": "dict", "default": {}},
            "effort_arguments": {"type": "dict", "default": {}},
            "build_secrets": {"type": "dict", "default": {}, "no_log": True},
            "cache_from": {"type": "list", "elements": "str", "default": []},
            "cache_to": {"type": "list", "elements": "str", "default": []},
            "base_images": {"type": "dict", "default": {}},
            "revision": {"type": "str", "default": ""},
            "target": {"type": "str", "default": ""},
            "platform": {"type": "str", "default": "linux/amd64"},
            "proxies": {"type": "dict", "default": {}},
            "build": {"type": "str", "choices": ["missing", "never", "always"], "default": "missing"},
            "archive": {"type": "dict"},
            "digest": {"type": "str", "default": ""},
            "keep": {"type": "int", "default": 2},
            "minimum_free_bytes": {"type": "int", "default": 0},
            "minimum_free_inodes": {"type": "int", "default": 0},
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
    signal.signal(signal.SIGTERM, _end_orderly)
    try:
        ImageTask(module).run()
    except KeyboardInterrupt:
        module.fail_json(
            msg="The task was ended by a signal, and a build with it. Its finished steps are in the cache: run again.",
            problems=[],
        )


if __name__ == "__main__":
    main()
