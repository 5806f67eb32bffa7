#!/usr/bin/python
# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Describe a GPU host from PCI bus to disk in one round trip."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_host_info
short_description: Describe a GPU host from PCI bus to disk in one round trip
description:
  - Reads PCI bus, firmware, kernel modules, driver, fabric, container toolkit, container engine, packages, apt sources
    and disk, and decides what the driver needs next.
  - Changes nothing and is safe on every host, also on one that is half broken or has none of these things.
  - Something that cannot be known is null; it is never 0 and never a guess.
  - Every command has a time limit and runs only where it exists.
author:
  - The opensora-site authors (!UNKNOWN)
options:
  probe_root:
    description:
      - Folder that holds the host's files. Where it is not V(/), commands are taken only from the folders
        C(usr/sbin), C(usr/bin), C(sbin) and C(bin) below it, so that a folder of recorded files is a whole host.
    type: path
    default: /
  wanted:
    description:
      - What the inventory wants; the driver's next action is decided against it. Unset keys are not compared.
    type: dict
    default: {}
    suboptions:
      driver_source:
        description: Where the driver comes from, V(vendor), V(distribution) or V(preinstalled).
        type: str
      driver_branch:
        description: Driver branch such as V(580); only compared where O(wanted.driver_source=vendor).
        type: str
      driver_version:
        description: Exact driver version.
        type: str
      driver_flavour:
        description: Kernel module flavour, V(auto), V(open) or V(proprietary).
        type: str
      minimum_memory_mib:
        description: Memory that a GPU must have, in MiB; GPUs with less are named as a problem.
        type: int
      cuda_version:
        description: CUDA version that the image needs, such as V(12.2.2); an older driver is named as a problem.
        type: str
      minimum_free_bytes:
        description: Free bytes that the engine's file system must have.
        type: int
      minimum_free_inodes:
        description: Free inodes that the engine's file system must have.
        type: int
      minimum_compose_version:
        description: Version that the compose plugin must have.
        type: str
      minimum_buildx_version:
        description: Version that the buildx plugin must have.
        type: str
  paths:
    description:
      - Paths whose free bytes and inodes are measured, besides the engine's data root; where one does not exist the
        nearest folder above it is measured.
    type: list
    elements: path
    default: []
  sdk_directory:
    description: Virtual environment whose Docker SDK packages are listed.
    type: path
  control_time:
    description:
      - The control node's time in seconds since 1970, with which the host's clock is compared. A host that is only a
        folder has no clock.
    type: float
  docker_host:
    description: Address of the engine; the command-line client's own context never decides.
    type: str
    default: unix:///var/run/docker.sock
attributes:
  check_mode:
    description: Reads only, so that check mode and normal mode are the same.
    support: full
  diff_mode:
    description: Has nothing to show, because nothing changes.
    support: N/A
  idempotent:
    description: Changes nothing.
    support: full
"""

EXAMPLES = r"""
- name: Read the host
  gpu_host_info:
    wanted:
      driver_source: preinstalled
    paths: [/srv/opensora]
  register: host

- name: Read a recorded host
  gpu_host_info:
    probe_root: tests/fixtures/hosts/h100-debian13
