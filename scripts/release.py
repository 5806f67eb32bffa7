#!/usr/bin/env python3
"""Make the files of a release: an archive of the project, its software bill of materials, and their checksums.

Made of the last commit alone, so that whoever has that commit gets the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import semver

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.bill_of_materials import NAME, bill_of_materials  # noqa: E402  the path first


class RefusedError(Exception):
    """This can't be released as it is; the message says what to do."""


def git(root: Path, *arguments: str) -> bytes:
    """Return what git prints."""
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=True).stdout


def released_versions(changelog: str, tags: str, wanted: str) -> list[str]:
    """Return the versions that are out: those that the changelog has besides the wanted one, and those with a tag."""
    listed = [name for name in re.findall(r"^## \[([^\]]+)\]", changelog, re.MULTILINE) if name != wanted]
    tagged = [tag.removeprefix("v") for tag in tags.split()]
    return [version for version in [*listed, *tagged] if semver.Version.is_valid(version)]


def refusal(version: str, changelog: str, project: str, tags: str) -> str:
    """Return why a version can't be released, or nothing.

    Args:
        version: The wanted version.
        changelog: Text of CHANGELOG.md.
        project: Text of pyproject.toml.
        tags: Names of the tags, a line each.
    """
    if not semver.Version.is_valid(version):
        return f"{version} is no semantic version, such as 1.2.0"
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        return f"CHANGELOG.md has no heading '## [{version}] - YYYY-MM-DD'"
    if f'\nversion = "{version}"\n' not in project:
        return f'pyproject.toml does not say version = "{version}"'
    out = released_versions(changelog, tags, version)
    newest = max(out, key=semver.Version.parse, default=None)
    if newest and semver.Version.parse(version) <= semver.Version.parse(newest):
        return f"{version} is not newer than {newest}"
    return ""


def archive(root: Path, version: str) -> bytes:
    """Return the compressed archive of the last commit; its times are those of the commit, and no file name is kept."""
    tar = git(root, "-c", "tar.umask=0022", "archive", "--format=tar", f"--prefix={NAME}-{version}/", "HEAD")
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=9, mtime=0) as file:
        file.write(tar)
    return packed.getvalue()


def release(root: Path, version: str, output: Path) -> list[Path]:
    """Write the files of a release into a folder and return their paths.

    Raises:
        RefusedError: It can't be released as it is.
    """
    changed = git(root, "status", "--porcelain").decode().splitlines()
    if changed:
        raise RefusedError(f"commit or remove first what is not committed:\n{chr(10).join(changed)}")
    reason = refusal(
        version,
        (root / "CHANGELOG.md").read_text(encoding="utf-8"),
        (root / "pyproject.toml").read_text(encoding="utf-8"),
        git(root, "tag", "--list", "v*").decode(),
    )
    if reason:
        raise RefusedError(reason)
    commit, seconds = git(root, "log", "-1", "--format=%H %ct").decode().split()
    time = datetime.fromtimestamp(int(seconds), timezone.utc)
    files = {
        f"{NAME}-{version}.tar.gz": archive(root, version),
        f"{NAME}-{version}.cdx.json": bill_of_materials(root, version, commit, time).encode(),
    }
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    files["SHA256SUMS"] = sums.encode()
    output.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (output / name).write_bytes(content)
    return [output / name for name in files]


def main() -> int:
    """Make the release, or say why not."""
    parser = argparse.ArgumentParser(prog="./run release", description=__doc__)
    parser.add_argument("version", help="such as 1.2.0; CHANGELOG.md and pyproject.toml have it already")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder for the files, default dist/")
    arguments = parser.parse_args()
    try:
        paths = release(ROOT, arguments.version, arguments.output)
    except RefusedError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    for path in paths:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
