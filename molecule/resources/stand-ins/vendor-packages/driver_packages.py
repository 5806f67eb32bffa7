"""Build stand-ins of NVIDIA's driver packages: the vendor's names and versions, a real DKMS module, no driver.

The *-dkms packages hold the source of two small kernel modules, which DKMS builds, signs, installs and removes as it
does with the real ones; loaded, they say in /proc/driver/nvidia/version what the real one says. The user space packages
bring the test hosts' nvidia-smi and libraries under the version of their package.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from debian_package import build_package, fill_in

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "nvidia-driver"
VERSIONS = ("580.159.04", "580.178.04", "595.91.07")
LIBRARIES = Path("usr/lib/x86_64-linux-gnu")

# MODULE_LICENSE, and how the module calls itself in /proc/driver/nvidia/version, recorded from both flavours.
FLAVOURS = {
    "nvidia-kernel-open-dkms": {
        "LICENSE": "Dual MIT/GPL",
        "WORDS": "NVIDIA UNIX Open Kernel Module for x86_64",
        "OTHER": "nvidia-kernel-dkms",
    },
    "nvidia-kernel-dkms": {
        "LICENSE": "NVIDIA",
        "WORDS": "NVIDIA UNIX x86_64 Kernel Module",
        "OTHER": "nvidia-kernel-open-dkms",
    },
}
# Package -> its control fields; {version} is that of the Debian package.
PACKAGES = {
    "nvidia-kernel-open-dkms": {"Depends": "dkms, nvidia-modprobe", "Conflicts": "nvidia-kernel-dkms"},
    "nvidia-kernel-dkms": {"Depends": "dkms, nvidia-modprobe", "Conflicts": "nvidia-kernel-open-dkms"},
    "nvidia-driver-cuda": {
        "Depends": "libcuda1 (= {version}), libnvidia-ml1 (= {version}), nvidia-persistenced (= {version}), "
        "nvidia-kernel-open-dkms (= {version}) | nvidia-kernel-dkms (= {version})",
    },
    "libcuda1": {},
    "libnvidia-ml1": {},
    "nvidia-persistenced": {},
    "nvidia-modprobe": {},
    "nvidia-fabricmanager": {"Conflicts": "nvidia-fabricmanager-580", "Provides": "nvidia-fabricmanager-any"},
    "nvidia-fabricmanager-580": {"Conflicts": "nvidia-fabricmanager", "Provides": "nvidia-fabricmanager-any"},
    "libnvidia-nscq": {},
}


def _units(name: str) -> dict[str, str]:
    """Scripts of a package with a unit, which is neither enabled nor started: the harder case for who installs it."""
    return {
        "postinst": '#!/bin/sh\nset -e\nif [ "$1" = configure ] && [ -d /run/systemd/system ]; then\n'
        f"  systemctl daemon-reload\n  systemctl try-restart {name}.service || true\nfi\n",
        "prerm": '#!/bin/sh\nset -e\nif [ "$1" = remove ] && [ -d /run/systemd/system ]; then\n'
        f"  systemctl disable --quiet --now {name}.service || true\nfi\n",
    }


def _fill_tree(name: str, version: str, tree: Path, gpu: Path) -> None:
    """Lay out the files of a package."""
    values = {"VERSION": version, "PACKAGE": name}
    if name in FLAVOURS:
        shutil.copytree(SOURCE / "kernel-dkms", tree, dirs_exist_ok=True)
        (tree / "usr/src/nvidia").rename(tree / f"usr/src/nvidia-{version}")
        values.update(FLAVOURS[name])
    elif name.startswith(("nvidia-persistenced", "nvidia-fabricmanager", "nvidia-modprobe")):
        unit = name.removesuffix("-580")
        shutil.copytree(SOURCE / unit, tree, dirs_exist_ok=True)
        if (SOURCE / unit / "usr/lib/systemd").is_dir():
            for script, text in _units(unit).items():
                (tree / "DEBIAN" / script).write_text(text, encoding="utf-8")
    elif name == "nvidia-driver-cuda":
        (tree / "usr/bin").mkdir(parents=True)
        text = (gpu / "nvidia-smi").read_text(encoding="utf-8")
        if "\nlibrary= #" not in text:
            sys.exit("stand-ins/gpu/nvidia-smi has no line 'library= #...' to write the version into")
        (tree / "usr/bin/nvidia-smi").write_text(
            text.replace("\nlibrary= #", f"\nlibrary={version} #"), encoding="utf-8"
        )
    fill_in(tree, values)
    if name in {"libcuda1", "libnvidia-ml1"}:
        folder = tree / LIBRARIES
        folder.mkdir(parents=True)
        subprocess.run([sys.executable, str(gpu / "elf.py"), "libraries", str(folder), version], check=True)
        for path in folder.iterdir():
            if not path.name.startswith(f"{name.removesuffix('1')}.so"):
                path.unlink()
        # So dpkg runs ldconfig, which makes the links that programs open.
        (tree / "DEBIAN/triggers").write_text("activate-noawait ldconfig\n", encoding="utf-8")


def build_driver_packages(output: Path, gpu: Path) -> None:
    """Build every package in every version.

    Args:
        output: Folder to put the packages into.
        gpu: Folder of the GPU stand-in, whose nvidia-smi and libraries the packages bring.
    """
    output.mkdir(parents=True)
    for version in VERSIONS:
        for name, fields in PACKAGES.items():
            if name == "nvidia-fabricmanager-580" and not version.startswith("580."):
                continue
            with tempfile.TemporaryDirectory() as temporary:
                tree = Path(temporary) / name
                (tree / "DEBIAN").mkdir(parents=True)
                _fill_tree(name, version, tree, gpu)
                lines = {
                    "Package": name,
                    "Version": f"{version}-1",
                    "Architecture": "amd64",
                    "Maintainer": "stand-in <stand-in@mirror.opensora.test>",
                    "Section": "non-free/libs",
                    "Priority": "optional",
                    **{field: value.format(version=f"{version}-1") for field, value in fields.items()},
                    "Description": f"stand-in for {name}, for the test hosts of opensora-site",
                }
                text = "".join(f"{field}: {value}\n" for field, value in lines.items())
                (tree / "DEBIAN/control").write_text(text, encoding="utf-8")
                build_package(tree, output)
