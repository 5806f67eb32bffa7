"""The NVIDIA module on disk and loaded, and a build that failed."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.kernel_module import (
    KernelModule,
    loaded_modules,
    parse_build_log,
    parse_loaded_version,
    parse_module_info,
)

DEBIAN_OPEN = """\
filename:       /lib/modules/6.1.0-50-cloud-amd64/updates/dkms/nvidia-current-open.ko
import_ns:      DMA_BUF
alias:          char-major-195-*
version:        535.261.03
supported:      external
license:        Dual MIT/GPL
firmware:       nvidia/535.261.03/gsp_tu10x.bin
srcversion:     1234
depends:
retpoline:      Y
name:           nvidia
parm:           NVreg_Mobile:int
"""


def test_debian_renames_the_module() -> None:
    assert parse_module_info(DEBIAN_OPEN, "6.1.0") == KernelModule("535.261.03", "open", signed=False, kernel="6.1.0")


def test_proprietary_and_signed() -> None:
    text = "filename: /x/nvidia.ko\nversion: 580.159.04\nlicense: NVIDIA\nsig_id: PKCS#7\nsigner: Canonical\n"
    assert parse_module_info(text, "k") == KernelModule("580.159.04", "proprietary", signed=True, kernel="k")


@pytest.mark.parametrize("text", ["", "modinfo: ERROR: Module nvidia not found.", "filename: /x\nlicense: GPL\n"])
def test_no_module(text: str) -> None:
    assert parse_module_info(text, "k") is None


@pytest.mark.parametrize(
    ("proc", "sysfs", "module"),
    [
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (builder@host)",
            "580.159.04",
            KernelModule("580.159.04", "open"),
        ),
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.163.01  Tue Apr  8 12:41:17 UTC 2025\nGCC version: x",
            None,
            KernelModule("550.163.01", "proprietary"),
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  575.57  Release Build",
            None,
            KernelModule("575.57", "open"),
        ),
        (None, "535.261.03", KernelModule("535.261.03", None)),
        (None, None, None),
        ("garbage", "garbage", None),
    ],
)
def test_loaded(proc: str | None, sysfs: str | None, module: KernelModule | None) -> None:
    assert parse_loaded_version(proc, sysfs) == module


def test_only_the_first_column_names_a_module() -> None:
    used_by = "drm_ttm_helper 12288 1 nouveau, Live 0x0\ndrm 1 2 nouveau,ttm Live 0x0\n"
    assert "nouveau" not in loaded_modules(used_by, [])
    assert "nouveau" in loaded_modules(f"{used_by}nouveau 3096576 1 - Live 0x0\n", [])
    assert "nouveau" in loaded_modules(None, ["nouveau", "drm"])
    assert loaded_modules(None, []) == set()


def test_build_log() -> None:
    log = parse_build_log(
        "DKMS make.log for nvidia-current-open-550.163.01 for kernel 6.12.117+deb13-cloud-amd64 (x86_64)\n"
        "  CC [M]  nvidia/nv-pci.o\n"
        "nvidia/nv-pci.c:224:9: error: too few arguments to function 'pci_resize_resource'\n"
        "make[3]: *** [Makefile:229: nvidia/nv-pci.o] Error 1\n"
    )
    assert log["kernel"] == "6.12.117+deb13-cloud-amd64"
    assert log["lines"] == ["nvidia/nv-pci.c:224:9: error: too few arguments to function 'pci_resize_resource'"]
    assert parse_build_log("a\nb\n\nc\n") == {"kernel": None, "lines": ["a", "b", "c"]}
