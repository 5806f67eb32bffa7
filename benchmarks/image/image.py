#!/usr/bin/env python3
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Build the role's image and the one of guides on a Docker host, side by side, and compare time and size.

Run it on the host that builds, as root, with the build context that the role has left there:

    python3 image.py --context /opt/opensora-site/image/context --base BASE@sha256:… --python 3.11
        --application FOLDER      the application's tree, which the guide's image copies
        --argument NAME=VALUE     further build arguments of the role's Dockerfile
        --guide-base BASE         another base for the guide's side, such as one with CUDA's development files
        --only-cold               leave the changes out
        --rounds 1

Each round: both cold (build cache emptied before each), both after a change of one line of the application, both after
a change of one locked requirement. Prints a table and JSON. Empties the build cache: take a throw-away host.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
STEPS = ("cold", "application changed", "requirement changed")


def run(*command: str) -> str:
    """Run a command; end with what it printed where it fails."""
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (commands of this program)
    if found.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{found.stdout[-3000:]}{found.stderr[-3000:]}")
    return found.stdout


class Side:
    """One way to build: a context of its own, and what it takes."""

    def __init__(self, name: str, context: Path, options: list[str]) -> None:
        self.name = name
        self.context = context
        self.tag = f"opensora-benchmark:{name}"
        self.options = options
        self.seconds: dict[str, list[float]] = {step: [] for step in STEPS}

    def build(self, step: str) -> None:
        """Build and take the time."""
        started = time.monotonic()
        run(
            "docker",
            "buildx",
            "build",
            "--builder",
            "default",
            "--load",
            "--provenance=false",
            "--quiet",
            "--tag",
            self.tag,
            *self.options,
            str(self.context),
        )
        self.seconds[step].append(time.monotonic() - started)

    def size(self) -> int:
        """Return the size of the image in bytes."""
        return int(run("docker", "image", "inspect", "--format", "{{.Size}}", self.tag))


def change_line(path: Path, number: int) -> None:
    """Add a line to a file of Python."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"# change {number}\n")


def change_requirement(path: Path, number: int) -> None:
    """Make a lock another one without another content: a comment, which the build can't know to be one."""
    text = re.sub(r"^# change \d+\n", "", path.read_text(encoding="utf-8"))
    path.write_text(f"# change {number}\n{text}", encoding="utf-8")


def main() -> None:
    """Build, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--context", type=Path, required=True)
    parser.add_argument("--application", type=Path, required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--guide-base", default="")
    parser.add_argument("--python", required=True)
    parser.add_argument("--index", default="")
    parser.add_argument("--argument", action="append", default=[])
    parser.add_argument("--only-cold", action="store_true")
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as temporary:
        ours, theirs = Path(temporary) / "ours", Path(temporary) / "guide"
        shutil.copytree(arguments.context, ours)
        shutil.copytree(arguments.context, theirs)
        shutil.copy(HERE / "guide.Dockerfile", theirs / "Dockerfile")
        shutil.copytree(arguments.application, theirs / "application")
        # Ours takes the application from a stage; here it is a folder, so that both read one tree without a network.
        shutil.copytree(arguments.application, Path(temporary) / "application")
        common = {"BASE_IMAGE": arguments.base, "PYTHON_VERSION": arguments.python}
        common["PYTHON_INDEX_URL"] = arguments.index
        words = [word for name, value in common.items() for word in ("--build-arg", f"{name}={value}")]
        more = [word for pair in arguments.argument for word in ("--build-arg", pair)]
        replaced = ["--build-context", f"source-application={Path(temporary) / 'application-context'}"]
        (Path(temporary) / "application-context").mkdir()
        shutil.move(str(Path(temporary) / "application"), Path(temporary) / "application-context" / "source")
        sides = [
            Side("ours", ours, [*words, "--build-arg", f"RUNTIME_BASE_IMAGE={arguments.base}", *more, *replaced]),
            Side("guide", theirs, [*words, "--build-arg", f"BASE_IMAGE={arguments.guide_base or arguments.base}"]),
        ]
        trees = {"ours": Path(temporary) / "application-context" / "source", "guide": theirs / "application"}
        for number in range(arguments.rounds):
            for side in sides:
                run("docker", "builder", "prune", "--all", "--force")
                side.build("cold")
                if arguments.only_cold:
                    continue
                change_line(next(trees[side.name].rglob("inference.py")), number)
                side.build("application changed")
                change_requirement(side.context / "requirements.txt", number)
                side.build("requirement changed")
        sizes = {side.name: side.size() for side in sides}
    report(sides, sizes)


def report(sides: list[Side], sizes: dict[str, int]) -> None:
    """Print the table and the same as JSON."""
    ours, guide = ({step: statistics.median(times) for step, times in side.seconds.items() if times} for side in sides)
    print("| what | ours | guide's construction | ratio |", "|---|---|---|---|", sep="\n")
    for step in ours:
        print(f"| {step} | {ours[step]:.0f} s | {guide[step]:.0f} s | {ours[step] / guide[step]:.2f} |")
    ratio = sizes["ours"] / sizes["guide"]
    print(f"| size | {sizes['ours'] / 1e9:.2f} GB | {sizes['guide'] / 1e9:.2f} GB | {ratio:.2f} |")
    if "application changed" in ours:
        print(f"\napplication changed, against ours cold: {ours['application changed'] / ours['cold']:.1%}")
    print(json.dumps({"sizes": sizes, "seconds": {side.name: side.seconds for side in sides}}))


if __name__ == "__main__":
    main()
