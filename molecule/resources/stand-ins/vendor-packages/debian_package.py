"""Build Debian packages and flat repositories with Debian's own tools."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def run(*command: str, cwd: Path | None = None) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=cwd).stdout


def build_package(tree: Path, output: Path) -> None:
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(tree), str(output))


def fill_in(tree: Path, values: dict[str, str]) -> None:
    """Replace each @NAME@ in the files of a package's tree, and give the tree the modes of a package."""
    for path in tree.rglob("*"):
        if path.is_file() and not path.is_symlink():
            text = path.read_text(encoding="utf-8")
            for name, value in values.items():
                text = text.replace(f"@{name}@", value)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o755 if path.parent.name == "bin" or path.name in {"postinst", "prerm"} else 0o644)
    for folder in (tree, *(path for path in tree.rglob("*") if path.is_dir())):
        folder.chmod(0o755)


def release(folder: Path, options: dict[str, str]) -> None:
    flags = [word for name, value in options.items() for word in ("-o", f"APT::FTPArchive::Release::{name}={value}")]
    text = run("apt-ftparchive", *flags, "release", ".", cwd=folder)
    (folder / "Release").write_text(text, encoding="utf-8")


def flat_repository(folder: Path, options: dict[str, str]) -> None:
    """Write the index and the unsigned Release file of a folder of packages."""
    (folder / "Packages").write_text(run("apt-ftparchive", "packages", ".", cwd=folder), encoding="utf-8")
    run("gzip", "-9nk", str(folder / "Packages"))
    release(folder, options)
