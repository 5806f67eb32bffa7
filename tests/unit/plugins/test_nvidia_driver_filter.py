"""The filters take what templates hand over and return plain data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ansible.module_utils.opensora.command_runner import command_runner
from ansible.module_utils.opensora.gpu_host import read_gpu_host
from ansible.module_utils.opensora.host_probe import HostProbe
from filter import nvidia_driver

if TYPE_CHECKING:
    from pathlib import Path


def test_filters(root: Path) -> None:
    folder = str(root / "tests/fixtures/hosts/half-configured")
    probe = HostProbe(folder, command_runner(folder, {}, {}, 10.0))
    host = read_gpu_host(probe, wanted={}, paths=[], sdk_directory=None)
    filters = nvidia_driver.FilterModule().filters()
    plan = filters["nvidia_driver_plan"](
        host, {"source": "preinstalled", "flavour": "auto", "missing_gpu": "fail", "reboot": True}
    )
    assert json.loads(json.dumps(plan))["action"] == "repair_packages"
    assert "too few arguments" in filters["nvidia_driver_failed_build"](host, "open")
    assert filters["nvidia_driver_leftovers"](host, host) == ["nvidia-open-kernel-dkms"]


def test_offer_filters() -> None:
    filters = nvidia_driver.FilterModule().filters()
    plan = {"index": {"url": "https://mirror.test", "packages": ["libcuda1"], "version": "580"}}
    found = filters["nvidia_driver_offered"](plan, {"libcuda1": ["595.91.07-1"]})
    assert json.loads(json.dumps(found))[0]["code"] == "variable.invalid"
    listed = (
        "nvidia-open-kernel-dkms | 535.261.03-1 | http://deb.test bookworm/contrib amd64 Packages\n"
        "libcuda1 | 535.309.01-0+deb12u1 | http://deb.test bookworm-security/non-free amd64 Packages\n"
        "libcuda1 | 535.261.03-1 | http://deb.test bookworm/non-free amd64 Packages\n"
    )
    wish = {"source": "distribution", "version": "", "packages": ["nvidia-open-kernel-dkms", "libcuda1"]}
    assert "535.261.03-*" in filters["nvidia_driver_agreed_pin"](wish, listed)[0]["text"]
    assert filters["nvidia_driver_agreed_pin"](wish, "") == []
