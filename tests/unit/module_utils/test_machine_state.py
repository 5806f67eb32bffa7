"""Firmware, keys and the figures of the machine."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.opensora.host_probe import NOT_RUN, CommandResult
from ansible.module_utils.opensora.machine_state import (
    describe_machine,
    describe_signing_key,
    read_secure_boot,
    signing_key_path,
)

VARIABLE = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


@pytest.mark.parametrize(
    ("content", "state"), [(b"\x06\0\0\0\x01", True), (b"\x06\0\0\0\0", False), (b"\x06\0", None), (None, None)]
)
def test_secure_boot(recorded: Any, content: bytes | None, state: bool | None) -> None:
    recorded.write("/sys/firmware/efi/systab")
    if content is not None:
        recorded.write(VARIABLE, content)
    assert read_secure_boot(recorded) is state


def test_host_without_efi(recorded: Any) -> None:
    assert read_secure_boot(recorded) is False


def test_key_is_looked_for_with_secure_boot_alone(recorded: Any) -> None:
    assert signing_key_path(recorded, secure_boot=True) is None
    recorded.write("/var/lib/dkms/mok.pub")
    assert signing_key_path(recorded, secure_boot=True) == "/var/lib/dkms/mok.pub"
    recorded.write("/var/lib/shim-signed/mok/MOK.der")
    assert signing_key_path(recorded, secure_boot=True) == "/var/lib/shim-signed/mok/MOK.der"
    assert signing_key_path(recorded, secure_boot=False) is None
    assert signing_key_path(recorded, secure_boot=None) is None


@pytest.mark.parametrize(
    ("answer", "enrolled"),
    [
        (CommandResult(1, "/var/lib/dkms/mok.pub is already enrolled\n"), True),
        (CommandResult(0, "/var/lib/dkms/mok.pub is not enrolled\n"), False),
        (CommandResult(timed_out=True), None),
        (NOT_RUN, None),
        (None, None),
    ],
)
def test_enrolled(answer: CommandResult | None, enrolled: bool | None) -> None:
    assert describe_signing_key("/k", answer) == {"path": "/k", "enrolled": enrolled}


def test_figures(recorded: Any) -> None:
    recorded.write("/proc/uptime", "86400.51 170000.00\n")
    recorded.write("/proc/meminfo", "MemTotal:       263000000 kB\nMemFree: 1 kB\n")
    recorded.write("/proc/cpuinfo", "processor\t: 0\nmodel name\t: x\n\nprocessor\t: 1\n")
    recorded.write("/run/reboot-required")
    recorded.write("/etc/ufw/ufw.conf", "# ENABLED=no\nENABLED=yes\n")
    found = describe_machine(recorded, secure_boot=True)
    assert (found["uptime_seconds"], found["memory_total_bytes"], found["cpu_count"]) == (86400, 263000000 * 1024, 2)
    assert (found["secure_boot"], found["reboot_required"], found["firewall"]) == (True, True, {"ufw_active": True})


def test_figures_of_nothing(recorded: Any) -> None:
    recorded.write("/proc/uptime", "soon")
    recorded.write("/proc/meminfo", "MemTotal: much\n")
    found = describe_machine(recorded, secure_boot=None)
    assert {found[key] for key in ("boot_id", "uptime_seconds", "memory_total_bytes", "cpu_count")} == {None}
    assert (found["reboot_required"], found["firewall"]) == (False, {"ufw_active": None})
