# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What a command installs for Python, and from where: pip, ``uv pip``, conda and their relatives."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ansible.module_utils.opensora.shell_script import Command, Word

Tool = Literal["pip", "uv", "conda"]

# Options that take a value. A value that was taken for a requirement would be a false alarm.
_WITH_VALUE = re.compile(
    r"""--(?:abi|allow-insecure-host|build-constraints?|build-option|cache-dir|cert|channel|client-cert|config-file
    |config-settings?|constraints?|default-index|directory|editable|exclude-newer|exists-action|extra|extra-index-url
    |file|find-links|fork-strategy|global-option|group|implementation|index|index-strategy|index-url|install-option
    |keyring-provider|link-mode|log|log-file|name|no-binary|no-build-isolation-package|no-build-package|only-binary
    |overrides?|platform|prefix|prerelease|progress-bar|project|proxy|python|python-platform|python-version
    |refresh-package|reinstall-package|report|requirements?|resolution|retries|root|root-user-action|solver|src|target
    |timeout|torch-backend|trusted-host|upgrade-package|upgrade-strategy|use-deprecated|use-feature)""",
    re.VERBOSE,
)
_SHORT_WITH_VALUE: dict[Tool, tuple[str, ...]] = {
    "pip": ("-C", "-c", "-e", "-f", "-i", "-r", "-t"),
    "uv": ("-C", "-P", "-b", "-c", "-e", "-f", "-i", "-p", "-r", "-t"),
    "conda": ("-c", "-f", "-n", "-p"),
}
_LONG = {
    "-b": "--build-constraint",
    "-c": "--constraint",
    "-e": "--editable",
    "-f": "--find-links",
    "-i": "--index-url",
    "-r": "--requirement",
    "--build-constraints": "--build-constraint",
    "--constraints": "--constraint",
    "--default-index": "--index-url",
    "--index": "--extra-index-url",
    "--requirements": "--requirement",
}
_LONG_OF_CONDA = {"-c": "--channel", "-f": "--file", "-n": "--name", "-p": "--prefix"}
_CONDITIONAL = re.compile(r"\$\{\w+:?\+(.*)\}", re.DOTALL)
_NAMED = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*(.*)", re.DOTALL)
_EXACT = re.compile(r"={2,3}\s*[^\s,;*]+(?:\s*;.*)?", re.DOTALL)
# conda takes one = as "this version, whatever its build".
_EXACT_OF_CONDA = re.compile(r"={1,2}\s*((?:\d+\.\d|\$)[^\s,;*<>|=]*)(?:=\S*)?")


@dataclass(frozen=True)
class Requirement:
    """One package that is asked for.

    Attributes:
        name: Canonical name; for a source tree or a repository the name of its folder; empty when unknown.
        specifier: What stands behind the name, such as ``==2.4.0+cu121``.
        location: Address or path that it is taken from; empty for an index.
        line: Line of the file that asks for it.
    """

    name: str
    specifier: str
    location: str
    line: int

    @property
    def is_exact(self) -> bool:
        """Whether only one version will do."""
        return bool(self.location) or bool(_EXACT.fullmatch(self.specifier))

    @property
    def local_version(self) -> str:
        """What stands behind the + of an exact version, such as ``cu121``; else an empty text."""
        match = re.search(r"==\s*[^\s,;+]*\+([^\s,;]+)", self.specifier)
        return match[1] if match else ""

    @property
    def is_wheel(self) -> bool:
        """Whether it is a finished wheel by address or path."""
        return self.location.partition("#")[0].endswith(".whl")


@dataclass(frozen=True)
class Installation:
    """One call of an installer.

    Attributes:
        tool: Which kind of installer.
        command: The command.
        requirements: Packages named on the command line.
        files: Requirement files.
        options: Every option with its values; a switch has one empty value.
        is_complete: Whether everything that it installs could be read.
    """

    tool: Tool
    command: Command
    requirements: tuple[Requirement, ...]
    files: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_complete: bool = True

    def values(self, option: str) -> tuple[str, ...]:
        """Return the values of a long option; empty when it isn't there."""
        return self.options.get(option, ())


