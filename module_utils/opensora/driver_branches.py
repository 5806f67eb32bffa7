# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The branches of the NVIDIA driver: how long they live, what they drive, which CUDA version they run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible.module_utils.opensora.version_number import major_minor

if TYPE_CHECKING:
    from collections.abc import Iterable

# Generations of GPUs in the order of their appearance, as nvidia-smi names them.
_GENERATIONS = (
    "Kepler",
    "Maxwell",
    "Pascal",
    "Volta",
    "Turing",
    "Ampere",
    "Ada Lovelace",
    "Hopper",
    "Blackwell",
)
# From NVIDIA's release notes: 470 was the last branch for Kepler, 580 for Maxwell to Volta; 570 was the first for
# Blackwell, 590 the first whose packages on Ubuntu don't carry the branch in their names, 620 the first without the
# proprietary kernel module.
_AFTER_KEPLER = 495
_AFTER_VOLTA = 590
_FIRST_BLACKWELL = 570
FIRST_UNBRANCHED = 590
_OPEN_ONLY = 620


@dataclass(frozen=True)
class Branch:
    """What NVIDIA says of a branch.

    Attributes:
        kind: ``long term``, ``production`` or ``new feature``.
        end_of_life: Month of the last update, empty where it is not announced.
        supported: Whether it still gets updates, as of November 2026.
        cuda: Newest CUDA version that it runs without the forward compatibility packages; null where it is not known.
    """

    kind: str
    end_of_life: str
    supported: bool
    cuda: str | None


# Kinds and dates from NVIDIA's list of data centre drivers, CUDA versions from its table of toolkits and drivers
# and what nvidia-smi of the branch reports.
BRANCHES = {
    "535": Branch("long term", "June 2026", supported=False, cuda="12.2"),
    "545": Branch("new feature", "", supported=False, cuda="12.3"),
    "550": Branch("production", "", supported=False, cuda="12.4"),
    "555": Branch("new feature", "", supported=False, cuda="12.5"),
    "560": Branch("new feature", "", supported=False, cuda="12.6"),
    "565": Branch("new feature", "", supported=False, cuda="12.7"),
    "570": Branch("production", "", supported=False, cuda="12.8"),
    "575": Branch("new feature", "", supported=False, cuda="12.9"),
    "580": Branch("long term", "June 2028", supported=True, cuda="13.0"),
    "590": Branch("new feature", "", supported=False, cuda="13.1"),
    "595": Branch("production", "March 2027", supported=True, cuda="13.2"),
    "610": Branch("new feature", "August 2026", supported=False, cuda="13.3"),
    "615": Branch("new feature", "", supported=True, cuda=None),
    "620": Branch("long term", "September 2029", supported=True, cuda=None),
}
_NEWEST = max(int(name) for name in BRANCHES)


def is_possible(branch: str) -> bool:
    """Say whether a branch is known, or newer than what is known here, so that only the repository can tell."""
    return bool(re.fullmatch(r"\d{3}", branch)) and (branch in BRANCHES or int(branch) > _NEWEST)


def known_branches() -> str:
    """Return the branches that still get updates, for a message."""
    return ", ".join(
        f"{name} ({branch.kind}{f', until {branch.end_of_life}' if branch.end_of_life else ''})"
        for name, branch in BRANCHES.items()
        if branch.supported
    )


def cuda_of(branch: str) -> str | None:
    """Return the newest CUDA version that a branch runs, or null where that is not known."""
    known = BRANCHES.get(branch)
    return known.cuda if known else None


def branch_for_cuda(needed: str) -> str | None:
    """Return the first branch that is known to run a CUDA version, or null.

    Args:
        needed: Version such as ``12.8``.

    Raises:
        ValueError: The text is no version.
    """
    wanted = major_minor(needed)
    return next((name for name, known in BRANCHES.items() if known.cuda and major_minor(known.cuda) >= wanted), None)


def undriven(branch: str, generations: Iterable[str | None]) -> list[str]:
    """Return those of some generations that a branch does not drive; an unknown generation is left to the driver.

    Args:
        branch: Driver branch.
        generations: Generations of the cards, null for an unknown one.
    """
    number = int(branch)
    first = "Kepler"
    if number >= _AFTER_KEPLER:
        first = "Maxwell"
    if number >= _AFTER_VOLTA:
        first = "Turing"
    driven = set(_GENERATIONS[_GENERATIONS.index(first) :])
    if number < _FIRST_BLACKWELL:
        driven.discard("Blackwell")
    return sorted({name for name in generations if name in _GENERATIONS and name not in driven})


def flavours_of(branch: str) -> tuple[str, ...]:
    """Return the kernel module flavours that a branch comes in."""
    return ("open",) if int(branch) >= _OPEN_ONLY else ("open", "proprietary")
