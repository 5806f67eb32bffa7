# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The kernel that runs and the one that boots next: headers, NVIDIA module, DKMS state and initial RAM disk of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.kernel_module import DKMS_FOLDER, MODULES_FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ansible.module_utils.opensora.host_probe import HostProbe
    from ansible.module_utils.opensora.kernel_module import KernelModule

_HEADER_PACKAGES = ("linux-headers-{}", "kernel-devel-{}")
_INITIAL_RAM_DISKS = ("/boot/initrd.img-{}", "/boot/initramfs-{}.img", "/boot/initrd-{}")


def read_dkms(probe: HostProbe, kernel: str) -> list[dict[str, str]]:
    """Return the state of each NVIDIA module of DKMS for a kernel, from its own tree; the command takes far longer.

    Args:
        probe: The host.
        kernel: Release of the kernel.

    Returns:
        One entry a module and version: ``installed`` (a link names the version that is in use for this kernel),
        ``built`` (there is a result for it) or ``added`` (only the source is known).
    """
    found = []
    for module in probe.names(DKMS_FOLDER):
        if not module.startswith("nvidia"):
            continue
        folder = f"{DKMS_FOLDER}/{module}"
        links = [name for name in probe.names(folder) if name.startswith(f"kernel-{kernel}-")]
        targets = {probe.resolve(f"{folder}/{name}") for name in links}
        for version in probe.names(folder):
            built = f"{folder}/{version}/{kernel}"
            if not any(map(probe.exists, (built, f"{folder}/{version}/source", f"{folder}/{version}/build"))):
                continue
            if any(target.startswith(f"{built}/") for target in targets):
                state = "installed"
            else:
                state = "built" if probe.exists(built) else "added"
            found.append({"module": module, "version": version, "state": state})
    return found


def read_kernels(
    probe: HostProbe,
    kernels: Sequence[str],
    running: str,
    described: Mapping[str, KernelModule | None],
    packages: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return the ``kernels`` part of the host's description, the running one first.

    Args:
        probe: The host.
        kernels: Releases to look at, as ``kernels_to_look_at`` returns them: the last one boots next.
        running: Release of the running kernel.
        described: NVIDIA module of each of them on the disk, or null.
        packages: The host's packages.
    """
    found = []
    for position, kernel in enumerate(kernels):
        module = described.get(kernel)
        names = [name.format(kernel) for name in _HEADER_PACKAGES]
        disks = [path for path in (path.format(kernel) for path in _INITIAL_RAM_DISKS) if probe.exists(path)]
        found.append(
            {
                "release": kernel,
                "running": kernel == running,
                "next_boot": position == len(kernels) - 1,
                "bootable": probe.exists(f"/boot/vmlinuz-{kernel}"),
                "headers": probe.exists(f"{MODULES_FOLDER}/{kernel}/build/"),
                "headers_package": next((name for name in names if name in packages), None),
                "module": {"version": module.version, "flavour": module.flavour, "signed": module.signed}
                if module
                else None,
                "dkms": read_dkms(probe, kernel),
                "initramfs_modified": probe.modified(disks[0]) if disks else None,
            }
        )
    return found
