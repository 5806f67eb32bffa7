# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What the driver of a host was before its last change, and the way back to it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.driver_files import NOUVEAU_PATH, PIN_PATH, RECORD_PATH
from ansible.module_utils.opensora.driver_state import is_driver_package
from ansible.module_utils.opensora.problems import Problem, describe
from ansible.module_utils.opensora.version_number import upstream_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REPOSITORY_FILE = "/etc/apt/sources.list.d/nvidia-driver.sources"
_FORMAT = 1
# Names that only NVIDIA's repository has; the distributions build the same things under others.
_VENDOR_PACKAGE = re.compile(r"^(nvidia-driver-cuda|nvidia-kernel-open-dkms|nvidia-dkms-open|nvidia-open)$")
# Prebuilt modules carry the kernel's version; everything else the driver's.
_KERNEL_PACKAGE = re.compile(r"^linux-")


def driver_packages(host: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions of the driver's packages that are on a host, broken ones too."""
    return {name: package["version"] for name, package in sorted(host["packages"].items()) if is_driver_package(name)}


def repository_is_configured(host: Mapping[str, Any]) -> bool:
    """Say whether the role's own entry of the driver's repository is on the host."""
    return any(source["path"] == REPOSITORY_FILE and source["enabled"] for source in host["apt_sources"])


def _source(host: Mapping[str, Any], packages: Mapping[str, str]) -> str:
    if not packages:
        return ""
    vendor = any(_VENDOR_PACKAGE.match(name) for name in packages) or host["os"]["family"] == "redhat"
    return "vendor" if vendor or repository_is_configured(host) else "distribution"


def make_record(host: Mapping[str, Any], time: str) -> dict[str, Any]:
    """Return what has to be known of a host to come back to its driver.

    Args:
        host: Description of the host before the change.
        time: When it was read, for people.
    """
    packages = driver_packages(host)
    driver = host["driver"]
    return {
        "format": _FORMAT,
        "recorded_at": time,
        "source": _source(host, packages),
        "version": driver["installed"],
        "flavour": driver["flavour"] if packages else None,
        "loaded": driver["loaded"],
        "kernel": host["os"]["kernel"],
        "packages": packages,
        "files": {path: text for path, text in former_files(host).items() if path != RECORD_PATH},
    }


def former_files(host: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the texts of the role's files on a host, null for one that is not there."""
    files = host.get("driver_files") or {}
    return {path: found["text"] if found else None for path, found in sorted(files.items())}


def specifications(packages: Mapping[str, str], manager: str) -> list[str]:
    """Return packages with their exact versions as the package manager takes them.

    Args:
        packages: Version by name.
        manager: ``apt`` or ``dnf``.
    """
    sign = "=" if manager == "apt" else "-"
    return [f"{name}{sign}{version}" for name, version in sorted(packages.items())]


@dataclass
class Restoration:
    """What brings the driver of a host back to what it was.

    Attributes:
        packages: Versions to install, by name.
        install: The same as the package manager takes them.
        remove: Packages to remove, which were not there.
        files: Files to write, each with ``path`` and ``text``.
        remove_files: Files to remove, which were not there.
        remove_repository: Whether the role's own entry of the driver's repository has to go.
        hold: Packages to hold at their versions.
        initramfs: Whether the initial RAM disk has to be rebuilt.
    """

    packages: dict[str, str] = field(default_factory=dict)
    install: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    files: list[dict[str, str]] = field(default_factory=list)
    remove_files: list[str] = field(default_factory=list)
    remove_repository: bool = False
    hold: list[str] = field(default_factory=list)
    initramfs: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def _manager(host: Mapping[str, Any]) -> str:
    return "dnf" if host["os"]["family"] == "redhat" else "apt"


def restoration(
    packages: Mapping[str, str], files: Mapping[str, str | None], host: Mapping[str, Any], *, keep_repository: bool
) -> Restoration:
    """Return what brings a host back to former packages and files.

    Args:
        packages: Versions of the driver's packages then, by name.
        files: Texts of the role's files then, null for one that was not there.
        host: Description of the host now.
        keep_repository: Whether the role's entry of the driver's repository stays.
    """
    now, present = driver_packages(host), former_files(host)
    broken = set(host["driver"]["broken_packages"])
    changed = {name: version for name, version in packages.items() if now.get(name) != version or name in broken}
    return Restoration(
        packages=changed,
        install=specifications(changed, _manager(host)),
        remove=sorted(set(now) - set(packages)),
        files=[
            {"path": path, "text": text}
            for path, text in files.items()
            if text is not None and present.get(path) != text
        ],
        remove_files=[path for path, text in files.items() if text is None and present.get(path) is not None],
        remove_repository=not keep_repository and repository_is_configured(host),
        initramfs=NOUVEAU_PATH in files and files[NOUVEAU_PATH] != present.get(NOUVEAU_PATH),
    )


def _held(host: Mapping[str, Any]) -> set[str]:
    return {name for name in driver_packages(host) if host["packages"][name]["status"][:1] == "h"}


def restore_after_failure(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return what puts a host back after an installation that failed.

    Args:
        before: Description of the host before the installation.
        after: Description of it now.
    """
    # Packages that were broken before can't be put back to that: they only go.
    broken = set(before["driver"]["broken_packages"])
    packages = {name: version for name, version in driver_packages(before).items() if name not in broken}
    kept = repository_is_configured(before)
    found = restoration(packages, former_files(before), after, keep_repository=kept)
    still_held = _held(after) - set(found.packages)  # a package that is installed again loses it
    found.hold = sorted(_held(before) & set(packages) - still_held)
    return found.as_dict()


@dataclass
class RollbackPlan:
    """What a rollback will do.

    Attributes:
        problems: What stands in its way.
        refusal: The errors as text; empty where there are none.
        version: Driver version to come back to; empty where no driver was installed.
        source: Where that driver came from; empty where no driver was installed.
        flavour: Its kernel module flavour, or empty.
        recorded_at: When the record was made.
        restore: Packages and files, see ``Restoration``.
        reboot: Whether a reboot is to be expected.
        summary: The plan in one line.
        settings: The role's settings under which the former driver is the wanted one.
        inventory: Variables that keep the next run from going forward again, by name.
        advice: The same as text.
    """

    problems: list[dict[str, Any]] = field(default_factory=list)
    refusal: str = ""
    version: str = ""
    source: str = ""
    flavour: str = ""
    recorded_at: str = ""
    restore: dict[str, Any] = field(default_factory=lambda: Restoration().as_dict())
    reboot: bool = False
    summary: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    inventory: dict[str, str] = field(default_factory=dict)
    advice: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return asdict(self)


def _refused(code: str, message: str, next_action: str, evidence: tuple[str, ...] = ()) -> Problem:
    return Problem("packages", f"rollback.{code}", "error", message, next_action, evidence)


def read_record(text: str) -> dict[str, Any]:
    """Return the record of a host.

    Args:
        text: Text of its file.

    Raises:
        ValueError: It is damaged, or of another version of this project.
    """
    record = json.loads(text)
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise ValueError(f"it is no record of format {_FORMAT}")
    packages, files = record.get("packages"), record.get("files")
    if not (isinstance(packages, dict) and isinstance(files, dict)):
        raise ValueError("it names no packages and files")  # noqa: TRY004  the text is wrong, not a caller's type
    if not all(isinstance(text, str) for text in packages.values()):
        raise ValueError("a package of it has no version")
    if not all(text is None or isinstance(text, str) for text in files.values()):
        raise ValueError("a file of it has no text")
    return record


def _record_or_problem(text: str, settings: Mapping[str, Any]) -> tuple[dict[str, Any], Problem | None]:
    if settings["source"] == "preinstalled":
        return {}, _refused(
            "preinstalled",
            "nvidia_driver_source is preinstalled, so this project has not installed the driver of this host",
            "Set the nvidia_driver_source with which the driver was changed, or use the tools that installed it.",
        )
    if not text.strip():
        return {}, _refused(
            "no_record",
            f"There is no record of a change of the driver on this host: {RECORD_PATH} is absent",
            "A record is made at each change of the driver's packages by this project; without one, set "
            "nvidia_driver_version to the version that you want and run playbooks/driver.yml.",
        )
    try:
        return read_record(text), None
    except ValueError as error:
        return {}, _refused(
            "damaged_record",
            f"The record {RECORD_PATH} cannot be used: {error}",
            "Remove it, set nvidia_driver_version to the version that you want, and run playbooks/driver.yml.",
        )


def plan_rollback(host: Mapping[str, Any], record: str, settings: Mapping[str, Any]) -> RollbackPlan:
    """Return what brings the driver back to what it was before the last change, or why that cannot be done.

    Args:
        host: Description of the host now.
        record: Text of the record on the host; empty where there is none.
        settings: The role's variables without their prefix.
    """
    found, problem = _record_or_problem(record, settings)
    plan = RollbackPlan()
    if problem is None:
        _complete(plan, host, found)
        restore = plan.restore
        if not restore["packages"] and not restore["remove"]:
            problem = _refused(
                "nothing_to_do",
                f"The driver is what it was before the last change, {plan.version or 'none'}, "
                f"recorded {plan.recorded_at}",
                plan.advice,
            )
    if problem is not None:
        plan.problems = [problem.as_dict()]
        plan.refusal = describe(plan.problems[0])
        plan.restore = Restoration().as_dict()
    return plan


def _complete(plan: RollbackPlan, host: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    packages: dict[str, str] = record["packages"]
    plan.source, plan.recorded_at = (
        str(record.get("source") or ""),
        str(record.get("recorded_at") or "at no known time"),
    )
    plan.flavour = str(record.get("flavour") or "") if packages else ""
    plan.version = upstream_version(str(record.get("version") or "")) if packages else ""
    files = dict(record["files"])
    if plan.source == "vendor":
        files.pop(PIN_PATH, None)  # what was installed may have been the newest of a branch: the pin becomes exact
    restore = restoration(packages, files, host, keep_repository=plan.source == "vendor")
    if plan.source == "vendor":
        restore.hold = [name for name in packages if not _KERNEL_PACKAGE.match(name)]
    plan.restore = restore.as_dict()
    plan.reboot = bool(packages) and (host["nouveau_loaded"] or host["driver"]["loaded"] not in (None, plan.version))
    plan.inventory = _inventory(plan)
    plan.settings = {
        "source": plan.inventory["nvidia_driver_source"],
        "branch": plan.inventory.get("nvidia_driver_branch", ""),
        "version": plan.inventory.get("nvidia_driver_version", ""),
        "flavour": plan.inventory.get("nvidia_driver_flavour", "auto"),
    }
    plan.advice = _advice(plan)
    plan.summary = _summary(plan, restore)


def _inventory(plan: RollbackPlan) -> dict[str, str]:
    if not plan.version:
        return {"nvidia_driver_source": "preinstalled"}
    wanted = {"nvidia_driver_source": plan.source}
    if plan.source == "vendor":
        wanted.update(nvidia_driver_branch=plan.version.split(".")[0], nvidia_driver_version=plan.version)
    if plan.flavour:
        wanted["nvidia_driver_flavour"] = plan.flavour
    return wanted


def _advice(plan: RollbackPlan) -> str:
    lines = ", ".join(f'{name}: "{value}"' for name, value in plan.inventory.items())
    text = f"Set {lines} for this host in the inventory, or the next run of site.yml goes forward again."
    if not plan.version:
        text += " Without a driver that run then refuses the host; take it out of opensora_hosts if it is to stay so."
    return text


def _summary(plan: RollbackPlan, restore: Restoration) -> str:
    if plan.version:
        parts = [f"driver: back to {plan.version}, as recorded {plan.recorded_at}"]
    else:
        parts = [f"driver: remove it, for none was installed when the record was made {plan.recorded_at}"]
    if restore.remove:
        parts.append(f"remove {' '.join(restore.remove)}")
    if restore.install:
        parts.append(f"install {' '.join(restore.install)}")
    if restore.remove_repository:
        parts.append(f"remove {REPOSITORY_FILE}")
    paths = [entry["path"] for entry in restore.files]
    if paths:
        parts.append(f"write {' '.join(paths)}")
    if restore.remove_files:
        parts.append(f"remove {' '.join(restore.remove_files)}")
    parts.append(f"reboot: {'yes' if plan.reboot else 'no'}")
    return "; ".join(parts)


def missing_versions(packages: Mapping[str, str], offered: Mapping[str, Sequence[str]]) -> list[Problem]:
    """Return the problem of versions that no repository of the host offers any more; none where all are there.

    Args:
        packages: Versions to install, by name.
        offered: What the host's package manager offers, by name.
    """
    missing = {name: version for name, version in sorted(packages.items()) if version not in offered.get(name, ())}
    if not missing:
        return []
    return [
        _refused(
            "version_not_offered",
            "The repositories of this host no longer offer "
            + ", ".join(f"{name} {version}" for name, version in missing.items()),
            "Bring these versions into the site's mirror (nvidia_driver_repository_url), or set nvidia_driver_version "
            "to one that is offered and run playbooks/driver.yml.",
            tuple(f"{name}: {', '.join(offered.get(name, ())) or 'not offered at all'}" for name in missing),
        )
    ]
