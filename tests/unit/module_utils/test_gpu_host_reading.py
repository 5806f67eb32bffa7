"""One round of commands, and what is read where a host is half broken."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.opensora.gpu_host import read_gpu_host
from ansible.module_utils.opensora.host_probe import CommandResult

XML = (
    "<?xml version='1.0' ?><nvidia_smi_log><driver_version>580.159.04</driver_version>"
    "<gpu id='00000000:3B:00.0'><uuid>GPU-1</uuid></gpu></nvidia_smi_log>"
)
LOST = "Unable to determine the device handle for GPU0000:5E:00.0: Unknown Error"
FAILED = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."


def read(recorded: Any) -> dict[str, Any]:
    return read_gpu_host(recorded, wanted={}, paths=(), sdk_directory=None)


@pytest.mark.parametrize(
    ("answer", "gpus", "error"),
    [
        (CommandResult(0, XML), ["GPU-1"], None),
        (CommandResult(0, XML, LOST), ["GPU-1"], None),
        (CommandResult(15, f"{LOST}\n{XML}"), ["GPU-1"], LOST),
        (CommandResult(9, FAILED), [], FAILED),
        (CommandResult(9, "", FAILED), [], FAILED),
        (CommandResult(9, "\n", f"{LOST}\n\n{FAILED}\n"), [], f"{LOST}\n{FAILED}"),
        (CommandResult(6, "No devices were found"), [], "No devices were found"),
        (CommandResult(0), [], "nvidia-smi printed nothing"),
        (CommandResult(timed_out=True), [], "nvidia-smi did not answer in time"),
        (CommandResult(126, "", "Exec format error"), [], "Exec format error"),
        (CommandResult(), [], None),
    ],
)
def test_nvidia_smi(recorded: Any, answer: CommandResult, gpus: list[str], error: str | None) -> None:
    recorded.answers["nvidia-smi"] = answer
    host = read(recorded)
    assert [gpu["uuid"] for gpu in host["gpus"]] == gpus
    assert host["driver"]["smi_error"] == error


def test_commands_of_a_bare_host(recorded: Any) -> None:
    recorded.write("/etc/os-release", "ID=debian\n")
    read(recorded)
    asked = sorted(argv[0] for argv in recorded.asked)
    assert asked == ["df", "docker", "docker", "docker", "docker", "lslocks", "nvidia-smi", "nvidia-smi", "systemctl"]


@pytest.mark.parametrize(
    ("result", "asked", "status"),
    [(None, True, "running"), ('{"v1": {"errors": []}}', False, "done"), ("{", True, "running")],
)
def test_cloud_init_is_asked_only_while_its_files_do_not_tell(
    recorded: Any, result: str | None, asked: bool, status: str
) -> None:
    recorded.write("/usr/bin/cloud-init")
    recorded.answers["cloud-init"] = CommandResult(0, "status: running\n")
    if result is not None:
        recorded.write("/run/cloud-init/result.json", result)
    assert read(recorded)["cloud_init"] == {"installed": True, "status": status}
    assert (("cloud-init", "status") in recorded.asked) is asked


def test_cloud_init_that_does_not_answer(recorded: Any) -> None:
    recorded.write("/usr/bin/cloud-init")
    recorded.answers["cloud-init"] = CommandResult(timed_out=True)
    assert read(recorded)["cloud_init"] == {"installed": True, "status": None}


def test_key_is_tested_with_secure_boot_alone(recorded: Any) -> None:
    recorded.write("/var/lib/dkms/mok.pub")
    recorded.answers["mokutil"] = CommandResult(1, "/var/lib/dkms/mok.pub is already enrolled\n")
    assert read(recorded)["signing_key"] == {"path": None, "enrolled": None}
    variable = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    recorded.write(variable, b"\x06\0\0\0\x01")
    assert read(recorded)["signing_key"] == {"path": "/var/lib/dkms/mok.pub", "enrolled": True}


def test_module_that_nvidia_smi_loads(recorded: Any) -> None:
    """The bus is described as it is after the commands."""
    folder = "/sys/bus/pci/devices/0000:3b:00.0"
    for name, text in (("vendor", "0x10de"), ("device", "0x2235"), ("class", "0x030200")):
        recorded.write(f"{folder}/{name}", text)
    original = recorded.run

    def load(argv: Any) -> CommandResult:
        if argv[0] == "nvidia-smi":
            recorded.write(f"{folder}/driver", "nvidia")
        return original(argv)

    recorded.run = load
    assert read(recorded)["pci_gpus"][0]["driver"] == "nvidia"


def test_session_is_asked_after_a_refusal_alone(recorded: Any) -> None:
    recorded.write("/usr/bin/docker")
    recorded.write("/etc/group", "docker:x:998:ada\n")
    recorded.answers["id"] = CommandResult(0, "ada\n")
    recorded.answers["docker"] = CommandResult(1, "", "Cannot connect to the Docker daemon")
    assert read(recorded)["session"] is None
    recorded.answers["docker"] = CommandResult(1, "", "permission denied while trying to connect to the docker API")
    assert read(recorded)["session"] == {"user": "ada", "groups": ["ada"], "docker_group": ["ada"]}


def test_engine_start(recorded: Any) -> None:
    recorded.answers["systemctl"] = CommandResult(
        0, "Id=docker.service\nLoadState=loaded\nActiveState=active\nActiveEnterTimestamp=Tue 2025-11-25 09:20:00 UTC\n"
    )
    assert read(recorded)["engine"]["started_at"] == 1764062400


def test_runfile_counts_without_packages_alone(recorded: Any) -> None:
    recorded.write("/etc/os-release", "ID=debian\n")
    recorded.write("/usr/bin/nvidia-uninstall")
    assert read(recorded)["driver"]["runfile"] is True
    status = "Package: nvidia-kernel-open-dkms\nStatus: install ok installed\nVersion: 580.159.04-1\n"
    recorded.write("/var/lib/dpkg/status", status)
    assert read(recorded)["driver"]["runfile"] is False
