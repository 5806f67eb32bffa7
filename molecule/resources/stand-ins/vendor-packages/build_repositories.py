#!/usr/bin/env python3
"""Build the stand-ins of the vendors' package repositories, unsigned (the mirror signs them with its site's keys).

    OUTPUT/docker/linux/debian                    Debian's own engine, repacked under the names of Docker's packages
    OUTPUT/libnvidia-container/stable/deb/amd64   stand-ins of NVIDIA's container toolkit, in two versions

Runs while the mirror's image is built: root, apt and the network are there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLKIT_VERSIONS = ("1.19.1", "1.20.0")
RELEASE = "debian.13~trixie"
ENGINE = ("docker.io", "docker-cli", "containerd", "runc", "docker-buildx", "docker-compose")


def run(*command: str, cwd: Path | None = None) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=cwd).stdout


def build_package(tree: Path, output: Path) -> None:
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(tree), str(output))


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


def release(folder: Path, options: dict[str, str]) -> None:
    flags = [word for name, value in options.items() for word in ("-o", f"APT::FTPArchive::Release::{name}={value}")]
    text = run("apt-ftparchive", *flags, "release", ".", cwd=folder)
    (folder / "Release").write_text(text, encoding="utf-8")


def toolkit(output: Path) -> None:
    output.mkdir(parents=True)
    for version in TOOLKIT_VERSIONS:
        for source in sorted((HERE / "nvidia-container-toolkit").iterdir()):
            with tempfile.TemporaryDirectory() as temporary:
                tree = Path(temporary) / source.name
                shutil.copytree(source, tree, symlinks=True)
                for path in tree.rglob("*"):
                    if path.is_file() and not path.is_symlink():
                        text = path.read_text(encoding="utf-8")
                        path.write_text(text.replace("@VERSION@", version), encoding="utf-8")
                        path.chmod(0o755 if path.parent.name == "bin" or path.name in {"postinst", "prerm"} else 0o644)
                for folder in (tree, *(path for path in tree.rglob("*") if path.is_dir())):
                    folder.chmod(0o755)
                build_package(tree, output)
    (output / "Packages").write_text(run("apt-ftparchive", "packages", ".", cwd=output), encoding="utf-8")
    run("gzip", "-9nk", str(output / "Packages"))
    release(output, {"Origin": "NVIDIA (stand-in)", "Label": "toolkit (stand-in)", "Architectures": "amd64"})


def main() -> None:
    root = Path(sys.argv[1])
    engine(root / "docker" / "linux" / "debian")
    toolkit(root / "libnvidia-container" / "stable" / "deb" / "amd64")


if __name__ == "__main__":
    main()
