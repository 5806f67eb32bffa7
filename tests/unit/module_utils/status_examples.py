"""Answers of made-up hosts for the tests of the status, and for looking at its page."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ansible.module_utils.opensora.status_history import make_entry
from ansible.module_utils.opensora.status_report import HostStatus, make_host

TEMPLATE = (Path(__file__).resolve().parents[3] / "roles/opensora_status/templates/status.html.j2").read_text(
    encoding="utf-8"
)
NOW = 1_764_090_000
TOTAL = 81559
GIBIBYTE = 1024**3
RUNS = 120
LONG_PROMPT = (
    "A slow aerial shot over a harbour at dawn: fishing boats leave one after the other, gulls circle above the "
    "breakwater, the camera sinks until the water fills the picture and the sun stands behind the masts, "
    "photorealistic, 35 mm, soft light"
)
HOSTILE = "<script>alert(1)</script>\"'&\x1b[31m\u202e"


def uuid(host: int, index: int) -> str:
    return f"GPU-00000000-0000-4000-8000-{host:06d}{index:06d}"


def use(host: int, index: int, step: int) -> float:
    """A GPU that renders in bouts."""
    bout = math.sin(step / (7 + index) + host * 2 + index)
    return round(max(0.0, min(100.0, 96 - 4 * abs(bout) if bout > -0.2 else 2 + index)), 1)


def gpu(host: int, index: int, **different: Any) -> dict[str, Any]:
    busy = use(host, index, RUNS - 1)
    sample = {
        "utilization_percent": busy,
        "memory_used_mib": 61200.0 if busy > 50 else 900.0,
        "temperature_celsius": round(36 + busy / 3.4, 1),
    }
    samples = [sample, sample, sample]
    return {
        "index": index,
        "uuid": uuid(host, index),
        "name": "NVIDIA H100 80GB HBM3",
        "healthy": True,
        "mig_enabled": False,
        "mig_devices": [],
        **samples[-1],
        "memory_total_mib": TOTAL,
        "power_draw_watts": round(70 + 5.6 * busy, 1),
        "power_limit_watts": 700.0,
        "process_count": 1,
        "samples": samples,
        "unknown": {},
        **different,
    }


def service(host: int, count: int, **different: Any) -> dict[str, Any]:
    return {
        "name": "opensora-opensora-1",
        "project": "opensora",
        "service": "opensora",
        "profile": "performance",
        "status": "running",
        "health": "healthy",
        "exit_code": None,
        "error": "",
        "image": "registry.example.com/opensora@sha256:" + "725ad2a36ae28cc1" * 4,
        "image_id": "sha256:725ad2a36ae2",
        "build_key": "0123456789abcdef",
        "started_at": "2025-11-22T13:00:00Z",
        "uptime_seconds": 270_000,
        "restart_count": 0,
        "gpus": [uuid(host, index) for index in range(count)],
        "checkpoints_directory": "/srv/opensora/ckpts",
        "samples_directory": "/srv/opensora/samples",
        "last_generation": {
            "id": "256px-42-0123456789ab",
            "prompt": "raining, sea",
            "config": "256px",
            "seconds": 412.3,
            "finished": NOW - 900,
            "age_seconds": 900,
        },
        "last_generation_unknown": None,
        **different,
    }


def disk(holds: str, mount: str, free: float, total: float) -> dict[str, Any]:
    path = {"checkpoints": "/srv/opensora/ckpts", "samples": "/srv/opensora/samples", "engine": "/var/lib/docker"}[
        holds
    ]
    return {
        "holds": holds,
        "path": path,
        "measured_path": path,
        "mount": mount,
        "total_bytes": int(total * GIBIBYTE),
        "free_bytes": int(free * GIBIBYTE),
        "free_inodes": 1000,
    }


def status(host: int, count: int, **different: Any) -> dict[str, Any]:
    return {
        "uptime_seconds": 3_000_000,
        "bus_gpu_count": count,
        "driver": {"version": "580.159.04", "error": None},
        "gpus": [gpu(host, index) for index in range(count)],
        "engine": {"kind": "docker", "version": "29.7.2", "running": True, "error": None},
        "services": [service(host, count)],
        "services_unknown": None,
        "disks": [
            disk("checkpoints", "/srv", 2100, 3576),
            disk("samples", "/srv", 2100, 3576),
            disk("engine", "/", 412, 894),
        ],
        **different,
    }


UNREACHABLE = {
    "unreachable": True,
    "msg": "Failed to connect to the host via ssh: connect to host gpu05: No route to host",
}
NA = "nvidia-smi says [N/A]"


def mig() -> dict[str, Any]:
    samples = [{"utilization_percent": None, "memory_used_mib": 31200.0, "temperature_celsius": 51.0} for _ in range(5)]
    split = gpu(
        3,
        0,
        mig_enabled=True,
        mig_devices=["3g.40gb", "3g.40gb"],
        utilization_percent=None,
        memory_used_mib=31200.0,
        temperature_celsius=51.0,
        process_count=None,
        samples=samples,
        unknown={"utilization_percent": NA, "process_count": "nvidia-smi does not list the processes"},
    )
    services = [
        service(3, 0, name="opensora-a-1", gpus=["MIG-11111111-2222-3333-4444-555555555555"]),
        service(
            3,
            0,
            name="opensora-b-1",
            gpus=["MIG-22222222-2222-3333-4444-555555555555"],
            profile="low_memory",
            last_generation=None,
            last_generation_unknown="no video yet",
        ),
    ]
    return status(3, 1, gpus=[split], services=services)


def one_host() -> list[HostStatus]:
    return [make_host("gpu01", {"status": status(1, 2)})]


def six_hosts() -> list[HostStatus]:
    """Eight GPUs, no driver, MIG, an unhealthy service, one away, nothing deployed; long words in between."""
    no_driver = status(
        2,
        0,
        bus_gpu_count=1,
        driver={
            "version": None,
            "error": "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the "
            "latest NVIDIA driver is installed and running.",
        },
        services=[],
    )
    eight = status(1, 8)
    eight["gpus"][5] = gpu(1, 5, healthy=False, name="NVIDIA H100 80GB HBM3")
    eight["services"][0]["last_generation"]["prompt"] = LONG_PROMPT
    sick = status(4, 2)
    sick["services"] = [
        service(4, 2, health="unhealthy", restart_count=14, uptime_seconds=41, last_generation=None)
        | {"last_generation_unknown": "no video yet"}
    ]
    sick["disks"] = [disk("checkpoints", "/", 11, 894), disk("samples", "/", 11, 894), disk("engine", "/", 11, 894)]
    bare = status(
        6, 1, engine={"kind": "none", "version": None, "running": False, "error": None}, services=[], disks=[]
    )
    return [
        make_host("gpu01.example.com", {"status": eight}),
        make_host("gpu02.example.com", {"status": no_driver}),
        make_host("gpu03.example.com", {"status": mig()}),
        make_host("gpu04.example.com", {"status": sick}),
        make_host("gpu05.example.com", UNREACHABLE),
        make_host("a-host-with-a-very-long-name.rack-17.data-centre-north.example.com", {"status": bare}),
    ]


def history(hosts: list[HostStatus], runs: int = RUNS) -> list[dict[str, Any]]:
    """What earlier runs saw, with a gap in which nobody could be read."""
    entries = []
    for step in range(runs):
        for number, host in enumerate(hosts, 1):
            entry = make_entry(host, NOW - (runs - 1 - step) * 300)
            for index, values in enumerate(entry["gpus"].values()):
                busy = use(number, index, step)
                values["memory_used_mib"] = 61200.0 if busy > 50 else 900.0
                values["temperature_celsius"] = 36 + busy / 3.4
                values["utilization_percent"] = values["utilization_percent"] and busy
            if 55 <= step < 63:
                entry["gpus"] = {}
            entries.append(entry)
    return entries
