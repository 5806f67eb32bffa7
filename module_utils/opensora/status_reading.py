# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Read how a host is doing right now into plain data: GPUs in use, services, disks. Changes nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ansible.module_utils.opensora import (
    disk,
    docker_engine_state,
    nvidia_smi,
    pci,
    status_generation,
    status_gpus,
    status_services,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ansible.module_utils.opensora.host_probe import CommandResult, HostProbe
    from ansible.module_utils.opensora.status_gpus import GpuSample


def _take_samples(probe: HostProbe, count: int, interval: float) -> list[list[GpuSample]]:
    """Return several answers of nvidia-smi, an interval apart; none after one that did not come."""
    begin = time.monotonic()
    answers = []
    for number in range(count):
        time.sleep(max(0.0, begin + number * interval - time.monotonic()))
        sample = status_gpus.parse_sample(probe.run(status_gpus.SAMPLE_QUERY).stdout)
        if not sample:
            break
        answers.append(sample)
    return answers


def _smi_report(answer: CommandResult) -> nvidia_smi.SmiReport:
    if answer.timed_out:
        return nvidia_smi.SmiReport(error="nvidia-smi did not answer in time")
    if not answer.ran:
        return nvidia_smi.SmiReport(error="there is no nvidia-smi")
    return nvidia_smi.parse_xml(f"{answer.stdout}\n{'' if '<nvidia_smi_log' in answer.stdout else answer.stderr}")


def _uptime(probe: HostProbe) -> int | None:
    words = (probe.text("/proc/uptime") or "").split()
    try:
        return int(float(words[0]))
    except (IndexError, ValueError):
        return None


def _disks(probe: HostProbe, places: Sequence[tuple[str, str | None]]) -> list[dict[str, Any]]:
    """Return the room where things are kept, each place once.

    Args:
        probe: The host.
        places: Pairs of what is kept and where; null where nobody knows where.
    """
    wanted = [(holds, path) for holds, path in dict.fromkeys(places) if path]
    existing = [(path, probe.nearest_existing(path)) for _, path in wanted]
    measured = list(dict.fromkeys(place for _, place in existing))
    answer = probe.run(disk.measure_command(measured)) if measured else None
    figures = disk.parse_measure(answer.stdout, measured) if answer is not None else {}
    described = disk.describe_disk(existing, figures)
    return [{"holds": holds, **entry} for (holds, _), entry in zip(wanted, described)]


def _last_generation(probe: HostProbe, folder: str | None, now: float) -> tuple[dict[str, Any] | None, str | None]:
    """Return the last video of a samples folder, and why there is none."""
    if folder is None:
        return None, "no folder of the host is mounted for the videos"
    answer = probe.run(status_generation.find_query(folder))
    if answer.timed_out or not answer.ran:
        return None, f"{folder} could not be listed" + (" in time" if answer.timed_out else "")
    newest = status_generation.newest_record(answer.stdout)
    if newest is None:
        # find says why it could not look; without a word the folder is empty.
        said = answer.stderr.strip().splitlines()
        return None, said[0] if answer.rc and said else "no video yet"
    moment, path = newest
    try:
        text = status_generation.read_record(probe.place(folder), path)
    except OSError as error:
        return None, f"{folder}/{path} can't be read: {error}"
    generation = status_generation.describe_generation(text, moment, now)
    return generation, None if generation else f"{folder}/{path} is no record of a video"


def _services(probe: HostProbe, listed: CommandResult, now: float) -> tuple[list[dict[str, Any]], str | None]:
    """Return the services of this project, and why they could not be read."""
    if not listed.ran or listed.rc:
        said = listed.stderr.strip().splitlines()
        return [], "docker did not answer in time" if listed.timed_out else said[0] if said else "docker ps failed"
    identifiers = status_services.parse_list(listed.stdout)
    if not identifiers:
        return [], None
    answer = probe.run(status_services.inspect_query(identifiers))
    if answer.timed_out:
        return [], "docker did not answer in time"
    services = []
    for inspected in status_services.parse_inspect(answer.stdout):
        service = status_services.describe_service(inspected, now)
        generation, reason = _last_generation(probe, service["samples_directory"], now)
        services.append({**service, "last_generation": generation, "last_generation_unknown": reason})
    return sorted(services, key=lambda service: str(service["name"])), None


def read_status(
    probe: HostProbe,
    *,
    samples: int,
    interval: float,
    checkpoints_directory: str | None,
    samples_directory: str | None,
) -> dict[str, Any]:
    """Return how a host is doing.

    Args:
        probe: The host.
        samples: How often the GPUs are asked.
        interval: Seconds between two of these.
        checkpoints_directory: Where the weights are kept when no service tells.
        samples_directory: Where the videos are kept when no service tells.
    """
    commands: dict[str, Sequence[str]] = {
        "smi": nvidia_smi.XML_QUERY,
        "processes": status_gpus.PROCESS_QUERY,
        "version": docker_engine_state.VERSION_QUERY,
        "info": docker_engine_state.INFO_QUERY,
        "services": status_services.LIST_QUERY,
    }
    answers, taken = probe.run_while(commands, lambda: _take_samples(probe, samples, interval))
    report = _smi_report(answers["smi"])
    if any(gpu["mig"]["enabled"] for gpu in report.gpus):
        listed = nvidia_smi.parse_mig_list(probe.run(nvidia_smi.LIST_QUERY).stdout)
        report.gpus = nvidia_smi.with_mig_devices(report.gpus, listed)
    # A second refused query must not read as "no processes".
    processes = status_gpus.parse_processes(answers["processes"].stdout) if answers["processes"].rc == 0 else None
    asked = docker_engine_state.EngineAnswers(answers["version"], answers["info"])
    kind = docker_engine_state.find_kind(probe, asked, {})
    engine = docker_engine_state.describe_engine(kind, asked, {})
    now = time.time()
    services, services_unknown = _services(probe, answers["services"], now) if engine["running"] else ([], None)
    checkpoints = [service["checkpoints_directory"] for service in services] or [checkpoints_directory]
    videos = [service["samples_directory"] for service in services] or [samples_directory]
    places = [*(("checkpoints", path) for path in checkpoints), *(("samples", path) for path in videos)]
    places.append(("engine", engine["data_root"] if engine["running"] else None))
    return {
        "uptime_seconds": _uptime(probe),
        "bus_gpu_count": len(pci.describe_gpus(pci.read_devices(probe))),
        "driver": {"version": report.driver_version, "error": None if report.gpus else report.error},
        "gpus": status_gpus.describe_gpus(report, taken, processes),
        "engine": {key: engine[key] for key in ("kind", "version", "running", "error")},
        "services": services,
        "services_unknown": services_unknown,
        "disks": _disks(probe, places),
    }
