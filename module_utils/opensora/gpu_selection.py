# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Which GPUs of a host a service gets: a JMESPath expression over the GPUs found, resolved to UUIDs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Instead of an expression: a service without a GPU, for a look at the image where there is none.
NO_GPU = "none"
EXAMPLES = "[*] (all), [0] (the first), [?memory_total_mib >= `40000`] | [:2], [].mig.devices[] (MIG instances)"


class GpuSelectionError(ValueError):
    """The expression does not select GPUs; the message says why and what there was to select from."""


@dataclass(frozen=True)
class SelectedGpu:
    """One GPU, or one MIG instance of a GPU, that a container can be given.

    Attributes:
        uuid: ``GPU-...`` or ``MIG-...``.
        name: Product name, or profile name of a MIG instance.
        pci_bus_id: Address of the card on the bus.
    """

    uuid: str
    name: str
    pci_bus_id: str


def selectable(gpus: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return one line for each GPU and MIG instance of a host, for people who wrote a wrong expression.

    Args:
        gpus: ``gpu_host.gpus``.
    """
    if not gpus:
        return ("the host shows no GPU",)
    lines = []
    for gpu in gpus:
        memory = gpu.get("memory_total_mib")
        size = "memory unknown" if memory is None else f"{memory} MiB"
        state = "" if gpu.get("healthy") is not False else ", not healthy"
        lines.append(f"index {gpu.get('index')}: {gpu.get('uuid')} {gpu.get('name')}, {size}{state}")
        lines += [f"    MIG: {device.get('uuid')} {_mig_name(device)}" for device in _mig_devices(gpu)]
    return tuple(lines)


def select(
    expression: object, gpus: Sequence[Mapping[str, Any]], search: Callable[[str, Any], Any]
) -> list[SelectedGpu]:
    """Return the GPUs that an expression selects, in the order of the bus.

    The order of the expression is dropped: it means nothing inside a container, where CUDA numbers the cards by bus
    address, and GPU indices may change at a reboot, which must not make the same selection look different.

    Args:
        expression: JMESPath, such as ``[?memory_total_mib >= `40000`] | [:2]``.
        gpus: ``gpu_host.gpus``.
        search: ``jmespath.search``; its errors are ValueErrors.

    Raises:
        GpuSelectionError: The expression is not JMESPath, or selects nothing, or something that is not a GPU.
    """
    if not isinstance(expression, str) or not expression.strip():
        raise GpuSelectionError(f"{expression!r} is not a JMESPath expression in quotes, such as {EXAMPLES}")
    try:
        value = search(expression, list(gpus))
    except ValueError as error:
        raise GpuSelectionError(_syntax_message(expression, error)) from error
    known = _known(gpus)
    chosen: dict[str, SelectedGpu] = {}
    for item in _as_list(value):
        uuid = item.get("uuid") if isinstance(item, dict) else item
        if not isinstance(uuid, str) or uuid not in known:
            raise GpuSelectionError(
                f"{expression!r} selects {_short(item)}, not a GPU of this host; examples: {EXAMPLES}"
            )
        if uuid in chosen:
            raise GpuSelectionError(f"{expression!r} selects {uuid} twice")
        gpu, reason = known[uuid]
        if reason:
            raise GpuSelectionError(f"{expression!r} selects {uuid}, {reason}")
        chosen[uuid] = gpu
    if not chosen:
        raise GpuSelectionError(f"{expression!r} selects no GPU")
    return sorted(chosen.values(), key=lambda gpu: (gpu.pci_bus_id, gpu.uuid))


def _known(gpus: Sequence[Mapping[str, Any]]) -> dict[str, tuple[SelectedGpu, str]]:
    """Return uuid -> (GPU, why it can't be given to a container or "") of all GPUs and MIG instances."""
    known: dict[str, tuple[SelectedGpu, str]] = {}
    for gpu in gpus:
        bus = str(gpu.get("pci_bus_id"))
        refused = "which is not healthy: select others, such as [?healthy]" if gpu.get("healthy") is False else ""
        if isinstance(gpu.get("uuid"), str):
            whole = refused
            if (gpu.get("mig") or {}).get("enabled"):
                whole = "which is divided by MIG: select its instances, such as [].mig.devices[]"
            known[gpu["uuid"]] = (SelectedGpu(gpu["uuid"], str(gpu.get("name")), bus), whole)
        for device in _mig_devices(gpu):
            known[str(device.get("uuid"))] = (SelectedGpu(str(device.get("uuid")), _mig_name(device), bus), refused)
    return known


def _mig_devices(gpu: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the MIG instances of a GPU."""
    return list((gpu.get("mig") or {}).get("devices") or [])


def _mig_name(device: Mapping[str, Any]) -> str:
    """Return the profile of a MIG instance, such as ``1g.10gb``."""
    return str(device.get("profile") or device.get("name"))


def _as_list(value: Any) -> list[Any]:
    """Return what an expression gave as a list: ``[0]`` gives one GPU, a filter a list, nothing is null."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _short(item: object) -> str:
    """Return a value in one short line."""
    text = repr(item)
    return text if len(text) <= 80 else text[:77] + "..."  # noqa: PLR2004 -- one line of a terminal


def _syntax_message(expression: str, error: ValueError) -> str:
    """Return what is wrong with an expression, and where."""
    position = next(
        (p for p in (getattr(error, n, None) for n in ("lex_position", "lexer_position")) if p is not None), None
    )
    reason = (str(error).splitlines() or [""])[0].split(": Parse error")[0].split(", for expression")[0].rstrip(": ")
    where = "" if position is None else f" at character {position + 1}"
    return (
        f"{expression!r} can't be evaluated as JMESPath{where} ({reason}); "
        f"numbers and texts stand in backticks, such as `40000`; examples: {EXAMPLES}"
    )
