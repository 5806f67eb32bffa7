"""Headers, modules and DKMS states of the kernels that count."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.opensora.host_kernels import read_dkms, read_kernels
from ansible.module_utils.opensora.kernel_module import KernelModule, kernels_to_look_at

OLD, NEW = "6.8.0-90-generic", "6.8.0-101-generic"


def source(recorded: Any, module: str = "nvidia", version: str = "580.159.04") -> str:
    recorded.write(f"/usr/src/{module}-{version}/dkms.conf")
    recorded.link(f"/var/lib/dkms/{module}/{version}/source", f"/usr/src/{module}-{version}")
    return f"/var/lib/dkms/{module}/{version}"


def test_added(recorded: Any) -> None:
    source(recorded)
    assert read_dkms(recorded, OLD) == [{"module": "nvidia", "version": "580.159.04", "state": "added"}]


def test_built_for_one_kernel_alone(recorded: Any) -> None:
    recorded.write(f"{source(recorded)}/{OLD}/x86_64/module/nvidia.ko")
    assert [entry["state"] for entry in read_dkms(recorded, OLD)] == ["built"]
    assert [entry["state"] for entry in read_dkms(recorded, NEW)] == ["added"]


def test_installed_version_of_two(recorded: Any) -> None:
    for version in ("570.172.08", "580.159.04"):
        recorded.write(f"{source(recorded, version=version)}/{OLD}/x86_64/module/nvidia.ko")
    recorded.link(f"/var/lib/dkms/nvidia/kernel-{OLD}-x86_64", f"580.159.04/{OLD}/x86_64")
    assert [(entry["version"], entry["state"]) for entry in read_dkms(recorded, OLD)] == [
        ("570.172.08", "built"),
        ("580.159.04", "installed"),
    ]


def test_link_of_another_kernel_with_a_longer_name(recorded: Any) -> None:
    recorded.write(f"{source(recorded)}/{OLD}/x86_64/module/nvidia.ko")
    recorded.link(f"/var/lib/dkms/nvidia/kernel-{OLD}-rt-x86_64", f"580.159.04/{OLD}-rt/x86_64")
    assert [entry["state"] for entry in read_dkms(recorded, OLD)] == ["built"]


def test_other_modules_and_stray_files(recorded: Any) -> None:
    source(recorded, "zfs", "2.2.2")
    recorded.write("/var/lib/dkms/mok.pub")
    recorded.write("/var/lib/dkms/nvidia/note")
    assert read_dkms(recorded, OLD) == []


def test_failed_build(recorded: Any) -> None:
    recorded.write("/var/lib/dkms/nvidia/580.159.04/build/make.log")
    assert [entry["state"] for entry in read_dkms(recorded, OLD)] == ["added"]


def kernel_folder(recorded: Any, release: str, headers: str) -> None:
    recorded.write(f"/lib/modules/{release}/modules.dep")
    if headers:
        recorded.link(f"/lib/modules/{release}/build", f"/usr/src/linux-headers-{release}")
    if headers == "there":
        recorded.write(f"/usr/src/linux-headers-{release}/Makefile")


@pytest.mark.parametrize(("headers", "there"), [("there", True), ("dangling", False), ("", False)])
def test_headers(recorded: Any, headers: str, there: bool) -> None:
    kernel_folder(recorded, OLD, headers)
    (kernel,) = read_kernels(recorded, [OLD], OLD, {}, {f"linux-headers-{OLD}": {}})
    assert (kernel["headers"], kernel["headers_package"]) == (there, f"linux-headers-{OLD}")


def test_running_and_next(recorded: Any) -> None:
    kernel_folder(recorded, OLD, "there")
    kernel_folder(recorded, NEW, "")
    recorded.write(f"/boot/vmlinuz-{NEW}")
    recorded.write(f"/boot/initrd.img-{NEW}", modified=1764062400)
    releases = kernels_to_look_at(recorded, OLD)
    assert releases == [OLD, NEW]
    module = KernelModule("580.159.04", "open", signed=True, kernel=OLD)
    running, following = read_kernels(recorded, releases, OLD, {OLD: module, NEW: None}, {})
    assert running == {
        "release": OLD,
        "running": True,
        "next_boot": False,
        "bootable": False,
        "headers": True,
        "headers_package": None,
        "module": {"version": "580.159.04", "flavour": "open", "signed": True},
        "dkms": [],
        "initramfs_modified": None,
    }
    assert following == {
        "release": NEW,
        "running": False,
        "next_boot": True,
        "bootable": True,
        "headers": False,
        "headers_package": None,
        "module": None,
        "dkms": [],
        "initramfs_modified": 1764062400,
    }


def test_names_of_the_red_hat_family(recorded: Any) -> None:
    release = "5.14.0-570.el9.x86_64"
    recorded.write(f"/boot/initramfs-{release}.img", modified=5)
    (kernel,) = read_kernels(recorded, [release], release, {}, {f"kernel-devel-{release}": {}})
    assert (kernel["headers_package"], kernel["initramfs_modified"]) == (f"kernel-devel-{release}", 5)
