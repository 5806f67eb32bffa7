#!/usr/bin/env python3
"""Present GPUs that are not there: recorded trees over /sys and /proc, device nodes, data for the stand-in nvidia-smi.

Which GPUs a test host has stands in /etc/opensora-site-test-host/gpus.json: a list of objects with a `uuid`, and
optionally `minor` (the number in /dev/nvidiaN). The rest was recorded on a machine with one H100, repeated per GPU.
The list may be empty: a host without GPU and driver.

How far the driver is stands in /etc/opensora-site-test-host/driver:

    loaded            the recorded driver is loaded
    absent            the PCI bus has the cards, and there is no trace of a driver: no module, no nvidia-smi, no library
    follows-packages  like absent, until packages have built a module: then that one is loaded from this service's next
                      start on, so that restarting the service, or the host, is what a reboot is elsewhere
    kernel            a virtual machine: the modules are the kernel's own business. Shows the cards on the bus, loads
                      what udev would load for them, and gives nvidia-smi the version of what is loaded
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
RECORDED = HERE / "recorded"
GPUS = Path("/etc/opensora-site-test-host/gpus.json")
DRIVER = Path("/etc/opensora-site-test-host/driver")
# Mounted into containers by the CDI specification, with the stand-in nvidia-smi that reads it.
DATA = Path("/var/lib/gpu-stand-in")
TREES = Path("/run/gpu-stand-in")
RECORDED_UUID = "GPU-00000000-0000-4000-8000-000000000001"
RECORDED_BUS_ID = "00000000:00:06.0"
VERSION = "580.159.04"
MODULES = ("nvidia", "nvidia_uvm", "nvidia_modeset", "nvidia_drm")
NULL_DEVICE = os.makedev(1, 3)
SMI = Path("/usr/bin/nvidia-smi")
SMI_LINK = "../lib/gpu-stand-in/nvidia-smi"
LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
# What the bus of a machine with this card says to udev.
MODALIAS = "pci:v000010DEd00002330sv000010DEsd000016C1bc03sc02i00"
MODULE_FILES = ("nvidia.ko", "nvidia-current-open.ko", "nvidia-current.ko")


@dataclass(frozen=True)
class Driver:
    """A loaded driver: its version, and whether its kernel module is the open one."""

    version: str = VERSION
    is_open: bool = True


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def bus_address(index: int) -> str:
    """The PCI address of the n-th GPU: the recorded one and its neighbours."""
    return f"0000:00:{6 + index:02x}.0"


def pci_tree(root: Path, count: int, gpu_driver: str) -> None:
    """Lay out /sys/bus/pci: the recorded devices that are no GPU, then as many GPUs as wanted, with their driver."""
    devices = []
    for line in (RECORDED / "sys-bus-pci.txt").read_text(encoding="utf-8").splitlines():
        address, vendor, device, device_class, *driver = line.split()
        if vendor != "0x10de":
            devices.append((address, vendor, device, device_class, driver[0] if driver else ""))
        else:
            gpu = (vendor, device, device_class, gpu_driver)
    devices += [(bus_address(index), *gpu) for index in range(count)]
    (root / "drivers").mkdir(parents=True, exist_ok=True)
    for address, vendor, device, device_class, driver in devices:
        folder = root / "devices" / address
        for name, value in (("vendor", vendor), ("device", device), ("class", device_class), ("numa_node", "0")):
            write(folder / name, value + "\n")
        write(folder / "uevent", f"PCI_CLASS={device_class[2:]}\nPCI_ID={vendor[2:]}:{device[2:]}\n")
        if driver:
            (root / "drivers" / driver).mkdir(exist_ok=True)
            (folder / "driver").symlink_to(f"../../drivers/{driver}")
            (root / "drivers" / driver / address).symlink_to(f"../../devices/{address}")


def module_tree(root: Path, driver: Driver) -> None:
    """Lay out /sys/module: the names of the modules that are really there, and the driver's."""
    for module in Path("/sys/module").iterdir():
        (root / module.name).mkdir(parents=True, exist_ok=True)
    for name in MODULES:
        write(root / name / "version", driver.version + "\n")
        write(root / name / "initstate", "live\n")
        write(root / name / "refcnt", "1\n")
        write(root / name / "taint", "OE\n")
        (root / name / "parameters").mkdir(exist_ok=True)


