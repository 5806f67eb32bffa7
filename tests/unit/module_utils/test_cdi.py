"""Specifications of the Container Device Interface, read without a YAML library."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from ansible.module_utils.opensora.cdi import parse_specification

if TYPE_CHECKING:
    from pathlib import Path


def test_recorded(root: Path) -> None:
    text = (root / "tests/fixtures/hosts/h100-debian13/run/cdi/nvidia.yaml").read_text()
    assert parse_specification(text) == {
        "kind": "nvidia.com/gpu",
        "version": "0.5.0",
        "devices": ["0", "GPU-00000000-0000-4000-8000-000000000001", "all"],
        "driver_version": "580.159.04",
    }


def test_json() -> None:
    data = {
        "cdiVersion": "0.6.0",
        "kind": "nvidia.com/gpu",
        "devices": [{"name": "0"}, {"name": "all"}],
        "containerEdits": {"mounts": [{"hostPath": "/usr/lib/x86_64-linux-gnu/libcuda.so.570.172.08"}]},
    }
    parsed = parse_specification(json.dumps(data))
    assert (parsed["devices"], parsed["driver_version"], parsed["version"]) == (["0", "all"], "570.172.08", "0.6.0")


def test_other_layouts() -> None:
    text = (
        "kind: \"vendor.example/dev\"\ncdiVersion: '0.7.0'\ncontainerEdits:\n  env:\n  - name: not-a-device\n"
        "devices:\n- containerEdits:\n    deviceNodes:\n    - path: /dev/x\n      name: neither\n  name: first # one\n"
        "- name: second\n"
    )
    parsed = parse_specification(text)
    assert parsed == {
        "kind": "vendor.example/dev",
        "version": "0.7.0",
        "devices": ["first", "second"],
        "driver_version": None,
    }


def test_damaged() -> None:
    empty = {"kind": None, "version": None, "devices": [], "driver_version": None}
    assert parse_specification("") == empty
    assert parse_specification("{broken") == empty
    assert parse_specification("devices: []\n") == empty


@pytest.mark.parametrize(
    "text",
    ['{"kind": 1, "devices": 5}', '{"kind": "1", "devices": {"name": "0"}}', '{"kind": "1", "devices": [0, null]}'],
)
def test_json_of_another_shape(text: str) -> None:
    assert parse_specification(text) == {"kind": "1", "version": None, "devices": [], "driver_version": None}
