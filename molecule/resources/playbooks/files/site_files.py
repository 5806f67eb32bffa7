#!/usr/bin/env python3
"""Make the files of a test site on the controller: SSH keys, known hosts, name server, and each host's GPUs.

Reads the site as JSON from its input, {"nameserver": "10.0.0.2", "hosts": [["gpu01", 2201, [{"uuid": "GPU-..."}],
"loaded"]]}, and prints {"changed": [files made or changed], "git_trees": digest of the trees that become git
repositories}.

    FOLDER/ssh_key, known_hosts   the controller's side
    FOLDER/resolv.conf            the hosts' name server, which containers and image builds on them use as well
    FOLDER/hosts/NAME/            mounted read-only into the host NAME: SSH host key, who may log in, GPUs and driver,
                                  and the name server for a virtual machine
    FOLDER/mirror/                mounted into the mirror: its certificate authority and signing keys

usage: site_files.py FOLDER
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

STAND_INS = Path(__file__).resolve().parents[2] / "stand-ins"
GIT_TREES = ("open-sora/repository", "tensornvme/repository")


def write(path: Path, text: str, changed: list[str]) -> None:
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.write_text(text, encoding="utf-8")
    changed.append(str(path))


def ssh_key(path: Path, comment: str, changed: list[str]) -> str:
    """Make the key where there is none and return the public one."""
    public = path.with_name(path.name + ".pub")
    if not (path.is_file() and public.is_file()):
        path.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)], check=True)
        changed.append(str(path))
    return public.read_text(encoding="utf-8")


def git_trees() -> str:
    digest = hashlib.sha256()
    for tree in GIT_TREES:
        for path in sorted((STAND_INS / tree).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(STAND_INS)}\0{path.stat().st_mode & 0o111}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    site = json.load(sys.stdin)
    changed: list[str] = []
    (folder / "mirror").mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    controller = ssh_key(folder / "ssh_key", "opensora-site test controller", changed)
    resolver = f"nameserver {site['nameserver']}\noptions timeout:2 attempts:3\n"
    write(folder / "resolv.conf", resolver, changed)
    known_hosts = ""
    for name, port, gpus, driver in site["hosts"]:
        host = folder / "hosts" / name
        host.mkdir(parents=True, exist_ok=True)
        public = ssh_key(host / "ssh_host_ed25519_key", name, changed)
        known_hosts += f"[127.0.0.1]:{port} {' '.join(public.split()[:2])}\n"
        write(host / "authorized_keys", controller, changed)
        write(host / "gpus.json", json.dumps(gpus, indent=1) + "\n", changed)
        write(host / "driver", f"{driver}\n", changed)
        write(host / "resolv.conf", resolver, changed)
    write(folder / "known_hosts", known_hosts, changed)
    json.dump({"changed": changed, "git_trees": git_trees()}, sys.stdout)


if __name__ == "__main__":
    main()
