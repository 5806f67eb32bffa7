"""The software bill of materials of a release, as CycloneDX: what is pinned in the project, with its hashes.

It says what the files of the project say, so that it is the same wherever it is made. Licences are those that the
packages themselves name, of the packages that ``requirements/release.txt`` installs; of others they are not known here.
"""

from __future__ import annotations

import re
import uuid
from importlib import metadata
from typing import TYPE_CHECKING

import yaml
from cyclonedx.contrib.license.exceptions import LicenseFactoryException
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from scripts.update_dependencies import BUNDLE, LOCKS, LOCKS_OF_STACKS, STAND_INS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from cyclonedx.model.license import License

NAME = "opensora-site"
LICENSES = "requirements/release.txt"
# What only the checks and the test hosts install is no part of a running site.
NOT_OF_A_SITE = ("requirements/test.txt", "requirements/release.txt", STAND_INS)
_IMAGE = "roles/opensora_image"
_REQUIREMENT = re.compile(
    r"^(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>[^\s;\\]+)(?P<rest>(?:.*\n(?:[ \t].*\n?)*)?)", re.M
)


def read_requirements(text: str) -> dict[tuple[str, str], set[str]]:
    """Return the hashes of every package and version in a lock."""
    found: dict[tuple[str, str], set[str]] = {}
    for match in _REQUIREMENT.finditer(text):
        hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", match["rest"])
        found.setdefault((match["name"].lower(), match["version"]), set()).update(hashes)
    return found


def python_packages(root: Path) -> list[Component]:
    """Return every Python package of every lock; one for each version, with the locks that name it."""
    hashes: dict[tuple[str, str], set[str]] = {}
    locks: dict[tuple[str, str], list[str]] = {}
    for path in (*(lock.path for lock in LOCKS), *LOCKS_OF_STACKS, BUNDLE):
        for key, found in read_requirements((root / path).read_text(encoding="utf-8")).items():
            hashes.setdefault(key, set()).update(found)
            locks.setdefault(key, []).append(path)
    licensed = read_requirements((root / LICENSES).read_text(encoding="utf-8")).keys()
    return [
        Component(
            name=name,
            version=version,
            bom_ref=f"python:{name}@{version}",
            purl=PackageURL("pypi", name=name.replace("_", "-"), version=version),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in hashes[name, version]],
            licenses=licenses_of(name, version) if (name, version) in licensed else [],
            scope=scope_of(locks[name, version]),
            properties=[Property(name=f"{NAME}:lock", value=path) for path in locks[name, version]],
        )
        for name, version in sorted(hashes)
    ]


def scope_of(locks: Iterable[str]) -> ComponentScope:
    """Return whether a package is part of a site or only of its tests."""
    is_of_a_site = any(not path.startswith(NOT_OF_A_SITE) for path in locks)
    return ComponentScope.REQUIRED if is_of_a_site else ComponentScope.EXCLUDED


def licenses_of(name: str, version: str) -> list[License]:
    """Return the licence that an installed package names."""
    try:
        about = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return []  # it is for another system or Python
    classifiers = [line for line in about.metadata.get_all("Classifier") or [] if line.startswith("License :: ")]
    named = [line.rsplit(" :: ", 1)[-1] for line in classifiers if line != "License :: OSI Approved"]
    short = _field(about, "License")
    text = _field(about, "License-Expression") or (short if "\n" not in short else "") or " AND ".join(named)
    if about.version != version or not text or text == "UNKNOWN":
        return []
    try:
        return [LicenseFactory().make_with_expression(text)]
    except LicenseFactoryException:
        return [LicenseFactory().make_from_string(text)]


def _field(about: metadata.Distribution, name: str) -> str:
    return str(about.metadata[name]) if name in about.metadata else ""


def collections(root: Path) -> list[Component]:
    """Return the collections; which version of the range it is, is known where they are installed."""
    wanted = yaml.safe_load((root / "requirements.yml").read_text(encoding="utf-8"))["collections"]
    return [
        Component(
            name=collection["name"],
            type=ComponentType.LIBRARY,
            bom_ref=f"collection:{collection['name']}",
            scope=ComponentScope.EXCLUDED,
            properties=[
                Property(name=f"{NAME}:range", value=str(collection["version"])),
                Property(name=f"{NAME}:lock", value=BUNDLE),
            ],
        )
        for collection in sorted(wanted, key=lambda collection: str(collection["name"]))
    ]


def image_sources(root: Path) -> list[Component]:
    """Return what the image is built of besides Python packages: repositories, and two base images for each stack."""
    defaults = yaml.safe_load((root / _IMAGE / "defaults/main.yml").read_text(encoding="utf-8"))
    stacks = yaml.safe_load((root / _IMAGE / "vars/main.yml").read_text(encoding="utf-8"))["__opensora_image_stacks"]
    found = []
    for repository, commit in (
        ("opensora_image_repository", "opensora_image_git_reference"),
        ("opensora_image_tensornvme_repository", "opensora_image_tensornvme_commit"),
    ):
        owner, name = defaults[repository].rstrip("/").rsplit("/", 2)[-2:]
        found.append(
            Component(
                name=name,
                version=defaults[commit],
                type=ComponentType.APPLICATION,
                bom_ref=f"git:{name}",
                purl=PackageURL("github", owner.lower(), name.lower(), defaults[commit]),
                scope=ComponentScope.REQUIRED,
                properties=[Property(name=f"{NAME}:variable", value=repository)],
            )
        )
    for stack, values in sorted(stacks.items()):
        for variable, kind in (("opensora_image_base", "devel"), ("opensora_image_runtime_base", "base")):
            tag = f"{values['cuda_version']}-{kind}-ubuntu{values['ubuntu_version']}"
            found.append(
                Component(
                    name="docker.io/nvidia/cuda",
                    version=tag,
                    type=ComponentType.CONTAINER,
                    bom_ref=f"image:{stack}:{kind}",
                    scope=ComponentScope.REQUIRED,
                    properties=[
                        Property(name=f"{NAME}:variable", value=variable),
                        Property(name=f"{NAME}:stack", value=stack),
                    ],
                )
            )
    return found


def bill_of_materials(root: Path, version: str, commit: str, time: datetime) -> str:
    """Return the bill of materials of a version as JSON.

    Args:
        root: The project.
        version: Version of the release.
        commit: Commit that it is made of.
        time: When that was committed.

    Raises:
        ValueError: It is not what CycloneDX asks for.
    """
    itself = Component(
        name=NAME,
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref=NAME,
        licenses=[LicenseFactory().make_with_id("MIT")],
        properties=[Property(name=f"{NAME}:commit", value=commit)],
    )
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{NAME}/{version}/{commit}"),
        metadata=BomMetaData(component=itself, timestamp=time),
        components=[*python_packages(root), *collections(root), *image_sources(root)],
    )
    bom.register_dependency(itself, list(bom.components))
    text = JsonV1Dot6(bom).output_as_string(indent=2) + "\n"
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong:
        raise ValueError(f"the bill of materials is not valid: {wrong}")
    return text
