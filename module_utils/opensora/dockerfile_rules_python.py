# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What goes wrong in a Dockerfile when PyTorch and what is built for it are installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible.module_utils.opensora.dockerfile_findings import Finding
from ansible.module_utils.opensora.dockerfile_state import all_requirements
from ansible.module_utils.opensora.python_installation import Installation, Requirement, canonical, installation

if TYPE_CHECKING:
    from ansible.module_utils.opensora.dockerfile_state import StageState, Step
    from ansible.module_utils.opensora.shell_script import Command


@dataclass(frozen=True)
class Extension:
    """A package whose setup.py imports PyTorch.

    Attributes:
        title: Its name for people.
        is_source_on_index: Whether the default index has it as source only, so that asking for it by name builds it.
        needs_compiler: Whether the build needs nvcc or CUDA's headers.
    """

    title: str
    is_source_on_index: bool
    needs_compiler: bool


_FLASH_ATTENTION = Extension("Flash Attention", is_source_on_index=True, needs_compiler=True)
# By canonical name and by the name of the repository. Packages that declare PyTorch as a build requirement are not
# here: they build in isolation, against another PyTorch, which nobody can tell from the Dockerfile.
_EXTENSIONS = {
    "flash-attn": _FLASH_ATTENTION,
    "flash-attention": _FLASH_ATTENTION,
    "tensornvme": Extension("TensorNVMe", is_source_on_index=True, needs_compiler=True),
    "apex": Extension("apex", is_source_on_index=False, needs_compiler=True),
    "xformers": Extension("xFormers", is_source_on_index=False, needs_compiler=True),
    "grouped-gemm": Extension("grouped_gemm", is_source_on_index=True, needs_compiler=True),
    "detectron2": Extension("detectron2", is_source_on_index=False, needs_compiler=False),
    "pytorch3d": Extension("PyTorch3D", is_source_on_index=False, needs_compiler=False),
    **{
        f"torch-{part}": Extension(f"torch-{part}", is_source_on_index=True, needs_compiler=False)
        for part in ("cluster", "scatter", "sparse", "spline-conv")
    },
}
_NO_ISOLATION_VARIABLES = ("PIP_NO_BUILD_ISOLATION", "UV_NO_BUILD_ISOLATION", "UV_NO_BUILD_ISOLATION_PACKAGE")
_WITHOUT_CUDA_VARIABLES = ("FLASH_ATTENTION_SKIP_CUDA_BUILD",)
# Further commands that take requirements.
_ADDERS = {"uv": ("add", "tool"), "poetry": ("add",), "pdm": ("add",), "pipenv": ("install",), "pipx": ("install",)}
_VERSION = re.compile(r"=.*|\d+(?:\.(?:\d+|\*))*(?:\.?(?:a|b|rc|post|dev)\d+)?(?:,.*)?")
_TORCH = ("torch", "torchvision", "torchaudio")
_CUDA_TAG = re.compile(r"(?<![A-Za-z0-9])(cu\d{2,3}|cpu|rocm[\d.]+|xpu)(?![A-Za-z0-9])")


def python_findings(step: Step, command: Command) -> Iterator[Finding]:
    """Yield what is wrong with one command.

    Args:
        step: The RUN, its state as it is before this command.
        command: The command.
    """
    found = installation(command)
    if found is not None or (command.arguments[:1] and command.arguments[0] in _ADDERS.get(command.name, ())):
        yield from _unquoted_bounds(command)
    if command.name == "nvcc" and step.state.compiler == "absent":
        yield _compiler_missing(step, command.line, "nvcc")
    if found is None:
        yield from _setup_findings(step, command)
        return
    yield from _extension_findings(step, found)
    if found.tool != "conda":
        yield from _index_findings(step, found)
    yield from _pin_findings(step, found)


def _unquoted_bounds(command: Command) -> Iterator[Finding]:
    seen = set()
    for redirect in command.redirects:
        key = (redirect.line, redirect.source)
        if redirect.has_descriptor or redirect.operator not in ("<", ">") or key in seen:
            continue
        if not _VERSION.fullmatch(redirect.target):
            continue
        seen.add(key)
        source = redirect.source.strip("\\;&|)")
        if redirect.operator == ">":
            effect = f"writes the output to a file named {redirect.target}, and the version is not bounded"
        else:
            effect = f"wants to read a file named {redirect.target}, and the step fails"
        attached = not source.startswith(redirect.operator)
        yield Finding(
            "unquoted_bound",
            redirect.line,
            f"{source} is not quoted: the shell takes {redirect.operator} as a redirect, {effect}",
            "Write '{}', with the quotes.".format(re.sub("['\"]", "", source))
            if attached
            else "Quote the whole requirement with its bound.",
        )


