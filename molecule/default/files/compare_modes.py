#!/usr/bin/env python3
"""Compare owner, group and mode of what a run made on a host with a table; print what differs, one a line.

Argument: a file that was written before the run. Reads the table from standard input: lines of a regular expression of
the whole path, owner, group and a regular expression of the mode; a word more is for what only some hosts have. The
first line that fits the path counts. Files of packages are left out.
"""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

FOLDERS = [
    "/etc",
    "/opt",
    "/srv",
    "/usr/local",
    "/var/lib/opensora-site",
    "/var/log/opensora-site",
    "/run/cdi",
    "/run/opensora-image",
    "/root",
]
# Columns of a line for what every host has.
ALWAYS = 4
# What the system's own tools wrote, and what does not belong to the project.
OTHERS = re.compile(
    r"/etc/(ld\.so\.cache|(g?shadow|group|passwd|subuid|subgid)-?|(ssl/certs|alternatives|rc.\.d|init\.d|cni)(/.*)?)"
    r"|/etc/systemd/system/(multi-user|sockets)\.target\.wants"
    r"|/etc(/hosts|/hostname|/resolv\.conf)?|/opt|/srv|/usr/local(/(share(/ca-certificates|/man)?|bin|sbin|lib.*))?"
    r"|/root(/\.ssh(/.*)?|/\.(profile|bashrc|bash_history)|/(fingerprint|listening)-.*|/security(/.*)?)?"
)


def made_since(stamp: float) -> list[Path]:
    found = set()
    for folder in FOLDERS:
        for place, folders, files in os.walk(folder):
            for path in (Path(place), *(Path(place, name) for name in [*files, *folders])):
                if path.lstat().st_ctime > stamp:
                    found.add(path)
    return sorted(found)


def of_packages(paths: list[Path]) -> set[str]:
    names = [str(path) for path in paths]
    owned = subprocess.run(["dpkg-query", "--search", *names], capture_output=True, text=True, check=False).stdout
    return {line.partition(": ")[2] for line in owned.splitlines()}


def main() -> None:
    table = [line.split() for line in sys.stdin if line.strip() and not line.startswith("#")]
    paths = [path for path in made_since(Path(sys.argv[1]).stat().st_mtime) if not OTHERS.fullmatch(str(path))]
    packages, used = of_packages(paths), set()
    for path in paths:
        status = path.lstat()
        if str(path) in packages or stat.S_ISLNK(status.st_mode):
            continue
        found = [str(status.st_uid), str(status.st_gid), f"{stat.S_IMODE(status.st_mode):04o}"]
        entry = next((entry for entry in table if re.fullmatch(entry[0], str(path))), None)
        if entry is None:
            print(f"{path} {' '.join(found)} stands in no line of the table")
            continue
        used.add(entry[0])
        if found[:2] != entry[1:3] or not re.fullmatch(entry[3], found[2]):
            print(f"{path} {' '.join(found)}, wanted is {' '.join(entry[1:])}")
    for entry in table:
        if entry[0] not in used and len(entry) == ALWAYS:
            print(f"no file fits {entry[0]}")


main()
