# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Compare the driver's plan with what the repositories offer, before anything is installed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.driver_configuration import pin_version
from ansible.module_utils.opensora.driver_files import PIN_PATH, pin_text
from ansible.module_utils.opensora.driver_packages import PIN_PATTERNS
from ansible.module_utils.opensora.problems import Problem, invalid_value
from ansible.module_utils.opensora.version_number import upstream_version

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Versions of the driver; helpers such as the subnet manager have versions of their own.
_DRIVER_VERSION = re.compile(r"^\d{3}\.\d+")


def offered_problems(plan: Mapping[str, Any], offered: Mapping[str, Sequence[str]]) -> list[Problem]:
    """Return what a repository lacks of a plan: packages, the branch, the version, or one version of all of them.

    Args:
        plan: The plan as plain data.
        offered: Versions by package, newest first, as ``package_index_info`` returns them.
    """
    index = plan["index"]
    if index is None:
        return []
    wish = str(index["version"])
    exact = "." in wish
    variable = "nvidia_driver_version" if exact else "nvidia_driver_branch"
    versions = {name: [upstream_version(version) for version in offered.get(name, ())] for name in index["packages"]}
    absent = [name for name, found in versions.items() if not found]
    if absent:
        return [
            _not_offered(
                plan,
                f"{index['url']} does not offer {', '.join(absent)}",
                "nvidia_driver_repository_url and the branch",
            )
        ]

    def fits(version: str) -> bool:
        return version == wish if exact else version.partition(".")[0] == wish

    fitting = {
        name: [version for version in found if fits(version)]
        for name, found in versions.items()
        if any(_DRIVER_VERSION.match(version) for version in found)
    }
    without = [name for name, found in fitting.items() if not found]
    if without:
        known = sorted({version for name in without for version in versions[name] if _DRIVER_VERSION.match(version)})
        choice = known if exact else sorted({version.split(".")[0] for version in known})
        return [
            invalid_value(variable, wish, f"what {index['url']} offers of {', '.join(without)}: {', '.join(choice)}")
        ]
    newest = {found[0] for found in fitting.values()}
    if len(newest) > 1:
        common = set.intersection(*(set(found) for found in fitting.values()))
        best = next((version for version in next(iter(fitting.values())) if version in common), None)
        listed = ", ".join(f"{name} {found[0]}" for name, found in fitting.items())
        if best is None:
            return [_not_offered(plan, f"{index['url']} has no version that all packages share: {listed}", variable)]
        return [
            _not_offered(
                plan,
                f"The newest packages of branch {wish} at {index['url']} are of different versions: {listed}",
                f'nvidia_driver_version: "{best}", which all of them have',
            )
        ]
    return []


def _not_offered(plan: Mapping[str, Any], message: str, correction: str) -> Problem:
    return Problem(
        layer="packages",
        code="packages.not_offered",
        severity="error",
        message=message,
        next_action=f"Set {correction}."
        if ":" in correction
        else f"Correct {correction}, or bring the mirror up to date.",
        evidence=(f"wanted: {' '.join(plan['index']['packages'])}",),
    )


def agreed_pin(plan: Mapping[str, Any], offered: Mapping[str, Sequence[str]]) -> dict[str, str] | None:
    """Return the preferences that make a distribution's packages agree, or null where its newest ones do.

    A distribution's security updates may bring libraries of a newer driver than its kernel module, which depends on
    firmware of its own version, so that the newest packages cannot be installed together.

    Args:
        plan: The plan as plain data.
        offered: Versions by package, newest first, as the host's package manager lists them.

    Returns:
        ``path`` and ``text`` of the file to write before the installation.
    """
    if plan["source"] != "distribution" or plan["version"]:
        return None
    versions = {name: [upstream_version(version) for version in offered.get(name, ())] for name in plan["packages"]}
    modules = [name for name in plan["packages"] if re.match(r"^nvidia-(open-)?kernel-dkms$", name)]
    if not modules or not versions[modules[0]]:
        return None
    module = versions[modules[0]][0]
    others = [found for name, found in versions.items() if name not in modules and found and module in found]
    if all(found[0] == module for found in others):
        return None
    return {"path": PIN_PATH, "text": pin_text(PIN_PATTERNS, pin_version("", module))}
