"""What is known of the driver's branches, and what is not guessed about unknown ones."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.driver_branches import (
    BRANCHES,
    branch_for_cuda,
    cuda_of,
    flavours_of,
    is_possible,
    known_branches,
    undriven,
)


@pytest.mark.parametrize(
    ("branch", "possible"),
    [
        ("535", True),
        ("580", True),
        ("620", True),
        ("621", True),  # newer than what is known here: the repository tells
        ("700", True),
        ("581", False),
        ("600", False),
        ("999", True),
        ("58", False),
        ("5800", False),
        ("", False),
        ("five", False),
    ],
)
def test_possible_branches(branch: str, possible: bool) -> None:
    assert is_possible(branch) is possible


def test_known_branches_name_the_supported_ones() -> None:
    assert "580 (long term, until June 2028)" in known_branches()
    assert "535" not in known_branches()


@pytest.mark.parametrize(
    ("branch", "cuda"), [("535", "12.2"), ("550", "12.4"), ("580", "13.0"), ("620", None), ("700", None)]
)
def test_cuda_version(branch: str, cuda: str | None) -> None:
    assert cuda_of(branch) == cuda


@pytest.mark.parametrize(
    ("needed", "branch"),
    [("12.2.2", "535"), ("12.3", "545"), ("12.8", "570"), ("12.10", "580"), ("13", "580"), ("99.0", None)],
)
def test_branch_for_cuda(needed: str, branch: str | None) -> None:
    assert branch_for_cuda(needed) == branch


def test_cuda_versions_rise_with_the_branches() -> None:
    versions = [tuple(map(int, known.cuda.split("."))) for known in BRANCHES.values() if known.cuda]
    assert versions == sorted(versions)


@pytest.mark.parametrize(
    ("branch", "generations", "unable"),
    [
        ("580", ["Maxwell", "Pascal", "Volta", "Turing", "Blackwell"], []),
        ("590", ["Volta", "Turing"], ["Volta"]),
        ("700", ["Pascal", "Blackwell", "Pascal"], ["Pascal"]),
        ("550", ["Blackwell", "Hopper"], ["Blackwell"]),
        ("570", ["Blackwell"], []),
        ("580", ["Kepler"], ["Kepler"]),
        ("470", ["Kepler"], []),
        ("620", [None, "Rubin"], []),  # a generation that is not known here is left to the driver
    ],
)
def test_generations(branch: str, generations: list[str | None], unable: list[str]) -> None:
    assert undriven(branch, generations) == unable


@pytest.mark.parametrize(
    ("branch", "flavours"), [("580", ("open", "proprietary")), ("615", ("open", "proprietary")), ("620", ("open",))]
)
def test_flavours(branch: str, flavours: tuple[str, ...]) -> None:
    assert flavours_of(branch) == flavours