def canonical(name: str) -> str:
    """Return the one spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installation(command: Command) -> Installation | None:
    """Return what a command installs, or None when it is no installer.

    Args:
        command: A command of a script.
    """
    found = _tool(command)
    if found is None:
        return None
    tool, words = found
    requirements: list[Requirement] = []
    options: dict[str, list[str]] = {}
    # xargs, a list out of a file or a variable: what it installs stands somewhere else.
    is_complete = True
    pending = list(_expanded(words))
    while pending:
        word = pending.pop(0)
        if word.text.startswith("-") and word.text != "-":
            name, value = _option(word.text, pending, tool)
            options.setdefault(name, []).append(value)
            if name == "--editable":
                requirements.append(requirement(value, word.line))
        elif word.text.startswith(("$", "`")) and "/" not in word.text:
            is_complete = False
        else:
            requirements.append(_of_conda(word) if tool == "conda" else requirement(word.text, word.line))
    files = options.get("--requirement", []) + (options.get("--file", []) if tool == "conda" else [])
    return Installation(
        tool,
        command,
        tuple(requirements),
        tuple(files),
        {name: tuple(values) for name, values in options.items()},
        is_complete and bool(requirements or files),
    )


def _tool(command: Command) -> tuple[Tool, list[Word]] | None:
    """Return the kind of installer and what stands behind its ``install``."""
    words = list(command.words)
    if not words:
        return None
    name = PurePosixPath(words[0].text).name
    if re.fullmatch(r"python[\d.]*|pypy3?|\$\{?PYTHON\w*\}?", name, re.IGNORECASE):
        words = _behind_module(words)
        if not words:
            return None
        name = words[0].text
    tool: Tool
    if name == "uv":
        words = _subcommand(words[1:], "uv")[1]
        if not words or words[0].text != "pip":
            return None
        tool = "uv"
    elif re.fullmatch(r"pip[\d.]*|\$\{?PIP\w*\}?", name):
        tool = "pip"
    elif name in ("conda", "mamba", "micromamba"):
        tool = "conda"
    else:
        return None
    before, behind = _subcommand(words[1:], tool)
    allowed = ("install", "create") if tool == "conda" else ("install", "download", "wheel")
    if not behind or behind[0].text not in allowed:
        return None
    return tool, before + behind[1:]


def _behind_module(words: Sequence[Word]) -> list[Word]:
    """Return the words from the module on, for ``python -m MODULE``."""
    for number, word in enumerate(words[1:], 1):
        if word.text == "-m":
            return list(words[number + 1 :])
        if not word.text.startswith("-"):
            return []
    return []


def _subcommand(words: Sequence[Word], tool: Tool) -> tuple[list[Word], list[Word]]:
    """Return the options before a subcommand, and the words from it on."""
    number = 0
    while number < len(words) and words[number].text.startswith("-"):
        text = words[number].text
        number += 2 if _WITH_VALUE.fullmatch(text) or text in _SHORT_WITH_VALUE[tool] else 1
    return list(words[:number]), list(words[number:])


def _expanded(words: Sequence[Word]) -> Iterator[Word]:
    """Yield the words, those of ``${X:+...}`` as if X were set."""
    for word in words:
        match = _CONDITIONAL.fullmatch(word.text)
        if not match:
            yield word
            continue
        try:
            parts = shlex.split(match[1])
        except ValueError:
            parts = [match[1]]
        yield from (replace(word, text=part) for part in parts)


def _option(text: str, pending: list[Word], tool: Tool) -> tuple[str, str]:
    """Return an option by its long name, and its value, which may be the next word."""
    names = _LONG_OF_CONDA if tool == "conda" else _LONG
    short = _SHORT_WITH_VALUE[tool]
    if not text.startswith("--") and text[:2] in short and len(text) > 2:  # noqa: PLR2004 (-rrequirements.txt)
        return names.get(text[:2], text[:2]), text[2:].lstrip("=")
    name, equals, value = text.partition("=")
    if not equals and (name in short or _WITH_VALUE.fullmatch(name)) and pending:
        value = pending.pop(0).text
    return names.get(name, name), value


def requirement(text: str, line: int) -> Requirement:
    """Return one requirement.

    Args:
        text: As on pip's command line, such as ``torch==2.4.0``, ``git+https://...``, ``./apex`` or ``x @ https://...``.
        line: Line of the file that holds it.
    """
    name, at, location = text.partition("@")
    if at and "/" in location and re.fullmatch(r"\s*[A-Za-z0-9._-]+\s*(\[[^\]]*\])?\s*", name):
        return Requirement(canonical(name.partition("[")[0].strip()), "", location.strip(), line)
    path = re.sub(r"\[[\w,\s-]*\]$", "", text)
    if "://" in path or path.startswith(("git+", "file:")):
        return Requirement(_source_name(path), "", path, line)
    if path.startswith((".", "/", "~")) or "/" in path or path.endswith((".whl", ".tar.gz", ".zip")):
        return Requirement(_source_name(path), "", path, line)
    match = _NAMED.fullmatch(text)
    return Requirement(canonical(match[1]), match[2].strip(), "", line) if match else Requirement("", "", text, line)


def _of_conda(word: Word) -> Requirement:
    """Return a requirement of conda: ``channel::name=version=build`` or ``name>=version``."""
    match = _NAMED.fullmatch(word.text.rpartition("::")[2])
    if not match:
        return Requirement("", "", word.text, word.line)
    specifier = match[2].strip()
    if exact := _EXACT_OF_CONDA.fullmatch(specifier):
        specifier = f"=={exact[1]}"
    return Requirement(canonical(match[1]), specifier, "", word.line)


def _source_name(location: str) -> str:
    """Return the package that an address or path is of, as far as its name says."""
    address, _, fragment = location.partition("#")
    egg = re.search(r"egg=([\w.-]+)", fragment)
    if egg:
        return canonical(egg[1])
    subdirectory = re.search(r"subdirectory=([\w./-]+)", fragment)
    if subdirectory:
        return canonical(PurePosixPath(subdirectory[1]).name)
    # The @ of a login stands before the last slash, that of a reference behind it.
    address = re.sub(r"@[^/]*$", "", address) if "git" in address else address
    name = PurePosixPath(address.rstrip("/")).name
    if name.endswith((".whl", ".tar.gz", ".zip")) and "-" in name:
        return canonical(name.partition("-")[0])
    return canonical(name.removesuffix(".git")) if name not in (".", "..", "") else ""


def file_requirements(text: str, line: int) -> tuple[list[Requirement], dict[str, list[str]]]:
    """Return the requirements and options of a requirement file.

    Args:
        text: Text of the file.
        line: Line of the Dockerfile that installs it.
    """
    requirements: list[Requirement] = []
    options: dict[str, list[str]] = {}
    for raw in re.sub(r"\\\n", " ", text).splitlines():
        entry = re.sub(r"(^|\s)#.*$", "", raw).strip()
        entry = re.split(r"\s--hash|\s--config-settings|\s--global-option", entry, maxsplit=1)[0].strip()
        if not entry:
            continue
        if not entry.startswith("-"):
            requirements.append(requirement(entry, line))
            continue
        name, _, value = re.sub(r"[=\s]+", " ", entry, count=1).partition(" ")
        options.setdefault(_LONG.get(name, name), []).append(value.strip())
    return requirements, options