def driver_tree(root: Path, gpus: list[dict[str, object]], driver: Driver) -> None:
    """Lay out /proc/driver as the kernel module does."""
    said = (RECORDED / "proc-driver-nvidia-version.txt").read_text(encoding="utf-8").replace(VERSION, driver.version)
    if not driver.is_open:
        said = said.replace("Open Kernel Module for x86_64", "x86_64 Kernel Module")
    write(root / "nvidia" / "version", said)
    write(root / "nvidia" / "params", 'EnableGpuFirmware: 18\nCoherentGPUMemoryMode: ""\n')
    for index, gpu in enumerate(gpus):
        write(
            root / "nvidia" / "gpus" / bus_address(index) / "information",
            "Model: \t\t NVIDIA H100 80GB HBM3\n"
            f"IRQ:   \t\t {40 + index}\nGPU UUID: \t {gpu['uuid']}\n"
            "Video BIOS: \t 96.00.da.00.0c\nBus Type: \t PCIe\nDMA Size: \t 52 bits\nDMA Mask: \t 0xfffffffffffff\n"
            f"Bus Location: \t {bus_address(index)}\nDevice Minor: \t {gpu['minor']}\n"
            f"GPU Firmware: \t {driver.version}\nGPU Excluded:\t No\n",
        )


def smi_data(root: Path, gpus: list[dict[str, object]], driver: Driver) -> None:
    """Cut the recorded output into head, one piece per GPU, and foot; nvidia-smi puts together what it may show."""
    recorded = (RECORDED / "nvidia-smi-580.xml").read_text(encoding="utf-8").replace(VERSION, driver.version)
    head, rest = recorded.split("\t<attached_gpus>", 1)
    piece = re.search(r"\t<gpu id=.*?\n\t</gpu>\n", rest, re.DOTALL)
    if piece is None:
        sys.exit("recorded/nvidia-smi-580.xml holds no <gpu>")
    write(root / "head.xml", head)
    write(root / "foot.xml", rest[piece.end() :].lstrip("\n"))
    for index, gpu in enumerate(gpus):
        bus_id = "0000" + bus_address(index)
        text = piece.group().replace(RECORDED_UUID, str(gpu["uuid"])).replace(RECORDED_BUS_ID, bus_id)
        text = re.sub(r"<pci_device>..<", f"<pci_device>{bus_id[12:14].upper()}<", text)
        text = re.sub(r"<minor_number>\d+<", f"<minor_number>{gpu['minor']}<", text)
        text = re.sub(r"<serial>\d+<", f"<serial>{1000000000001 + index}<", text)
        write(root / f"gpu{gpu['minor']}.xml", text)
        fields = {
            "uuid": gpu["uuid"],
            "gpu_uuid": gpu["uuid"],
            "name": "NVIDIA H100 80GB HBM3",
            "gpu_name": "NVIDIA H100 80GB HBM3",
            "driver_version": driver.version,
            "memory.total": "81559 MiB",
            "memory.reserved": "480 MiB",
            "memory.used": "0 MiB",
            "memory.free": "81079 MiB",
            "compute_cap": "9.0",
            "compute_mode": "Default",
            "pci.bus_id": bus_id,
            "gpu_bus_id": bus_id,
            "pci.device_id": "0x233010DE",
            "serial": 1000000000001 + index,
            "mig.mode.current": "Disabled",
            "mig.mode.pending": "Disabled",
            "persistence_mode": "Enabled",
            "pstate": "P0",
            "temperature.gpu": "42",
            "utilization.gpu": "0 %",
            "utilization.memory": "0 %",
            "power.draw": "70.00 W",
            "power.limit": "700.00 W",
            "ecc.mode.current": "Enabled",
            "ecc.errors.uncorrected.volatile.total": "0",
            "vbios_version": "96.00.DA.00.0C",
        }
        write(root / f"gpu{gpu['minor']}.fields", "".join(f"{name}={value}\n" for name, value in fields.items()))


def device_node(path: Path) -> None:
    if path.exists() and not stat.S_ISCHR(path.stat().st_mode):
        path.unlink()
    if not path.exists():
        os.mknod(path, 0o666 | stat.S_IFCHR, NULL_DEVICE)
    path.chmod(0o666)


def bind(tree: Path, target: str) -> None:
    if not Path(target).exists():
        print(f"{target} does not exist on this kernel: nothing to put the recorded {tree.name} over", file=sys.stderr)
        return
    subprocess.run(["mount", "--bind", str(tree), target], check=True)


def wanted_driver() -> str:
    return DRIVER.read_text(encoding="utf-8").strip() if DRIVER.exists() else "loaded"


