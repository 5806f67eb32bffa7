"""Which GPUs an expression selects, and what the message says when it doesn't."""

from __future__ import annotations

import jmespath
import pytest
from ansible.module_utils.opensora.gpu_selection import GpuSelectionError, select, selectable

SMALL = {
    "index": 0,
    "uuid": "GPU-small",
    "name": "NVIDIA A10",
    "pci_bus_id": "00000000:81:00.0",
    "memory_total_mib": 23028,
    "healthy": True,
    "mig": {"enabled": False, "devices": []},
}
LARGE = {**SMALL, "index": 1, "uuid": "GPU-large", "name": "NVIDIA H100", "memory_total_mib": 81559}
LARGE["pci_bus_id"] = "00000000:01:00.0"
UNKNOWN = {**SMALL, "index": 2, "uuid": "GPU-unknown", "memory_total_mib": None, "pci_bus_id": "00000000:91:00.0"}
BROKEN = {**SMALL, "index": 3, "uuid": "GPU-broken", "healthy": False}
DIVIDED = {
    **LARGE,
    "uuid": "GPU-divided",
    "mig": {
        "enabled": True,
        "devices": [{"uuid": "MIG-b", "profile": "3g.40gb"}, {"uuid": "MIG-a", "profile": "1g.10gb"}],
    },
}
NAMELESS = {**SMALL, "uuid": None}


@pytest.mark.parametrize(
    ("expression", "gpus", "expected"),
    [
        ("[*]", [SMALL, LARGE], ["GPU-large", "GPU-small"]),  # by bus, whatever the indices
        ("[*]", [LARGE, SMALL], ["GPU-large", "GPU-small"]),
        ("@", [SMALL], ["GPU-small"]),
        ("[0]", [SMALL, LARGE], ["GPU-small"]),
        ("[-1]", [SMALL, LARGE], ["GPU-large"]),
        ("[?index == `1`]", [SMALL, LARGE], ["GPU-large"]),
        ("[?memory_total_mib >= `40000`]", [SMALL, LARGE, UNKNOWN], ["GPU-large"]),
        ("[?memory_total_mib >= `20000`] | [:1]", [SMALL, LARGE], ["GPU-small"]),
        ("[?contains(name, 'H100')]", [SMALL, LARGE], ["GPU-large"]),
        ("[?healthy]", [SMALL, BROKEN], ["GPU-small"]),
        ("[*].uuid", [SMALL, LARGE], ["GPU-large", "GPU-small"]),
        ("[].mig.devices[]", [SMALL, DIVIDED], ["MIG-a", "MIG-b"]),
        ("[].mig.devices[] | [?profile == '1g.10gb']", [DIVIDED], ["MIG-a"]),
        ("[[?mig.enabled == `false`][], [].mig.devices[]][]", [SMALL, DIVIDED], ["MIG-a", "MIG-b", "GPU-small"]),
    ],
)
def test_selects(expression, gpus, expected):
    assert [gpu.uuid for gpu in select(expression, gpus, jmespath.search)] == expected


@pytest.mark.parametrize(
    ("expression", "gpus", "words"),
    [
        ("[?memory_total_mib > `90000`]", [SMALL, LARGE], ["selects no GPU", "90000"]),
        ("[*]", [], ["selects no GPU"]),
        ("[7]", [SMALL], ["selects no GPU"]),
        ("nothing", [SMALL], ["selects no GPU"]),
        ("[*].name", [SMALL], ["'NVIDIA A10'", "not a GPU"]),
        ("length(@)", [SMALL], ["selects 1", "not a GPU"]),
        ("[*].{uuid: 'GPU-elsewhere'}", [SMALL], ["not a GPU of this host"]),
        ("[[0], [0]]", [SMALL], ["GPU-small twice"]),
        ("[*]", [BROKEN], ["GPU-broken", "not healthy", "[?healthy]"]),
        ("[*]", [DIVIDED], ["GPU-divided", "MIG", "[].mig.devices[]"]),
        ("[*]", [NAMELESS], ["not a GPU"]),
        ("[?memory_total_mib > 90000]", [SMALL], ["character 22", "backticks"]),
        ("[?memory_total_mib", [SMALL], ["can't be evaluated as JMESPath"]),
        ("#", [SMALL], ["can't be evaluated as JMESPath", "character 1"]),
        ("no_such_function(@)", [SMALL], ["can't be evaluated", "no_such_function"]),
        ("sort_by(@, &mig)", [SMALL], ["can't be evaluated"]),
        ("", [SMALL], ["not a JMESPath expression"]),
        (0, [SMALL], ["0 is not a JMESPath expression"]),
        ([0], [SMALL], ["[0] is not a JMESPath expression"]),
    ],
)
def test_refuses(expression, gpus, words):
    with pytest.raises(GpuSelectionError) as caught:
        select(expression, gpus, jmespath.search)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert len(message.splitlines()) == 1


def test_says_what_there_is_to_select_from():
    assert selectable([SMALL, UNKNOWN, BROKEN, DIVIDED]) == (
        "index 0: GPU-small NVIDIA A10, 23028 MiB",
        "index 2: GPU-unknown NVIDIA A10, memory unknown",
        "index 3: GPU-broken NVIDIA A10, 23028 MiB, not healthy",
        "index 1: GPU-divided NVIDIA H100, 81559 MiB",
        "    MIG: MIG-b 3g.40gb",
        "    MIG: MIG-a 1g.10gb",
    )
    assert selectable([]) == ("the host shows no GPU",)
