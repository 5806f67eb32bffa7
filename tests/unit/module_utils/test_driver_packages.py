"""Which packages make up a driver on which system, with which headers, from which repository."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.opensora.driver_packages import (
    System,
    distribution_packages,
    excluded_builds,
    fabric_packages,
    find_system,
    header_packages,
    kernel_series,
    module_stream,
    origins,
    repository,
    vendor_packages,
)

URL = "https://mirror.test/cuda/repos/{distribution}/{machine}/"
UBUNTU_KEY = "EB693B3035CD5710E231E123A4B469963BF863CC"
DEBIAN_13_KEY = "02182E60104FCDC26EAE1B8597A5D4CB8793F200"
REDHAT_KEY = "610C7B14E068A878070DA4E99CD0A493D42D0685"


def system_of(codename: str) -> System:
    found = find_system({"family": "debian", "id": "any", "major": 0, "codename": codename})
    assert found is not None
    return found


REDHAT = find_system({"family": "redhat", "id": "rocky", "major": 9, "codename": None})
assert REDHAT is not None
SYSTEMS = {"rhel9": REDHAT} | {
    system_of(name).name: system_of(name) for name in ("bookworm", "trixie", "jammy", "noble")
}


@pytest.mark.parametrize(
    ("os", "name"),
    [
        ({"family": "debian", "id": "debian", "major": 12, "codename": "bookworm"}, "debian12"),
        ({"family": "debian", "id": "debian", "major": 13, "codename": "trixie"}, "debian13"),
        ({"family": "debian", "id": "ubuntu", "major": 22, "codename": "jammy"}, "ubuntu2204"),
        # A derivative uses the packages of its distribution.
        ({"family": "debian", "id": "linuxmint", "major": 22, "codename": "noble"}, "ubuntu2404"),
        ({"family": "debian", "id": "debian", "major": 11, "codename": "bullseye"}, None),
        ({"family": "debian", "id": "debian", "major": None, "codename": None}, None),
        ({"family": "redhat", "id": "rhel", "major": 9, "codename": "plow"}, "rhel9"),
        ({"family": "redhat", "id": "almalinux", "major": 9, "codename": None}, "rhel9"),
        ({"family": "redhat", "id": "rocky", "major": 8, "codename": None}, None),
        ({"family": "redhat", "id": "fedora", "major": 43, "codename": None}, None),
        ({"family": "other", "id": "arch", "major": None, "codename": None}, None),
    ],
)
def test_system(os: dict[str, Any], name: str | None) -> None:
    found = find_system(os)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("name", "machine", "url", "key_url", "fingerprint"),
    [
        ("debian12", "x86_64", "debian12/x86_64", "debian12/x86_64/3bf863cc.pub", UBUNTU_KEY),
        ("debian13", "x86_64", "debian13/x86_64", "debian13/x86_64/8793F200.pub", DEBIAN_13_KEY),
        ("ubuntu2204", "x86_64", "ubuntu2204/x86_64", "ubuntu2204/x86_64/3bf863cc.pub", UBUNTU_KEY),
        ("ubuntu2404", "aarch64", "ubuntu2404/sbsa", "ubuntu2404/sbsa/3bf863cc.pub", UBUNTU_KEY),
        ("rhel9", "x86_64", "rhel9/x86_64", "rhel9/x86_64/D42D0685.pub", REDHAT_KEY),
    ],
)
def test_repository(name: str, machine: str, url: str, key_url: str, fingerprint: str) -> None:
    found = repository(SYSTEMS[name], machine, URL, "", "")
    assert found is not None
    assert found["url"] == f"https://mirror.test/cuda/repos/{url}"
    assert found["key_url"] == f"https://mirror.test/cuda/repos/{key_url}"
    assert found["key_fingerprint"] == fingerprint
    assert found["manager"] == ("dnf" if name == "rhel9" else "apt")
    assert found["suites"] == ["/"]


def test_repository_of_a_mirror_with_a_key_of_its_own() -> None:
    found = repository(
        SYSTEMS["debian13"], "x86_64", "https://m.test/nvidia", "https://m.test/{distribution}.asc", "ab cd"
    )
    assert found is not None
    assert (found["url"], found["key_url"]) == ("https://m.test/nvidia", "https://m.test/debian13.asc")
    assert found["key_fingerprint"] == "ABCD"
    assert repository(SYSTEMS["debian13"], "ppc64le", URL, "", "") is None


# system, branch, flavour, module package, one of the others
VENDOR = [
    ("debian12", "580", "open", "nvidia-kernel-open-dkms", "nvidia-driver-cuda"),
    ("debian13", "595", "proprietary", "nvidia-kernel-dkms", "nvidia-driver-cuda"),
    ("ubuntu2204", "580", "open", "nvidia-dkms-580-open", "libnvidia-compute-580"),
    ("ubuntu2404", "580", "proprietary", "nvidia-dkms-580", "nvidia-utils-580"),
    ("ubuntu2404", "590", "open", "nvidia-dkms-open", "libnvidia-compute"),
    ("ubuntu2404", "595", "proprietary", "nvidia-dkms", "libnvidia-compute"),
    ("rhel9", "580", "open", "kmod-nvidia-open-dkms", "nvidia-driver-cuda"),
    ("rhel9", "580", "proprietary", "kmod-nvidia-latest-dkms", "nvidia-driver-cuda"),
]


@pytest.mark.parametrize(("name", "branch", "flavour", "module", "other"), VENDOR)
def test_vendor_packages(name: str, branch: str, flavour: str, module: str, other: str) -> None:
    found = vendor_packages(SYSTEMS[name], branch, flavour)
    assert found.module == (module,)
    assert other in found.userspace
    assert "nvidia-persistenced" in found.userspace
    names = " ".join((*found.module, *found.userspace))
    for desktop in ("nvidia-driver-libs", "xserver", "-gl", "nvidia-settings", "cuda-drivers", "nvidia-open "):
        assert desktop not in f"{names} "


@pytest.mark.parametrize(
    ("name", "wish", "names"),
    [
        ("debian12", ("535", "open", ""), ("nvidia-open-kernel-dkms", "nvidia-smi")),
        ("debian13", ("550", "proprietary", ""), ("nvidia-kernel-dkms", "libcuda1")),
        (
            "ubuntu2404",
            ("580", "open", "aws"),
            ("linux-modules-nvidia-580-server-open-aws", "nvidia-headless-no-dkms-580-server-open"),
        ),
        (
            "ubuntu2204",
            ("535", "proprietary", "generic"),
            ("linux-modules-nvidia-535-server-generic", "nvidia-headless-no-dkms-535-server"),
        ),
        (
            "ubuntu2404",
            ("580", "open", "generic"),
            ("linux-modules-nvidia-580-server-open-generic", "nvidia-utils-580-server"),
        ),
    ],
)
def test_distribution_packages(name: str, wish: tuple[str, str, str], names: tuple[str, str]) -> None:
    found = distribution_packages(SYSTEMS[name], *wish)
    assert found.module == names[:1]
    assert names[1] in found.userspace


@pytest.mark.parametrize(
    ("name", "branch", "source", "nvlink5", "packages"),
    [
        ("debian13", "580", "vendor", False, ["nvidia-fabricmanager-580", "libnvidia-nscq"]),
        ("debian13", "590", "vendor", False, ["nvidia-fabricmanager", "libnvidia-nscq"]),
        ("ubuntu2404", "595", "vendor", True, ["nvidia-fabricmanager", "libnvidia-nscq", "libnvsdm", "nvlsm"]),
        ("rhel9", "580", "vendor", False, ["nvidia-fabricmanager", "libnvidia-nscq"]),
        ("ubuntu2404", "580", "distribution", False, ["nvidia-fabricmanager-580", "libnvidia-nscq-580"]),
        ("ubuntu2404", "595", "distribution", False, ["nvidia-fabricmanager-595", "libnvidia-nscq-595"]),
        ("debian13", "550", "distribution", False, []),
    ],
)
def test_fabric_manager(name: str, branch: str, source: str, nvlink5: bool, packages: list[str]) -> None:
    assert fabric_packages(SYSTEMS[name], branch, source, nvlink5=nvlink5) == packages


# system, kernel, installed packages, name of the series
SERIES = [
    ("debian13", "6.12.117+deb13-cloud-amd64", [], "cloud-amd64"),
    ("debian13", "6.12.117+deb13-rt-amd64", [], "rt-amd64"),
    ("debian12", "6.1.0-50-amd64", [], "amd64"),
    ("debian12", "6.12.9+bpo-arm64", [], "arm64"),
    ("debian13", "6.18.44-custom", [], ""),
    ("debian13", "6.8.0-1021-aws", [], ""),
    ("debian13", "", [], ""),
    ("ubuntu2404", "6.8.0-1021-aws", [], "aws"),
    ("ubuntu2404", "6.8.0-1021-aws", ["linux-image-aws"], "aws"),
    ("ubuntu2204", "5.15.0-1080-aws", ["linux-image-aws-lts-22.04", "linux-image-5.15.0-1080-aws"], "aws-lts-22.04"),
    ("ubuntu2404", "6.8.0-1024-gcp", [], "gcp"),
    ("ubuntu2404", "6.8.0-1024-azure", ["linux-image-azure-lts-24.04"], "azure-lts-24.04"),
    ("ubuntu2404", "6.8.0-1024-oracle", [], "oracle"),
    ("ubuntu2404", "6.8.0-60-generic", ["linux-image-6.8.0-60-generic"], "generic"),
    ("ubuntu2404", "6.8.0-60-generic", ["linux-image-virtual"], "generic"),
    ("ubuntu2404", "6.14.0-37-generic", [], "generic-hwe-24.04"),
    ("ubuntu2204", "6.8.0-60-generic", [], "generic-hwe-22.04"),
    ("ubuntu2204", "6.8.0-60-generic", ["linux-image-generic-hwe-22.04"], "generic-hwe-22.04"),
    ("ubuntu2204", "5.15.0-140-generic", [], "generic"),
    ("ubuntu2404", "6.8.0-60-generic-64k", ["linux-image-generic"], "generic-64k"),
    ("ubuntu2404", "6.12.117+deb13-amd64", [], ""),
    ("rhel9", "5.14.0-570.el9.x86_64", [], ""),
]


@pytest.mark.parametrize(("name", "kernel", "packages", "series"), SERIES)
def test_kernel_series(name: str, kernel: str, packages: list[str], series: str) -> None:
    assert kernel_series(SYSTEMS[name], kernel, packages) == series


@pytest.mark.parametrize(
    ("name", "kernels", "packages"),
    [
        (
            "debian13",
            ["6.12.117+deb13-cloud-amd64"],
            ["linux-headers-cloud-amd64", "linux-headers-6.12.117+deb13-cloud-amd64"],
        ),
        # The kernel that boots next needs its own, and the series brings those of later ones.
        (
            "ubuntu2404",
            ["6.8.0-1021-aws", "6.8.0-1029-aws"],
            ["linux-headers-aws", "linux-headers-6.8.0-1021-aws", "linux-headers-6.8.0-1029-aws"],
        ),
        (
            "ubuntu2404",
            ["6.14.0-37-generic"],
            ["linux-headers-generic-hwe-24.04", "linux-headers-6.14.0-37-generic"],
        ),
        (
            "rhel9",
            ["5.14.0-570.17.1.el9_6.x86_64"],
            ["kernel-devel-matched-5.14.0-570.17.1.el9_6.x86_64", "kernel-headers"],
        ),
        ("rhel9", ["6.12.1-elrepo"], []),
        ("debian13", ["6.18.44-custom"], []),
        ("debian13", ["6.18.44-custom", "6.12.117+deb13-amd64"], []),
        ("debian13", [], []),
    ],
)
def test_headers(name: str, kernels: list[str], packages: list[str]) -> None:
    assert header_packages(SYSTEMS[name], kernels, [], []) == packages
    assert header_packages(SYSTEMS[name], kernels, [], ["linux-headers-custom"]) == ["linux-headers-custom"]


@pytest.mark.parametrize(
    ("name", "branch", "flavour", "stream"),
    [
        ("rhel9", "580", "open", "nvidia-driver:580-open"),
        ("rhel9", "580", "proprietary", "nvidia-driver:580-dkms"),
        ("debian13", "580", "open", ""),
        ("ubuntu2404", "580", "open", ""),
    ],
)
def test_module_stream(name: str, branch: str, flavour: str, stream: str) -> None:
    assert module_stream(SYSTEMS[name], branch, flavour) == stream


def test_helpers_of_contrib_are_not_excluded() -> None:
    builds, origin = excluded_builds(SYSTEMS["debian13"])
    assert origin == "Debian"
    for helper in ("glx-alternative-nvidia", "nvidia-support", "nvidia-installer-cleanup", "*nvidia*", "nvidia-*"):
        assert helper not in builds.split()
    assert excluded_builds(SYSTEMS["ubuntu2404"])[1] == "Ubuntu"


@pytest.mark.parametrize(
    ("name", "package", "version", "origin"),
    [
        ("ubuntu2404", "nvidia-dkms-580-open", "580.95.05-0ubuntu0.24.04.3", "distribution"),
        ("ubuntu2404", "nvidia-utils-580-server", "580.95.05-0ubuntu1", "distribution"),
        ("ubuntu2404", "linux-modules-nvidia-580-open-generic", "6.8.0-60.63", "distribution"),
        ("ubuntu2404", "nvidia-dkms-580-open", "580.65.06-0ubuntu1", "vendor"),
        ("ubuntu2204", "libnvidia-compute", "595.71.05-1ubuntu1", "vendor"),
        ("debian13", "nvidia-open-kernel-dkms", "550.163.01-2", "distribution"),
        ("debian12", "nvidia-tesla-535-kernel-dkms", "535.216.01-1~deb12u1", "distribution"),
        ("debian13", "nvidia-kernel-open-dkms", "580.159.04-1", "vendor"),
        ("debian13", "libcuda1", "580.159.04-1", None),
        ("rhel9", "kmod-nvidia-open-dkms", "3:580.159.04-1.el9", None),
    ],
)
def test_origin(name: str, package: str, version: str, origin: str | None) -> None:
    found = origins(SYSTEMS[name], {package: {"version": version, "status": "ii"}}, [package])
    assert found == {key: [package] if key == origin else [] for key in ("distribution", "vendor")}