"""

RETURN = r"""
gpu_host:
  description: The host. Lists and dictionaries are empty where there is none of a thing, values are null where unknown.
  returned: always
  type: dict
  contains:
    os:
      description:
        - The system, with C(id), C(id_like), C(family) (V(debian), V(redhat) or V(other)), C(repository_id) and
          C(codename) (of the distribution whose packages it uses), C(name), C(version), C(major), C(arch),
          C(deb_arch), C(kernel).
      type: dict
      returned: always
    python:
      description: Interpreter that ran the module, with C(executable) and C(version).
      type: dict
      returned: always
    boot_id:
      description: Identifier of this boot, which changes with every boot.
      type: str
      returned: always
    clock_ahead_seconds:
      description: Seconds by which the host's clock is ahead of O(control_time), null where unknown.
      type: int
      returned: always
    uptime_seconds:
      description: Seconds since the host booted.
      type: int
      returned: always
    cpu_count:
      description: Number of processors.
      type: int
      returned: always
    memory_total_bytes:
      description: Main memory in bytes.
      type: int
      returned: always
    reboot_required:
      description: Whether the distribution says that an update waits for a reboot.
      type: bool
      returned: always
    firewall:
      description: Whether ufw is on, as C(ufw_active); published container ports pass it by.
      type: dict
      returned: always
    secure_boot:
      description: Whether the firmware accepts signed kernel modules only.
      type: bool
      returned: always
    signing_key:
      description:
        - The key that DKMS signs modules with (C(path)) and whether the firmware knows it (C(enrolled)). Only read
          where RV(gpu_host.secure_boot) is true.
      type: dict
      returned: always
    kernels:
      description:
        - The running kernel and, where it is another one, the newest installed. Each has C(release), C(running),
          C(next_boot), C(bootable), C(headers) with C(headers_package), the NVIDIA C(module) on the disk, the state of
          each NVIDIA module in C(dkms) (V(installed), V(built) or V(added)), and C(initramfs_modified), when its
          initial RAM disk was last written (seconds since 1970).
      type: list
      elements: dict
      returned: always
    nouveau_loaded:
      description: Whether the kernel's own driver for NVIDIA cards is loaded.
      type: bool
      returned: always
    uvm_available:
      description: Whether unified memory, which every CUDA program needs, can be used.
      type: bool
      returned: always
    pci_gpu_count:
      description: Number of GPUs in RV(gpu_host.pci_gpus).
      type: int
      returned: always
    pci_gpus:
      description: NVIDIA display controllers on the bus, seen without any driver.
      type: list
      elements: dict
      returned: always
    gpus:
      description: GPUs that the driver shows.
      type: list
      elements: dict
      returned: always
      sample:
        - index: 0
          uuid: GPU-00000000-0000-4000-8000-000000000001
          name: NVIDIA H100 80GB HBM3
          architecture: Hopper
          pci_bus_id: "0000:00:06.0"
          memory_total_mib: 81559
          compute_capability: "9.0"
          persistence_mode: true
          fabric: {state: Completed, status: Success}
          mig: {enabled: false, pending: false, devices: []}
          healthy: true
    driver:
      description:
        - Driver version in the packages (C(installed)), of the module C(on_disk) and C(loaded), of the libraries that
          programs get (C(userspace)), C(flavour), C(cuda_max), whether NVIDIA's own installation program brought it
          (C(runfile)), and the next C(action) with its C(reason) and the broken C(layer).
        - Also C(required_flavour), C(modules), C(module_packages), C(broken_packages), C(held_packages),
          C(build_failures) with the compiler's own lines, and C(smi_error), what nvidia-smi said instead of an answer.
      type: dict
      returned: always
    driver_files:
      description: Text and time of change of each file that the role nvidia_driver keeps; null where there is none.
      type: dict
      returned: always
    persistence:
      description: Whether the persistence daemon is C(installed), C(enabled), C(running), and C(mode) is on everywhere.
      type: dict
      returned: always
    fabric:
      description:
        - Whether the switches of the host need a fabric manager (C(required)) and, with C(nvlink5), a
          C(subnet_manager), what is there of them, and the C(states) of the GPUs.
      type: dict
      returned: always
    services:
      description:
        - Units that driver and engine depend on, each with C(load), C(active), C(enabled) and C(since) (seconds since
          1970). Empty without systemd.
      type: dict
      returned: always
      sample:
        docker.service: {load: loaded, active: active, enabled: enabled, since: 1764062400}
    toolkit:
      description:
        - NVIDIA Container Toolkit with C(version), C(packages), C(installed_at) (seconds since 1970) and the
          specifications of the Container Device Interface on the host (C(cdi_specs)).
      type: dict
      returned: always
    engine:
      description:
        - Container engine with versions, plugins, runtimes, data root, C(started_at), C(daemon_config) (what the
          engine's file says and its C(fingerprint), in which each value is a digest, or the C(error) with line and
          column), C(runtime_binary_missing), C(command_paths) and the SDK's virtual environment.
      type: dict
      returned: always
    session:
      description:
        - Who asked the engine, with C(user), C(groups) and the members of C(docker_group); null unless the engine
          refused the connection.
      type: dict
      returned: always
    packages:
      description: Packages of driver, toolkit, engine and kernel, each with C(version) and the C(status) of dpkg.
      type: dict
      returned: always
    package_manager:
      description:
        - C(kind), C(lock_holders) (C(pid), C(command), C(path)), whether a change was C(interrupted), all C(broken)
          packages and the C(held) ones of RV(gpu_host.packages).
      type: dict
      returned: always
    cloud_init:
      description: Whether cloud-init is C(installed), and its C(status), how far it is with the first boot.
      type: dict
      returned: always
    site_trust:
      description:
        - C(files), the files that the role site_trust owns with the digest of each, and C(can_update), whether the
          program that updates the system's bundle of certificates is there.
      type: dict
      returned: always
    apt_sources:
      description: Package sources of apt in both file formats.
      type: list
      elements: dict
      returned: always
    apt_unreadable:
      description: Lines of source files at which apt stops.
      type: list
      elements: dict
      returned: always
    disk:
      description: Free bytes and inodes of the engine's data root and of O(paths).
      type: list
      elements: dict
      returned: always
    problems:
      description: What is wrong, deepest layer first.
      type: list
      elements: dict
      returned: always
"""

import sys
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.opensora.command_runner import command_runner
from ansible.module_utils.opensora.gpu_host import read_gpu_host
from ansible.module_utils.opensora.host_probe import HostProbe

# Seconds. nvidia-smi initialises every card first where no persistence daemon runs, which takes seconds a card.
_LIMITS = {"nvidia-smi": 45.0, "rpm": 30.0}
_LIMIT = 15.0

ARGUMENT_SPEC = {
    "probe_root": {"type": "path", "default": "/"},
    "wanted": {
        "type": "dict",
        "default": {},
        "options": {
            "driver_source": {"type": "str"},
            "driver_branch": {"type": "str"},
            "driver_version": {"type": "str"},
            "driver_flavour": {"type": "str"},
            "minimum_memory_mib": {"type": "int"},
            "cuda_version": {"type": "str"},
            "minimum_free_bytes": {"type": "int"},
            "minimum_free_inodes": {"type": "int"},
            "minimum_compose_version": {"type": "str"},
            "minimum_buildx_version": {"type": "str"},
        },
    },
    "paths": {"type": "list", "elements": "path", "default": []},
    "sdk_directory": {"type": "path"},
    "control_time": {"type": "float"},
    "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    options = module.params
    root = options["probe_root"]
    run = command_runner(root, {"DOCKER_HOST": options["docker_host"], "TZ": "UTC"}, _LIMITS, _LIMIT)
    host = read_gpu_host(
        HostProbe(root, run),
        wanted=options["wanted"] or {},
        paths=options["paths"],
        sdk_directory=options["sdk_directory"],
    )
    host["python"] = {"executable": sys.executable, "version": sys.version.split()[0]}
    given = options["control_time"] if root == "/" else None
    host["clock_ahead_seconds"] = None if given is None else round(time.time() - given)
    module.exit_json(changed=False, gpu_host=host)


if __name__ == "__main__":
    main()
