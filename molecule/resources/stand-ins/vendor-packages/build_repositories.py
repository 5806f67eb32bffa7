#!/usr/bin/env python3
"""Build the stand-ins of the vendors' package repositories, unsigned (the mirror signs them with its site's keys).

    OUTPUT/docker/linux/debian                    Debian's own engine, repacked under the names of Docker's packages
    OUTPUT/libnvidia-container/stable/deb/amd64   stand-ins of NVIDIA's container toolkit, in two versions
    OUTPUT/cuda/repos/debian13/x86_64, debian12   stand-ins of NVIDIA's driver packages, in three versions
    OUTPUT/cuda-wrong-key/repos/debian13/x86_64   the same, which the mirror signs with another key

Runs while the mirror's image is built: root, apt and the network are there.

usage: build_repositories.py OUTPUT GPU_STAND_IN_FOLDER
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from debian_package import build_package, fill_in, flat_repository, release, run
from driver_packages import build_driver_packages

HERE = Path(__file__).resolve().parent
TOOLKIT_VERSIONS = ("1.19.1", "1.20.0")
RELEASE = "debian.13~trixie"
DRIVER_REPOSITORIES = (
    "cuda/repos/debian13/x86_64",
    "cuda/repos/debian12/x86_64",
    "cuda-wrong-key/repos/debian13/x86_64",
)
ENGINE = ("docker.io", "docker-cli", "containerd", "runc", "docker-buildx", "docker-compose")


def repack(work: Path, output: Path, sources: list[str], name: str, fields: dict[str, str]) -> None:
    """Make one package NAME from the files and scripts of Debian's packages, with these control fields.

    `{depends}` in a field stands for what the Debian packages depend on, without their own family.
    """
    tree = work / name
    depends: list[str] = []
    upstream = ""
    for source in sources:
        deb = next(work.glob(f"{source}_*.deb"))
        # The scripts are those of the first one.
        run("dpkg-deb", "--extract" if upstream else "--raw-extract", str(deb), str(tree))
        control = run("dpkg-deb", "--field", str(deb))
        values = dict(re.findall(r"^(\S+): (.*)$", control, re.MULTILINE))
        upstream = upstream or re.split(r"[+~-]", values["Version"], maxsplit=1)[0]
        for dependency in values.get("Depends", "").split(", "):
            package = re.split(r"[ (:|]", dependency, maxsplit=1)[0]
            if package and package not in ENGINE:
                depends.append(dependency)
    epoch = "5:" if name.startswith("docker-ce") else ""
    version = f"{epoch}{upstream}-1" + ("" if name == "containerd.io" else f"~{RELEASE}")
    lines = {
        "Package": name,
        "Version": version,
        "Architecture": "amd64",
        "Maintainer": "stand-in <stand-in@mirror.opensora.test>",
        "Section": "admin",
        "Priority": "optional",
        **{field: value.format(depends=", ".join(dict.fromkeys(depends))) for field, value in fields.items()},
        "Description": f"stand-in for {name}: Debian's {', '.join(sources)} repacked",
    }
    text = "".join(f"{field}: {value}\n" for field, value in lines.items() if value)
    (tree / "DEBIAN" / "control").write_text(text, encoding="utf-8")
    (tree / "DEBIAN" / "md5sums").unlink(missing_ok=True)
    build_package(tree, output)
    shutil.rmtree(tree)


def engine(output: Path) -> None:
    pool = output / "dists" / "trixie" / "pool" / "stable" / "amd64"
    pool.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        work.chmod(0o777)
        run("apt-get", "download", *ENGINE, cwd=work)
        repack(
            work,
            pool,
            ["containerd", "runc"],
            "containerd.io",
            {
                "Depends": "{depends}",
                "Provides": "containerd, runc",
                "Conflicts": "containerd, runc",
                "Replaces": "containerd, runc",
            },
        )
        repack(
            work,
            pool,
            ["docker.io"],
            "docker-ce",
            {
                "Depends": "containerd.io (>= 1.6.24), docker-ce-cli, {depends}",
                "Conflicts": "docker (<< 1.5), docker-engine, docker.io",
                "Replaces": "docker-engine",
            },
        )
        repack(
            work,
            pool,
            ["docker-cli"],
            "docker-ce-cli",
            {
                "Depends": "{depends}",
                "Recommends": "docker-buildx-plugin, docker-compose-plugin",
                "Conflicts": "docker (<< 1.5), docker-engine, docker.io, docker-cli",
                "Replaces": "docker-ce (<< 5:0)",
            },
        )
        plugin = {"Depends": "{depends}", "Enhances": "docker-ce-cli"}
        repack(work, pool, ["docker-buildx"], "docker-buildx-plugin", plugin)
        repack(work, pool, ["docker-compose"], "docker-compose-plugin", plugin)
    suite = output / "dists" / "trixie"
    binary = suite / "stable" / "binary-amd64"
    binary.mkdir(parents=True)
    packages = run("apt-ftparchive", "packages", "dists/trixie/pool", cwd=output)
    (binary / "Packages").write_text(packages, encoding="utf-8")
    run("gzip", "-9nk", str(binary / "Packages"))
    options = {
        "Origin": "Docker (stand-in)",
        "Label": "Docker CE (stand-in)",
        "Suite": "trixie",
        "Codename": "trixie",
        "Architectures": "amd64",
        "Components": "stable",
    }
    release(suite, options)


def toolkit(output: Path) -> None:
    output.mkdir(parents=True)
    for version in TOOLKIT_VERSIONS:
        for source in sorted((HERE / "nvidia-container-toolkit").iterdir()):
            with tempfile.TemporaryDirectory() as temporary:
                tree = Path(temporary) / source.name
                shutil.copytree(source, tree, symlinks=True)
                fill_in(tree, {"VERSION": version})
                build_package(tree, output)
    flat_repository(output, {"Origin": "NVIDIA (stand-in)", "Label": "toolkit (stand-in)", "Architectures": "amd64"})


def driver(root: Path, gpu: Path) -> None:
    """Build the driver's repository for each system of the vendor's, and a copy of Debian 13's for the wrong key."""
    first = root / DRIVER_REPOSITORIES[0]
    build_driver_packages(first, gpu)
    flat_repository(first, {"Origin": "NVIDIA (stand-in)", "Label": "driver (stand-in)", "Architectures": "amd64"})
    for other in DRIVER_REPOSITORIES[1:]:
        # The packages are the same files: hard links.
        shutil.copytree(first, root / other, copy_function=os.link)


def main() -> None:
    root = Path(sys.argv[1])
    engine(root / "docker" / "linux" / "debian")
    toolkit(root / "libnvidia-container" / "stable" / "deb" / "amd64")
    driver(root, Path(sys.argv[2]))


if __name__ == "__main__":
    main()
