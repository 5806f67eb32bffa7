# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What to say and to clean up after an installation of the driver that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.driver_state import is_driver_package
from ansible.module_utils.opensora.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping


def failed_build_problem(host: Mapping[str, Any], flavour: str) -> Problem:
    """Return the problem of packages that did not install because their kernel module did not build.

    Args:
        host: Description of the host, read after the failure.
        flavour: Flavour that was being installed.
    """
    failures = host["driver"]["build_failures"]
    kernels = ", ".join(sorted({failure["kernel"] or "?" for failure in failures})) or host["os"]["kernel"]
    other = "proprietary" if flavour == "open" else "open"
    required = host["driver"]["required_flavour"]
    offers = [] if required == flavour else [f"set nvidia_driver_flavour: {other}, which these cards can use"]
    offers += [
        "set nvidia_driver_source: vendor, whose newer driver builds for newer kernels",
        "boot an older kernel of the distribution",
    ]
    lines = [line for failure in failures for line in [failure["log"], *failure["lines"]]]
    return Problem(
        layer="kernel_module",
        code="driver.module_not_built",
        severity="error",
        message=f"The {flavour} kernel module does not build for kernel {kernels}",
        next_action=f"One of: {'; '.join(offers)}.",
        evidence=tuple(lines),
    )


def leftover_packages(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the driver packages to remove after a failed installation, so that the package manager is in order again.

    Args:
        before: Description of the host before the installation.
        after: Description of it now.
    """
    names = set(after["packages"]) - set(before["packages"])
    ours = {name for name in names if is_driver_package(name)}
    return sorted(ours | set(after["driver"]["broken_packages"]))
