"""Package states out of the package manager's own records."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.packages import (
    broken_packages,
    parse_dpkg_status,
    parse_rpm_list,
    unconfigured_packages,
)


def paragraph(name: str, status: str, version: str = "1.0-1") -> str:
    return f"Package: {name}\nStatus: {status}\nVersion: {version}\nDescription: one\n Package: not-this\n"


def test_dpkg_states() -> None:
    text = "\n".join(
        [
            paragraph("nvidia-smi", "install ok installed", "550.163.01-2"),
            paragraph("nvidia-kernel-dkms", "hold ok installed"),
            paragraph("nvidia-dkms-570", "install ok half-configured"),
            paragraph("libnvidia-ml1", "install ok unpacked"),
            paragraph("nvidia-persistenced", "install reinstreq half-installed"),
            paragraph("nvidia-old", "deinstall ok config-files"),
            paragraph("linux-headers-6.8.0-1029-aws", "unknown ok not-installed"),
            paragraph("bash", "install ok installed"),
            paragraph("docker-ce", "install ok installed", "5:29.7.2-1~debian.13~trixie"),
        ]
    )
    found = parse_dpkg_status(text)
    assert {name: package["status"] for name, package in found.items()} == {
        "nvidia-smi": "ii",
        "nvidia-kernel-dkms": "hi",
        "nvidia-dkms-570": "iF",
        "libnvidia-ml1": "iU",
        "nvidia-persistenced": "iHR",
        "docker-ce": "ii",
    }
    assert found["docker-ce"]["version"] == "5:29.7.2-1~debian.13~trixie"
    assert broken_packages(found) == ["libnvidia-ml1", "nvidia-dkms-570", "nvidia-persistenced"]


def test_dpkg_of_nothing() -> None:
    assert parse_dpkg_status("") == {}
    assert parse_dpkg_status("garbage\n\nPackage: dkms\n") == {}


def test_rpm() -> None:
    found = parse_rpm_list("bash\t5.1-1.el9\nkmod-nvidia-open-dkms\t3:580.95.05-1.el9\nno tab\n")
    assert found == {"kmod-nvidia-open-dkms": {"version": "3:580.95.05-1.el9", "status": "ii"}}
    assert broken_packages(found) == []


RELEVANT = [
    *("nvidia-driver-580-open", "nvidia-headless-no-dkms-580-server-open", "nvidia-tesla-535-kernel-dkms"),
    *("nvidia-open-kernel-dkms", "nvidia-kernel-support", "nvidia-persistenced", "nvidia-modprobe"),
    *("libnvidia-compute-580", "libnvidia-ml1", "libcuda1", "libnvcuvid1", "libegl-nvidia0", "libgles-nvidia2"),
    *("libgl1-nvidia-glvnd-glx", "libglx-nvidia0", "firmware-nvidia-gsp", "cuda-drivers-580", "cuda-keyring"),
    *("kmod-nvidia-open-dkms", "linux-modules-nvidia-580-server-open-generic", "xserver-xorg-video-nvidia"),
    *("nvidia-fabricmanager", "nvidia-fabricmanager-580", "nvlsm", "libnvsdm", "libnvidia-nscq-580", "nvidia-imex"),
    *("nvidia-container-toolkit-base", "libnvidia-container1", "nvidia-docker2", "nvidia-container-runtime"),
    *("docker-ce", "docker.io", "docker-compose-v2", "moby-engine", "containerd.io", "runc", "podman-docker"),
    *("snapd", "cloud-init", "unattended-upgrades", "dkms", "mokutil", "linux-headers-generic", "kernel-devel"),
]
OTHERS = ["bash", "libc6", "libegl1", "libgl1-mesa-dri", "snapd-desktop", "cloud-initramfs-growroot", "libcudart12"]


@pytest.mark.parametrize("name", RELEVANT)
def test_relevant(name: str) -> None:
    assert list(parse_dpkg_status(paragraph(name, "install ok installed"))) == [name]
    assert list(parse_rpm_list(f"{name}\t1.0-1\n")) == [name]


@pytest.mark.parametrize("name", OTHERS)
def test_not_relevant(name: str) -> None:
    assert parse_dpkg_status(paragraph(name, "install ok installed")) == {}


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        ("install ok installed", "install ok half-configured", "iF"),
        ("install ok half-configured", "install ok installed", "iF"),
        ("install ok installed", "install ok installed", "ii"),
        ("deinstall ok config-files", "install ok installed", "ii"),
    ],
)
def test_library_of_two_architectures(first: str, second: str, status: str) -> None:
    text = f"{paragraph('libnvidia-ml1', first)}\n{paragraph('libnvidia-ml1', second)}"
    assert parse_dpkg_status(text)["libnvidia-ml1"]["status"] == status


def test_unconfigured_of_all_packages() -> None:
    text = "\n".join(
        paragraph(name, status)
        for name, status in (
            ("zsh", "install ok unpacked"),
            ("mysql-server", "install ok half-configured"),
            ("fonts", "install reinstreq half-installed"),
            ("bash", "install ok installed"),
            ("man-db", "install ok triggers-pending"),
        )
    )
    assert unconfigured_packages(text) == ["fonts", "mysql-server", "zsh"]
    assert unconfigured_packages("") == []
