"""A plan against what the repositories offer."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.opensora.driver_files import PIN_PATH
from ansible.module_utils.opensora.driver_offer import agreed_pin, offered_problems

MODULE, CUDA, FABRIC = "nvidia-kernel-open-dkms", "nvidia-driver-cuda", "nvidia-fabricmanager-580"
BOTH = ["580.178.04-1", "580.159.04-1"]
NEW = ["595.91.07-1", *BOTH]


def plan_with(version: str, packages: list[str]) -> dict[str, Any]:
    return {"index": {"url": "https://mirror.test/cuda", "packages": packages, "version": version}}


# wish, what is offered, code, words of the text
OFFERS: list[tuple[str, dict[str, list[str]], str, list[str]]] = [
    ("580", {MODULE: NEW, CUDA: NEW}, "", []),
    ("580.159.04", {MODULE: NEW, CUDA: NEW}, "", []),
    ("595", {MODULE: NEW, CUDA: NEW}, "", []),
    ("580", {MODULE: ["3:580.159.04-1.el9"], CUDA: ["3:580.159.04-1.el9"]}, "", []),
    ("621", {MODULE: NEW, CUDA: NEW}, "variable.invalid", ["nvidia_driver_branch", "'621'", "580, 595"]),
    (
        "580.200.01",
        {MODULE: NEW, CUDA: NEW},
        "variable.invalid",
        ["nvidia_driver_version", "'580.200.01'", "580.159.04, 580.178.04"],
    ),
    ("580.159.0", {MODULE: NEW, CUDA: NEW}, "variable.invalid", ["'580.159.0'"]),
    ("580", {MODULE: NEW}, "packages.not_offered", [CUDA, "https://mirror.test/cuda"]),
    ("580", {}, "packages.not_offered", [MODULE, CUDA]),
    # A mirror that was copied while the vendor published.
    ("580", {MODULE: BOTH, CUDA: BOTH[1:]}, "packages.not_offered", ['nvidia_driver_version: "580.159.04"']),
    ("580", {MODULE: BOTH[:1], CUDA: BOTH[1:]}, "packages.not_offered", ["no version that all packages share"]),
    ("580.178.04", {MODULE: BOTH, CUDA: BOTH[1:]}, "variable.invalid", [CUDA]),
]


@pytest.mark.parametrize(("wish", "offered", "code", "words"), OFFERS)
def test_offer(wish: str, offered: dict[str, list[str]], code: str, words: list[str]) -> None:
    found = offered_problems(plan_with(wish, [MODULE, CUDA]), offered)
    assert [problem.code for problem in found] == ([code] if code else [])
    text = "".join(problem.message + problem.next_action for problem in found)
    assert [word for word in words if word not in text] == []


def test_fabric_manager_that_lags_behind() -> None:
    offered = {MODULE: BOTH, CUDA: BOTH, FABRIC: BOTH[1:]}
    found = offered_problems(plan_with("580", [MODULE, CUDA, FABRIC]), offered)
    assert 'nvidia_driver_version: "580.159.04"' in found[0].next_action


def test_helpers_have_versions_of_their_own() -> None:
    offered = {MODULE: BOTH, "nvlsm": ["2025.03.1-1"]}
    assert offered_problems(plan_with("580", [MODULE, "nvlsm"]), offered) == []


def test_nothing_is_asked_without_an_index() -> None:
    assert offered_problems({"index": None}, {}) == []


DEBIAN = {
    "source": "distribution",
    "version": "",
    "packages": ["linux-headers-amd64", "nvidia-open-kernel-dkms", "nvidia-smi", "libcuda1", "nvidia-persistenced"],
}
SPLIT = {
    "linux-headers-amd64": ["6.1.140-1"],
    "nvidia-open-kernel-dkms": ["535.261.03-1"],
    "nvidia-smi": ["535.309.01-0+deb12u1", "535.261.03-1"],
    "libcuda1": ["535.309.01-0+deb12u1", "535.261.03-1"],
    "nvidia-persistenced": ["535.171.04-1"],
}


def test_security_updates_that_are_ahead_of_the_kernel_module() -> None:
    found = agreed_pin(DEBIAN, SPLIT)
    assert found is not None
    assert found["path"] == PIN_PATH
    assert "Pin: version 535.261.03-*" in found["text"]
    assert "release o=" not in found["text"]


@pytest.mark.parametrize(
    ("plan", "offered"),
    [
        (DEBIAN, {**SPLIT, "nvidia-smi": ["535.261.03-1"], "libcuda1": ["535.261.03-1"]}),
        (DEBIAN, {}),
        (DEBIAN, {**SPLIT, "nvidia-smi": ["535.309.01-1"], "libcuda1": ["535.309.01-1"]}),  # no pin can help
        ({**DEBIAN, "version": "535.261.03"}, SPLIT),
        ({**DEBIAN, "source": "vendor"}, SPLIT),
        ({**DEBIAN, "packages": ["nvidia-smi"]}, SPLIT),
    ],
)
def test_no_pin_is_needed(plan: dict[str, Any], offered: dict[str, list[str]]) -> None:
    assert agreed_pin(plan, offered) is None
