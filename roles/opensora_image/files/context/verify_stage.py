# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Prove inside the build that a stage installed what was asked for, so that a broken image is never finished.

Every check ends in one line; the first that fails ends the build with a line that says what is wrong.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import runpy
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

BUILD_TOOLS = "/opt/build-tools"

_PINNED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")


def fail(message: str) -> NoReturn:
    """End the build."""
    sys.exit(f"stage check failed: {message}")


def passed(message: str) -> None:
    """Say what was proved."""
    print(f"checked: {message}", flush=True)  # noqa: T201 (the build's output)


def packaging_requirements() -> Any:
    """Import the reader of requirements; the build tools have it where the environment itself has not."""
    try:
        return importlib.import_module("packaging.requirements")
    except ModuleNotFoundError:
        # Only while it is imported: else the build tools would pass for installed packages.
        sys.path.append(BUILD_TOOLS)
        try:
            return importlib.import_module("packaging.requirements")
        finally:
            sys.path.remove(BUILD_TOOLS)


def check_imports(names: list[str]) -> None:
    """Import modules, and functions written as ``module:function``."""
    for name in names:
        module, _, attribute = name.partition(":")
        try:
            imported = importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 (whatever an import raises means that it does not work)
            fail(f"import {module}: {type(error).__name__}: {error}")
        if attribute and not hasattr(imported, attribute):
            fail(f"{module} has no {attribute}")
        passed(f"import {name}")


def check_pins(pins: list[str]) -> None:
    """Compare installed versions with exact pins; a local part such as +cu121 may follow."""
    for pin in pins:
        match = _PINNED.fullmatch(pin)
        if match is None:
            continue
        try:
            found = metadata.version(match["name"])
        except metadata.PackageNotFoundError:
            fail(f"{match['name']} is not installed, wanted is {match['version']}")
        if found != match["version"] and found.split("+")[0] != match["version"]:
            fail(f"{match['name']} is {found}, wanted is {match['version']}: another package replaced it")
        passed(f"{match['name']} {found}")


def check_cuda(wanted: str) -> None:
    """Compare the CUDA version that PyTorch was built with, without the seconds that its import takes."""
    package = importlib.util.find_spec("torch")
    if package is None or package.origin is None:
        fail("torch is not installed")
    version = runpy.run_path(str(Path(package.origin).with_name("version.py")))
    if version["cuda"] != wanted:
        fail(f"torch {version['__version__']} is built for CUDA {version['cuda']}, wanted is {wanted}")
    passed(f"torch {version['__version__']} for CUDA {version['cuda']}")


def check_requirements(path: Path, pins: list[str]) -> None:
    """Compare what is installed with every line of a requirements file; a pin stands above a line of the same name."""
    requirements = packaging_requirements()
    pinned = {match["name"].lower() for pin in pins if (match := _PINNED.fullmatch(pin))}
    wrong = []
    count = 0
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.split(" #")[0].strip()
        if not text or text.startswith(("#", "-")):
            continue
        try:
            requirement = requirements.Requirement(text)
        except requirements.InvalidRequirement:
            # An address of a source or wheel: pins by name can't be compared.
            continue
        if requirement.marker and not requirement.marker.evaluate():
            continue
        count += 1
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement} is not installed")
            continue
        if requirement.specifier and not requirement.specifier.contains(found, prereleases=True):
            if requirement.name.lower() in pinned:
                passed(f"{path.name} wants {requirement}, the pin {found} stands in for it")
                continue
            wrong.append(f"{requirement} is wanted, {found} is installed")
    if wrong:
        fail(f"{path.name}: " + "; ".join(wrong))
    passed(f"all {count} requirements of {path.name}")


def check_consistency(accepted: list[str]) -> None:
    """Compare what each installed package requires with what is installed.

    Args:
        accepted: ``package requirement`` pairs of names whose bounds are gone beyond on purpose.
    """
    requirements = packaging_requirements()
    wrong = []
    for package in metadata.distributions():
        name = package.metadata["Name"]
        for text in package.requires or []:
            requirement = requirements.Requirement(text)
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            try:
                found = metadata.version(requirement.name)
            except metadata.PackageNotFoundError:
                wrong.append((name, requirement, "is not installed"))
                continue
            if not requirement.specifier.contains(found, prereleases=True):
                wrong.append((name, requirement, f"{found} is installed"))
    refused = []
    for name, requirement, found in wrong:
        sentence = f"{name} requires {requirement}, {found}"
        if f"{name} {requirement.name}".lower() in {pair.lower() for pair in accepted}:
            passed(f"{sentence}: accepted, the imports decide")
        else:
            refused.append(sentence)
    if refused:
        fail("; ".join(refused))
    passed("what the packages require of one another")


def main() -> None:
    """Run the checks that the arguments ask for, in a fixed order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pin", action="append", default=[], help="name==version that must be installed")
    parser.add_argument("--import", action="append", default=[], dest="imports", help="module or module:function")
    parser.add_argument("--cuda", default="", help="CUDA version that torch must be built for")
    parser.add_argument("--requirements", type=Path, help="requirements file that must be satisfied")
    parser.add_argument("--consistent", action="store_true", help="every package must have what it requires")
    parser.add_argument(
        "--accept", action="append", default=[], help="package and name of a requirement that may differ"
    )
    arguments = parser.parse_args()
    check_pins(arguments.pin)
    if arguments.requirements:
        check_requirements(arguments.requirements, arguments.pin)
    if arguments.consistent:
        check_consistency(arguments.accept)
    if arguments.cuda:
        check_cuda(arguments.cuda)
    check_imports(arguments.imports)


if __name__ == "__main__":
    main()