def _extension_findings(step: Step, found: Installation) -> Iterator[Finding]:
    requirements, _ = all_requirements(found, step.state, step.build.context)
    names = {requirement.name for requirement in requirements}
    for requirement in requirements:
        extension = _built(requirement, found, step.state)
        if extension is None:
            continue
        name = requirement.name or extension.title
        if not _isolation_is_off(step, found, name):
            yield Finding(
                "build_isolation",
                requirement.line,
                f"{extension.title} is built in isolation: its setup.py imports torch, which the isolated environment "
                "does not have",
                "Add --no-build-isolation, in a step after the one that installs torch, setuptools, packaging, psutil "
                "and ninja.",
            )
        elif step.state.torch == "absent":
            yield _torch_missing(requirement.line, extension, "torch" in names)
        if extension.needs_compiler and step.state.compiler == "absent" and not _is_without_cuda(step, found.command):
            yield _compiler_missing(step, requirement.line, extension.title)


def _built(requirement: Requirement, found: Installation, state: StageState) -> Extension | None:
    """Return the extension that a requirement compiles; None for a wheel and for everything else."""
    if requirement.is_wheel:
        return None
    is_local = bool(requirement.location) and "://" not in requirement.location
    name = state.source_name(requirement) if is_local else requirement.name
    extension = _EXTENSIONS.get(name)
    if extension is None or requirement.location:
        return extension
    if name in {canonical(value) for values in found.values("--no-binary") for value in values.split(",")}:
        return extension
    # Another index, a page of wheels or a wish for wheels alone: nothing needs to be compiled.
    indexes = [value for value in _locations(found, state) if value]
    if not extension.is_source_on_index or indexes or found.values("--only-binary") or found.tool == "conda":
        return None
    return extension


def _isolation_is_off(step: Step, found: Installation, name: str) -> bool:
    if found.values("--no-build-isolation") or found.values("--no-use-pep517"):
        return True
    if canonical(name) in {canonical(value) for value in found.values("--no-build-isolation-package")}:
        return True
    script = step.instruction.script
    exported = script.text if script else ""
    return any(
        variable in found.command.assignments or variable in step.state.variables.values or f"{variable}=" in exported
        for variable in _NO_ISOLATION_VARIABLES
    )


def _is_without_cuda(step: Step, command: Command) -> bool:
    script = step.instruction.script
    return any(
        name in command.assignments
        or name in step.state.variables.values
        or (script is not None and name in script.text)
        for name in _WITHOUT_CUDA_VARIABLES
    )


def _setup_findings(step: Step, command: Command) -> Iterator[Finding]:
    """Yield what is wrong with ``python setup.py install`` in the tree of an extension."""
    arguments = command.arguments
    if not re.fullmatch(r"python[\d.]*", command.name) or arguments[:1] != ["setup.py"] or step.state.folder is None:
        return
    name = step.state.source_name(Requirement("", "", ".", command.line))
    extension = _EXTENSIONS.get(name)
    if extension is None:
        return
    if step.state.torch == "absent":
        yield _torch_missing(command.line, extension, is_in_same_command=False)
    if extension.needs_compiler and step.state.compiler == "absent" and not _is_without_cuda(step, command):
        yield _compiler_missing(step, command.line, extension.title)


def _torch_missing(line: int, extension: Extension, is_in_same_command: bool) -> Finding:
    when = "in the same command, which builds before it installs" if is_in_same_command else "not before it"
    return Finding(
        "torch_missing",
        line,
        f"{extension.title} needs torch while it is built, and torch is installed {when}",
        "Install torch in a RUN of its own before, in this stage or in one that it starts from.",
    )


def _compiler_missing(step: Step, line: int, title: str) -> Finding:
    reference = step.state.base.reference
    return Finding(
        "compiler_missing",
        line,
        f"{title} needs CUDA's compiler and headers, which {reference} (line {step.stage.first_line}) does not have",
        "Start this stage from a -devel image and copy the result into a small final stage, or take a prebuilt wheel.",
    )