def stop() -> None:
    for target in ("/proc/modules", "/proc/driver", "/sys/module", "/sys/bus/pci"):
        while subprocess.run(["umount", target], check=False, capture_output=True).returncode == 0:
            pass
    if wanted_driver() != "kernel":
        for node in Path("/dev").glob("nvidia*"):
            node.unlink()
    for folder in (TREES, DATA):
        shutil.rmtree(folder, ignore_errors=True)


def remove_baked_driver() -> None:
    """Remove what the image itself holds of the driver's user space, once; packages bring their own later."""
    if not (SMI.is_symlink() and str(SMI.readlink()) == SMI_LINK):
        return
    for library in ("libcuda", "libnvidia-ml"):
        for path in LIBRARIES.glob(f"{library}.so.*"):
            path.unlink()
    subprocess.run(["ldconfig"], check=True)
    SMI.unlink()


def built_driver() -> Driver | None:
    """Return the driver whose module packages have built, for the newest of the kernels that have one."""
    modules = Path("/lib/modules")
    built = [path for name in MODULE_FILES for path in modules.glob(f"*/updates/dkms/{name}*")]
    if not built:
        return None
    newest = max(built, key=lambda path: [int(number) for number in re.findall(r"\d+", path.parts[3])])

    def field(name: str) -> str:
        command = ["modinfo", "--field", name, str(newest)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    return Driver(field("version"), is_open="GPL" in field("license"))


def write_module() -> None:
    """Put a module of the recorded driver where DKMS would have put it for the running kernel."""
    kernel = os.uname().release
    modules = Path("/lib/modules") / kernel
    module = modules / "updates" / "dkms" / "nvidia.ko"
    subprocess.run([sys.executable, str(HERE / "elf.py"), "module", str(module), kernel], check=True)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        (modules / name).touch()
    subprocess.run(["depmod", kernel], check=True)


def loaded_module() -> str:
    """Load what udev would load for the card, and return what the kernel has then: nvidia, nouveau or nothing."""
    subprocess.run(["modprobe", "--quiet", "--use-blacklist", MODALIAS], check=False)
    return next((name for name in ("nvidia", "nouveau") if (Path("/sys/module") / name).is_dir()), "")


def present_kernel(gpus: list[dict[str, object]]) -> str:
    """Show what a module that is really loaded does not show without a card; return the name of that module."""
    module = loaded_module() if gpus else ""
    if module == "nvidia":
        version = Path("/sys/module/nvidia/version").read_text(encoding="utf-8").strip()
        is_open = "Open Kernel Module" in Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
        smi_data(DATA, gpus, Driver(version, is_open=is_open))
        for name in ("nvidiactl", *(f"nvidia{gpu['minor']}" for gpu in gpus)):
            device_node(Path("/dev") / name)
    return module


def present(gpus: list[dict[str, object]], driver: Driver) -> None:
    """Show the driver as loaded: its trees over /proc and /sys, its device nodes, and what nvidia-smi reads."""
    module_tree(TREES / "module", driver)
    driver_tree(TREES / "driver", gpus, driver)
    smi_data(DATA, gpus, driver)
    loaded = Path("/proc/modules")
    if loaded.exists():
        lines = "".join(f"{name} 1000000 1 - Live 0x0000000000000000 (OE)\n" for name in MODULES)
        write(TREES / "modules", lines + loaded.read_text(encoding="utf-8"))
        bind(TREES / "modules", "/proc/modules")
    bind(TREES / "module", "/sys/module")
    bind(TREES / "driver", "/proc/driver")
    for name in ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", *(f"nvidia{gpu['minor']}" for gpu in gpus)):
        device_node(Path("/dev") / name)


def start() -> None:
    stop()
    gpus = json.loads(GPUS.read_text(encoding="utf-8")) if GPUS.exists() else []
    for index, gpu in enumerate(gpus):
        gpu.setdefault("minor", index)
    wanted = wanted_driver()
    if wanted == "loaded":
        driver: Driver | None = Driver()
    elif wanted in ("absent", "follows-packages"):
        remove_baked_driver()
        driver = built_driver() if wanted == "follows-packages" else None
    elif wanted == "kernel":
        driver = None
    else:
        sys.exit(f"{DRIVER} is '{wanted}', allowed is one of loaded, absent, follows-packages, kernel")
    pci_tree(TREES / "pci", len(gpus), present_kernel(gpus) if wanted == "kernel" else "nvidia" if driver else "")
    bind(TREES / "pci", "/sys/bus/pci")
    if not gpus or driver is None:
        return
    present(gpus, driver)
    if wanted == "loaded":
        write_module()


if __name__ == "__main__":
    {"start": start, "stop": stop}[sys.argv[1]]()
