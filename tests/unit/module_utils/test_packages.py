"""Package states out of the package manager's own records."""

from __future__ import annotations

from ansible.module_utils.opensora.packages import broken_packages, parse_dpkg_status, parse_rpm_list


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
