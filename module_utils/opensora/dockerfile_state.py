# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What a build stage has at one place of its Dockerfile: variables, PyTorch, a CUDA compiler, source trees.

Everything has three answers. What can't be known from the file, such as what a script installs, is ``unknown``, and no
finding is made of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from ansible.module_utils.opensora.python_installation import (
    Installation,
    Requirement,
    canonical,
    file_requirements,
    installation,
)
from ansible.module_utils.opensora.shell_script import is_shell

if TYPE_CHECKING:
    from ansible.module_utils.opensora.dockerfile import Dockerfile, Instruction, Stage, Variables
    from ansible.module_utils.opensora.dockerfile_base_image import BaseImage
    from ansible.module_utils.opensora.shell_script import Command

Presence = Literal["absent", "present", "unknown"]

# Working directory of an image that nobody knows here: what is relative to it can be compared, and no more.
UNKNOWN_FOLDER = "/<unknown>"
TORCH_PACKAGES = frozenset({"torch", "torchvision", "torchaudio", "pytorch"})
# Packages that don't bring PyTorch along as a dependency of theirs.
_WITHOUT_TORCH = frozenset(
    {
        *("build", "cmake", "cython", "einops", "mkl", "ninja", "numpy", "nvidia-ml-py", "packaging", "pip", "psutil"),
        *("pybind11", "pyyaml", "requests", "scikit-build-core", "setuptools", "setuptools-scm", "uv", "virtualenv"),
        *("wheel",),
    }
)
_SYSTEM_INSTALLERS = frozenset({"apt", "apt-get", "aptitude", "dnf", "microdnf", "yum", "zypper", "apk", "tdnf"})
_COMPILER_PACKAGE = re.compile(
    r"(nvidia-)?cuda(-(toolkit|nvcc|compiler|minimal-build|command-line-tools)([-_.\d]*|-\S+)|-\d[-.\d]*)?"
    r"|nvhpc\S*|nvidia-cuda-nvcc\S*|cudatoolkit-dev"
)
# Programs that may install anything.
_INSTALLERS = frozenset(
    {"make", "poetry", "pdm", "pipenv", "pixi", "uv", "pipx", "spack", "ansible-playbook", "cmake", "ninja", "nix"}
)
_HARMLESS_SOURCES = re.compile(r"activate|conda\.sh|os-release|profile|\.bashrc|\.cargo/env|\.env")
_FETCHERS = frozenset({"git", "curl", "wget", "tar", "unzip", "cp", "mv", "rsync", "aria2c", "hf", "huggingface-cli"})


@dataclass(frozen=True)
class Build:
    """What a Dockerfile is built with.

    Attributes:
        context: Text of every file of the build context by its path there.
        given: Every build argument that the build is given, with its value.
        asked: Names of those that the user gave.
        has_own_files: Whether the user added files to the context.
        target: Stage to build; empty for the last.
    """

    context: Mapping[str, str]
    given: Mapping[str, str]
    asked: tuple[str, ...] = ()
    has_own_files: bool = False
    target: str = ""


@dataclass(frozen=True)
class Step:
    """One instruction at its place.

    Attributes:
        build: What the file is built with.
        dockerfile: The file.
        stage: The stage that holds it.
        instruction: The instruction.
        state: What the stage has before it; in a RUN, before the command that is looked at.
        is_final: Whether the finished image is made of this stage.
    """

    build: Build
    dockerfile: Dockerfile
    stage: Stage
    instruction: Instruction
    state: StageState
    is_final: bool