def _locations(found: Installation, state: StageState) -> list[str | None]:
    """Return where else than on the default index packages are looked for; None for what can't be known."""
    index = found.values("--index-url") or _from_environment(found, state, "INDEX_URL", "UV_DEFAULT_INDEX")
    return [state.variables.expanded(value) for value in (*index, *_extra_locations(found, state))]


def _extra_locations(found: Installation, state: StageState) -> tuple[str, ...]:
    extra = found.values("--extra-index-url") or _from_environment(found, state, "EXTRA_INDEX_URL", "UV_INDEX")
    links = found.values("--find-links") or _from_environment(found, state, "FIND_LINKS")
    return (*extra, *links)


def _from_environment(found: Installation, state: StageState, *names: str) -> tuple[str, ...]:
    """Return the values of a setting that the installer takes from its environment or its configuration."""
    prefix = "UV_" if found.tool == "uv" else "PIP_"
    known = {**state.settings, **state.variables.values, **found.command.assignments}
    for name in names:
        full = name if name.startswith("UV_") else prefix + name
        if full.startswith(prefix) and known.get(full):
            return tuple(str(known[full]).split())
    return ()


def _index_findings(step: Step, found: Installation) -> Iterator[Finding]:
    torch = [
        requirement for requirement in found.requirements if requirement.name in _TORCH and not requirement.location
    ]
    if not torch:
        return
    state = step.state
    locations = _locations(found, state)
    for requirement in torch:
        local = requirement.local_version
        # An index without a tag in its address, or one that isn't known, may have any build.
        tags = {tag[1] if (tag := _CUDA_TAG.search(place)) else "" for place in locations if place is not None}
        if _CUDA_TAG.fullmatch(local) and tags and None not in locations and "" not in tags and local not in tags:
            yield Finding(
                "cuda_contradiction",
                requirement.line,
                f"{requirement.name}{requirement.specifier} is a build for {local}, and the index is the one for "
                f"{', '.join(sorted(tags))}",
                f"Take the index of {local}, or leave +{local} out and let the index decide.",
            )
    index = {state.variables.expanded(value) for value in found.values("--index-url")}
    extra = [state.variables.expanded(value) for value in _extra_locations(found, state)]
    others = [value for value in extra if value is None or value not in index]
    takes_first = found.tool == "uv" and not any("unsafe" in value for value in found.values("--index-strategy"))
    loose = [requirement for requirement in torch if not requirement.local_version]
    if others and loose and not takes_first and not found.values("--no-index"):
        yield Finding(
            "second_index",
            loose[0].line,
            f"{loose[0].name} is looked for on more than one index, and pip takes the highest version of all of them: "
            "it can come for another CUDA than the one meant",
            "Install torch and torchvision in a command of their own with --index-url alone, and everything else "
            "afterwards.",
        )


def _pin_findings(step: Step, found: Installation) -> Iterator[Finding]:
    is_constrained = found.values("--constraint") or _from_environment(found, step.state, "CONSTRAINT")
    if is_constrained or (found.values("--no-deps") and step.state.torch == "present"):
        return
    # An image that nobody knows here may have PyTorch, and then nothing comes new.
    if step.state.torch == "unknown" and not step.state.base.family:
        return
    names = {requirement.name for requirement in found.requirements}
    is_kept = step.state.torch == "present" and not {"--upgrade", "-U", "--force-reinstall"} & set(found.options)
    for requirement in found.requirements:
        if requirement.is_exact or requirement.name not in (*_TORCH, "pytorch"):
            continue
        is_torch = requirement.name in ("torch", "pytorch")
        if is_torch and is_kept:
            continue
        if not is_torch and names & {"torch", "pytorch"}:
            continue  # torchvision and torchaudio want exactly their torch, so its pin decides
        yield Finding(
            "torch_not_pinned",
            requirement.line,
            f"{requirement.name}{requirement.specifier} has no exact version: another day's build gets another PyTorch "
            "with another CUDA, and what was compiled for this one no longer loads",
            f"Pin it, such as {requirement.name}=={'0.19.0' if requirement.name == 'torchvision' else '2.4.0'}.",
        )
