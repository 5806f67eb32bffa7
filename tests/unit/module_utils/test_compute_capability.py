# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.compute_capability import (
    all_capabilities,
    card_capabilities,
    has_kernels,
    kernel_problems,
)

UPSTREAM = ["5.0", "6.0", "7.0", "7.5", "8.0", "8.6", "9.0"]


@pytest.mark.parametrize(
    ("capability", "kernels", "runs"),
    [
        ("9.0", UPSTREAM, True),
        ("8.9", UPSTREAM, True),
        ("8.7", ["8.0"], True),
        ("8.0", ["8.6"], False),
        ("12.0", UPSTREAM, False),
        ("10.0", [*UPSTREAM, "9.0+PTX"], True),
        ("12.1", ["12.0"], True),
        ("12.0", ["10.0"], False),
        ("11.0", ["10.0", "12.0"], False),
        ("6.1", ["7.0"], False),
    ],
)
def test_kernels(capability, kernels, runs):
    assert has_kernels(capability, kernels) is runs


def test_the_driver_knows_better_than_the_bus():
    on_bus = [{"architecture": "Blackwell", "device_id": "0x2901"}]
    assert card_capabilities({"pci_gpus": on_bus}) == {"Blackwell card (0x2901)": ("10.0", "10.3", "12.0")}
    assert card_capabilities({"pci_gpus": on_bus, "gpus": [{"name": "B200", "compute_capability": "10.0"}]}) == {
        "B200": ("10.0",)
    }
    # A card that no table knows is not judged.
    assert card_capabilities({"pci_gpus": [{"architecture": None, "device_id": "0xffff"}]}) == {}


def test_a_card_without_driver_is_refused_when_none_of_its_generation_fits():
    host = {"gpus": [], "pci_gpus": [{"architecture": "Blackwell", "device_id": "0x2b85"}]}
    (problem,) = kernel_problems(host, UPSTREAM, "torch==2.4.0")
    assert (problem.layer, problem.code) == ("image", "image.no_kernels_for_card")
    assert "Blackwell card (0x2b85)" in problem.message
    assert "opensora_image_stack: current" in problem.next_action
    assert kernel_problems(host, ["12.0"], "torch") == []
    assert kernel_problems(host, [], "torch") == []


def test_union_over_hosts():
    hosts = [
        {"gpus": [{"name": "H100", "compute_capability": "9.0"}, {"name": "A100", "compute_capability": "8.0"}]},
        {"gpus": [{"name": "RTX", "compute_capability": "12.0"}]},
        {"gpus": []},
    ]
    assert all_capabilities(hosts) == ["8.0", "9.0", "12.0"]
