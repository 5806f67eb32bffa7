# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""What the driver role will do on a host, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class DriverPlan:
    """What the role will do.

    Attributes:
        action: ``none``, ``configure``, ``install``, ``upgrade``, ``repair_packages``, ``replace_flavour``, ``reboot``
            or ``blocked``.
        reason: Why.
        skip: Whether the host is left out of the rest of the run.
        problems: What stands in the way, and warnings.
        refusal: The errors as text; empty where there are none.
        source: ``vendor``, ``distribution`` or ``preinstalled``.
        branch: Driver branch; empty for ``preinstalled``.
        version: Exact version, or empty.
        flavour: Kernel module flavour to install.
        repository: The vendor's repository to set up, or null.
        pin: ``packages`` (patterns) that are installed at ``version``, a branch or an exact version; null for none.
        module_stream: Module stream to enable, such as ``nvidia-driver:580-open``; empty for none.
        header_packages: Packages of kernel headers; they are part of ``packages``.
        packages: Packages to install.
        unwanted_packages: Packages to remove first.
        components: Components that the distribution's sources lack.
        prerequisites: Packages to install before the repository is used.
        hold: Packages to hold after the installation.
        build_kernels: Kernels for which DKMS has to build the module, because no package change makes it do so.
        files: Files to write, each with ``path`` and ``text``.
        remove_files: Files to remove.
        initramfs: Whether the initial RAM disks have to be rebuilt.
        services: Services to enable and start, each with ``unit`` and ``why``.
        modules: Kernel modules to load now.
        index: ``url``, ``packages`` and ``version`` to look for in the repository before the host is touched, or null.
        urls: Addresses that must answer, each with ``variable`` and ``url``.
        reboot: Whether a reboot is to be expected.
        summary: The plan in one line.
    """

    action: str = "none"
    reason: str = ""
    skip: bool = False
    problems: list[dict[str, Any]] = field(default_factory=list)
    refusal: str = ""
    source: str = ""
    branch: str = ""
    version: str = ""
    flavour: str = ""
    repository: dict[str, Any] | None = None
    pin: dict[str, Any] | None = None
    module_stream: str = ""
    header_packages: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    unwanted_packages: list[str] = field(default_factory=list)
    components: list[str] = field(default_factory=list)
    prerequisites: list[str] = field(default_factory=list)
    hold: list[str] = field(default_factory=list)
    build_kernels: list[str] = field(default_factory=list)
    files: list[dict[str, str]] = field(default_factory=list)
    remove_files: list[str] = field(default_factory=list)
    initramfs: bool = False
    services: list[dict[str, str]] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)
    index: dict[str, Any] | None = None
    urls: list[dict[str, str]] = field(default_factory=list)
    reboot: bool = False
    summary: str = ""

    @property
    def needed(self) -> bool:
        """Say whether the role has anything to do, or to refuse."""
        return self.action != "none" or self.skip or bool(self.refusal)

    @property
    def looks(self) -> bool:
        """Say whether a preflight has to look into the repository, or to leave the host out."""
        return self.skip or (self.index is not None and not self.refusal)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain data, with ``needed`` and ``looks``."""
        return {**asdict(self), "needed": self.needed, "looks": self.looks}