@dataclass
class StageState:
    """What a stage has at one place.

    Attributes:
        base: The image that the stage comes from, through its parents.
        variables: Arguments and environment.
        torch: Whether PyTorch is installed.
        compiler: Whether nvcc is.
        workdir: Working directory of the next instruction; None when unknown.
        folder: Working directory of the next command.
        checkouts: Folders of cloned repositories and the names of what they hold.
        trees: What was copied from the build context: path in the context, path in the stage.
        mounted: The same for what the present RUN mounts.
        settings: What ``pip config set`` was told, by the names that pip has for the environment.
        has_fetched: Whether files may have come from elsewhere.
        whole_context_line: Line of a COPY of the whole build context in this stage, 0 without one.
        apt_update_line: Line of a RUN that only updates apt's lists, 0 without one.
    """

    base: BaseImage
    variables: Variables
    torch: Presence
    compiler: Presence
    workdir: str | None = "/"
    folder: str | None = "/"
    checkouts: dict[str, str] = field(default_factory=dict)
    trees: list[tuple[str, str]] = field(default_factory=list)
    mounted: list[tuple[str, str]] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    has_fetched: bool = False
    whole_context_line: int = 0
    apt_update_line: int = 0

    def copy(self) -> StageState:
        """Return the same state, free to go another way."""
        return replace(
            self,
            variables=self.variables.copy(),
            checkouts=dict(self.checkouts),
            trees=list(self.trees),
            settings=dict(self.settings),
        )

    def apply(self, instruction: Instruction, defaults: Mapping[str, str | None]) -> None:
        """Take an instruction other than RUN.

        Args:
            instruction: The instruction.
            defaults: Arguments before the first FROM.
        """
        if instruction.name == "ARG":
            self.variables.declare(instruction, defaults)
        elif instruction.name == "ENV":
            self.variables.set(instruction)
        elif instruction.name == "WORKDIR" and instruction.arguments:
            self.workdir = self.resolved(self.variables.expanded(instruction.arguments[0]), self.workdir)
        self.folder = self.workdir

    def copy_from(self, instruction: Instruction, other: StageState | None) -> None:
        """Take a COPY out of a stage or an image.

        Args:
            instruction: The COPY.
            other: The stage at its end; None for an image.
        """
        sources = instruction.arguments[:-1]
        self.has_fetched = True
        if all(PurePosixPath(source).name in ("uv", "uvx") for source in sources):
            return
        if self.torch == "absent" and (other is None or other.torch != "absent"):
            self.torch = "unknown"
        if self.compiler == "absent" and (other is None or other.compiler != "absent"):
            self.compiler = "unknown"

    def copy_context(self, instruction: Instruction, sources: Iterable[str], context: Mapping[str, str]) -> None:
        """Take a COPY out of the build context.

        Args:
            instruction: The COPY.
            sources: What it copies.
            context: Text of every file of the build context.
        """
        sources = list(sources)
        last = self.variables.expanded(instruction.arguments[-1])
        target = self.resolved(last, self.workdir)
        if last is None or target is None:
            self.has_fetched = True
            return
        for source in sources:
            path = context_path(source)
            is_file = path in context
            into = is_file and (last.endswith(("/", "/.")) or last in (".", "..") or len(sources) > 1)
            self.trees.append((path, f"{target.rstrip('/')}/{PurePosixPath(path).name}" if into else target))

    def start_run(self, instruction: Instruction) -> None:
        """Begin a RUN: its shell starts in the working directory, with what is mounted."""
        self.folder = self.workdir
        self.mounted = []
        for mount in instruction.mounts():
            target = mount.get("target") or mount.get("dst") or mount.get("destination") or ""
            if mount["type"] != "bind":
                continue
            if mount.get("from"):
                self.compiler = "unknown" if self.compiler == "absent" else self.compiler
                self.has_fetched = True
            elif path := self.resolved(target, self.workdir):
                self.mounted.append((context_path(mount.get("source") or mount.get("src") or ""), path))
        if instruction.script is None and not instruction.commands:
            self._give_up()

    def run(self, command: Command, context: Mapping[str, str]) -> None:
        """Take one command of a RUN.

        Args:
            command: The command.
            context: Text of every file of the build context.
        """
        name = command.name
        if name in ("cd", "pushd"):
            target = command.arguments[-1] if command.arguments else "/root"
            self.folder = self.resolved(self.variables.expanded(target), self.folder)
        elif name == "git" and "clone" in command.arguments:
            self._clone(command)
        elif re.fullmatch(r"pip[\d.]*", name) and command.arguments[:1] == ["config"]:
            self._configure(command.arguments)
        self.has_fetched = (
            self.has_fetched
            or name in _FETCHERS
            or any(
                redirect.operator.startswith(">") and not redirect.target.startswith("/dev/")
                for redirect in command.redirects
            )
        )
        found = installation(command)
        if found is not None:
            self._install(found, context)
        elif name in _SYSTEM_INSTALLERS:
            self._install_system_packages(command.arguments)
        elif _may_install_anything(command):
            self._give_up()

    def resolved(self, path: str | None, folder: str | None) -> str | None:
        """Return a path as an absolute one; None when it can't be known.

        Args:
            path: A path, or None.
            folder: Folder that a relative one starts from.
        """
        if path is None or "$" in path or "`" in path or path.startswith("~"):
            return None
        if not path.startswith("/"):
            if folder is None:
                return None
            path = f"{folder}/{path}"
        parts: list[str] = []
        for part in PurePosixPath(path).parts[1:]:
            if part == "..":
                parts = parts[:-1]
            else:
                parts.append(part)
        return "/" + "/".join(parts)

    def source_name(self, requirement: Requirement) -> str:
        """Return what a local source tree is: by the repository that was cloned there, else by its folder.

        Args:
            requirement: A requirement with a path.
        """
        path = self.resolved(requirement.location, self.folder)
        if path is None:
            return requirement.name
        return self.checkouts.get(path) or canonical(PurePosixPath(path).name)

    def _configure(self, arguments: list[str]) -> None:
        """Take ``pip config set global.index-url URL``."""
        words = [word for word in arguments[1:] if not word.startswith("-")]
        if len(words) == 3 and words[0] == "set":  # noqa: PLR2004 (set, key, value)
            key = words[1].rpartition(".")[2].upper().replace("-", "_")
            self.settings[f"PIP_{key}"] = self.variables.expanded(words[2]) or words[2]

    def _clone(self, command: Command) -> None:
        words = [word for word in command.arguments if not word.startswith("-")]
        address = next((word for word in words if "://" in word or word.startswith("git@")), "")
        if not address:
            return
        name = PurePosixPath(address.rstrip("/")).name.removesuffix(".git")
        behind = words[words.index(address) + 1 :]
        folder = self.resolved(self.variables.expanded(behind[0]) if behind else name, self.folder)
        if folder is not None:
            self.checkouts[folder] = canonical(name)

    def _install(self, found: Installation, context: Mapping[str, str]) -> None:
        requirements, is_complete = all_requirements(found, self, context)
        names = {requirement.name for requirement in requirements}
        if found.tool == "conda":
            self._install_system_packages([requirement.name for requirement in requirements] or ["$"])
        if any(_COMPILER_PACKAGE.fullmatch(name) for name in names):
            self.compiler = "present"
        if names & TORCH_PACKAGES:
            self.torch = "present"
        elif self.torch == "absent" and not (found.values("--no-deps") and is_complete):
            brings_nothing = is_complete and names <= _WITHOUT_TORCH and not any(r.location for r in requirements)
            self.torch = "absent" if brings_nothing else "unknown"

    def _install_system_packages(self, words: Iterable[str]) -> None:
        for word in words:
            package = word.partition("=")[0]
            if _COMPILER_PACKAGE.fullmatch(package):
                self.compiler = "present"
            elif self.compiler == "absent" and ("$" in word or "*" in word or word.endswith(".deb")):
                self.compiler = "unknown"

    def _give_up(self) -> None:
        self.has_fetched = True
        self.torch = "unknown" if self.torch == "absent" else self.torch
        self.compiler = "unknown" if self.compiler == "absent" else self.compiler


