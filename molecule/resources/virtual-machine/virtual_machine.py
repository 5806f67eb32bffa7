#!/usr/bin/env python3
"""Keep a virtual machine running under QEMU, from its first boot over its reboots to its removal.

    start FOLDER MACHINE   MACHINE is JSON on the command line: {"name": "vm01", "image": "/…/virtual-machine-….raw",
                           "ssh_port": 22001, "files": "/…/hosts/vm01", "memory_mib": 2048}. Prints "started", or
                           nothing if that machine runs; one that differs is replaced, with a fresh disk
    stop FOLDER            ends it, removes FOLDER, and prints "stopped" if there was one

QEMU ends when the guest reboots. This program then takes the kernel and the initial RAM disk that the guest has now out
of its disk, which is what a boot loader does, and starts QEMU with them again. A file FOLDER/stay-off makes it wait
instead: that host does not come back until the file is gone.

    FOLDER/machine.json  what runs          FOLDER/disk.raw     its disk
    FOLDER/console.log   the serial console FOLDER/keeper.log   what this program has to say; keeper.pid: its process
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

QEMU = "qemu-system-x86_64"
# Shown to the guest by QEMU's user mode network.
COMMAND_LINE = "root=/dev/vda rw console=ttyS0 net.ifnames=0 systemd.show_status=no"


def debugfs(disk: Path, command: str) -> str:
    """Ask for something inside the file system of a disk that nobody has mounted."""
    answer = subprocess.run(["debugfs", "-R", command, str(disk)], check=True, capture_output=True, text=True)
    return answer.stdout


def take_kernel(disk: Path, folder: Path) -> None:
    """Copy the newest kernel of the disk and its initial RAM disk into the folder."""
    # What a shutdown left in the journal of the file system is not seen by debugfs.
    subprocess.run(["e2fsck", "-p", str(disk)], check=False, stdout=sys.stdout, stderr=sys.stdout)
    names = re.findall(r"/vmlinuz-([^/]+)/", debugfs(disk, "ls -p /boot"))
    newest = max(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])
    for name in ("vmlinuz", "initrd.img"):
        (folder / name).unlink(missing_ok=True)
        debugfs(disk, f"dump /boot/{name}-{newest} {folder / name}")
    print(f"{time.strftime('%H:%M:%S')} kernel {newest}", flush=True)


def qemu_command(machine: dict[str, Any], folder: Path) -> list[str]:
    return [
        *(QEMU, "-nodefaults", "-no-reboot", "-display", "none", "-machine", "q35", "-cpu", "qemu64,-svm", "-smp", "2"),
        # Software emulation: slow, and the same on every machine. A /dev/kvm that is there need not work.
        *("-accel", "tcg,thread=multi"),
        *("-name", f"opensora-site-{machine['name']}", "-m", f"{machine['memory_mib']}M"),
        *("-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd.img")),
        *("-append", f"{COMMAND_LINE} systemd.hostname={machine['name']}"),
        *("-chardev", f"file,id=console,append=on,path={folder / 'console.log'}", "-serial", "chardev:console"),
        *("-drive", f"file={folder / 'disk.raw'},format=raw,if=virtio,cache=unsafe,discard=unmap"),
        *("-netdev", f"user,id=network,hostfwd=tcp:127.0.0.1:{machine['ssh_port']}-:22"),
        *("-device", "virtio-net-pci,netdev=network", "-device", "virtio-rng-pci"),
        *("-fsdev", f"local,id=files,path={machine['files']},security_model=none,readonly=on"),
        *("-device", "virtio-9p-pci,fsdev=files,mount_tag=test-host"),
    ]


def keep(folder: Path, machine: dict[str, Any]) -> None:
    """Boot the machine, and boot it again each time it reboots, until somebody ends this process."""
    # Most of the disk is a hole.
    subprocess.run(["cp", "--sparse=always", machine["image"], str(folder / "disk.raw")], check=True)
    while True:
        while (folder / "stay-off").exists():
            time.sleep(1)
        take_kernel(folder / "disk.raw", folder)
        subprocess.run(qemu_command(machine, folder), check=True, stdin=subprocess.DEVNULL)
        print(f"{time.strftime('%H:%M:%S')} QEMU has ended", flush=True)


def keeper(folder: Path) -> int | None:
    """Return the process that keeps the machine of this folder, if it is alive."""
    try:
        number = int((folder / "keeper.pid").read_text(encoding="ascii"))
        command = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return number if str(folder).encode() in command else None


def stop(folder: Path) -> bool:
    """End the machine and remove its folder."""
    number = keeper(folder)
    if number is not None:
        # QEMU is in the same session.
        os.killpg(number, signal.SIGKILL)
        while keeper(folder) is not None:
            time.sleep(0.1)
    found = folder.exists()
    shutil.rmtree(folder, ignore_errors=True)
    return found


def start(folder: Path, machine: dict[str, Any]) -> bool:
    """Start the machine unless it runs."""
    text = json.dumps(machine, sort_keys=True)
    description = folder / "machine.json"
    if keeper(folder) is not None and description.read_text(encoding="utf-8") == text:
        return False
    stop(folder)
    folder.mkdir(parents=True)
    description.write_text(text, encoding="utf-8")
    with (folder / "keeper.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, __file__, "keep", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (folder / "keeper.pid").write_text(f"{process.pid}\n", encoding="ascii")
    return True


def main() -> None:
    action, folder = sys.argv[1], Path(sys.argv[2]).resolve()
    if action == "start":
        print("started" if start(folder, json.loads(sys.argv[3])) else "", end="")
    elif action == "stop":
        print("stopped" if stop(folder) else "", end="")
    elif action == "keep":
        keep(folder, json.loads((folder / "machine.json").read_text(encoding="utf-8")))
    else:
        sys.exit(f"virtual_machine.py: '{action}' is unknown, allowed is one of start, stop, keep")


if __name__ == "__main__":
    main()
