# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Compute capabilities of the cards that were found, and whether a PyTorch has kernels for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

# What a generation's cards have, from NVIDIA's table of CUDA GPUs. Used while no driver runs that knows the card's own.
_OF_ARCHITECTURE = {
    "Maxwell": ("5.0", "5.2"),
    "Pascal": ("6.0", "6.1"),
    "Volta": ("7.0",),
    "Turing": ("7.5",),
    "Ampere": ("8.0", "8.6"),
    "Ada Lovelace": ("8.9",),
    "Hopper": ("9.0",),
    "Blackwell": ("10.0", "10.3", "12.0"),
}


def _number(capability: str) -> tuple[int, int]:
    major, _, minor = capability.removesuffix("+PTX").partition(".")
    return int(major), int(minor)


def card_capabilities(host: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return what each card of a host is called, and which compute capabilities it may have.

    Args:
        host: The fact ``gpu_host``. Where the driver runs, it says the capability; else the generation limits it.
    """
    cards: dict[str, tuple[str, ...]] = {}
    for gpu in host.get("gpus") or []:
        if gpu.get("compute_capability"):
            cards[str(gpu.get("name") or gpu.get("pci_bus_id"))] = (str(gpu["compute_capability"]),)
    if cards:
        return cards
    for gpu in host.get("pci_gpus") or []:
        known = _OF_ARCHITECTURE.get(str(gpu.get("architecture")))
        if known:
            cards[f"{gpu['architecture']} card ({gpu['device_id']})"] = known
    return cards


def has_kernels(capability: str, kernels: Collection[str]) -> bool:
    """Say whether a card runs kernels of a list: those of its own generation and no newer than itself.

    A build may also carry PTX of its newest architecture, which newer cards compile when they start; that takes many
    minutes and is not counted on.

    Args:
        capability: The card's, such as ``8.9``.
        kernels: What there are kernels for, such as ``8.6``; an entry with ``+PTX`` runs on every newer card.
    """
    card = _number(capability)
    return any(
        (_number(kernel)[0] == card[0] or kernel.endswith("+PTX")) and _number(kernel) <= card for kernel in kernels
    )


def kernel_problems(host: Mapping[str, Any], kernels: Collection[str], torch: str) -> list[Problem]:
    """Return a problem for each kind of card that a PyTorch has no kernels for.

    Args:
        host: The fact ``gpu_host``.
        kernels: Compute capabilities that this PyTorch has kernels for; empty judges nothing.
        torch: How the PyTorch is called, such as ``torch==2.4.0``.
    """
    if not kernels:
        return []
    return [
        Problem(
            layer="image",
            code="image.no_kernels_for_card",
            severity="error",
            message=f"{torch} has no kernels for {card} (compute capability {' or '.join(capabilities)}), "
            f"only for {', '.join(kernels)}",
            next_action="Choose a stack that knows the card: opensora_image_stack: current knows Volta to Blackwell. "
            "For a PyTorch of your own, opensora_image_torch_architectures is what torch.cuda.get_arch_list() shows.",
        )
        for card, capabilities in card_capabilities(host).items()
        if not any(has_kernels(capability, kernels) for capability in capabilities)
    ]


def all_capabilities(hosts: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the compute capabilities of the cards of several hosts, lowest first."""
    found = {
        capability for host in hosts for capabilities in card_capabilities(host).values() for capability in capabilities
    }
    return sorted(found, key=_number)