def context_path(source: str) -> str:
    """Return a source of COPY as a path below the build context; empty for all of it."""
    parts = [part for part in source.split("/") if part not in ("", ".")]
    return "/".join(parts)


def _may_install_anything(command: Command) -> bool:
    """Return whether a command may install PyTorch or a compiler without a word of it in the Dockerfile."""
    name, arguments = command.name, command.arguments
    if not name or arguments == ["--version"]:
        return False
    if name in (".", "source"):
        return not arguments or not _HARMLESS_SOURCES.search(arguments[0])
    if re.fullmatch(r"python[\d.]*", name):
        return bool(arguments) and arguments[0] not in ("-c", "-V") and arguments[:2] != ["-m", "venv"]
    if name in ("conda", "mamba", "micromamba"):
        return not arguments or arguments[0] in ("env", "create", "install", "update")
    is_script = command.words[0].text.startswith("./") or name.endswith((".sh", ".run", ".py"))
    return is_shell(name) or is_script or name in _INSTALLERS or name.startswith("$")


def all_requirements(
    found: Installation, state: StageState, context: Mapping[str, str]
) -> tuple[list[Requirement], bool]:
    """Return what is installed, requirement files of the build context included, and whether that is everything.

    Args:
        found: An installation.
        state: State of the stage before it.
        context: Text of every file of the build context.
    """
    requirements = list(found.requirements)
    is_complete = found.is_complete
    for name in found.files:
        text = context_text(name, state, context)
        if text is None:
            is_complete = False
            continue
        listed, options = file_requirements(text, found.command.line)
        requirements += listed
        is_complete = is_complete and not {"--requirement", "--constraint"} & set(options)
    return requirements, is_complete


def context_text(name: str, state: StageState, context: Mapping[str, str]) -> str | None:
    """Return the text of a file that came from the build context; None when it can't be told.

    Args:
        name: Path as a command in the stage names it.
        state: State of the stage.
        context: Text of every file of the build context.
    """
    path = state.resolved(name, state.folder)
    if path is None:
        return None
    for source, target in state.trees + state.mounted:
        if path == target or path.startswith(f"{target.rstrip('/')}/"):
            inside = "/".join(part for part in (source, path[len(target) :].strip("/")) if part)
            if inside in context:
                return context[inside]
    return None


def initial_state(base: BaseImage, variables: Variables) -> StageState:
    """Return the state behind a FROM that names an image.

    Args:
        base: The image.
        variables: No variables yet.
    """
    return StageState(
        base=base,
        variables=variables,
        torch="absent" if base.lacks_torch else "present" if base.family == "pytorch" else "unknown",
        compiler="absent" if base.lacks_cuda_compiler else "unknown",
        workdir="/" if base.starts_at_root else UNKNOWN_FOLDER,
    )
