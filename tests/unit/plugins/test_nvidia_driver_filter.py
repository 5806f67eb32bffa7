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
