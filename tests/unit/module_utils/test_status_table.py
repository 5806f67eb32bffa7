"""The tables for a terminal."""

from __future__ import annotations

import re

import pytest
from ansible.module_utils.opensora.status_report import make_host
from ansible.module_utils.opensora.status_table import COLUMNS, render_status, reserved, short_names
from ansible.module_utils.opensora.status_words import width

from tests.unit.module_utils import status_examples as examples


@pytest.mark.parametrize("hosts", [examples.one_host(), examples.six_hosts()])
def test_it_fits_the_terminal(hosts):
    assert max(width(line) for line in render_status(hosts).splitlines()) <= COLUMNS


def test_it_fits_with_the_widest_of_everything():
    gpu = examples.gpu(1, 10, name="NVIDIA " + "X" * 50, healthy=False, mig_enabled=True, mig_devices=["1g.10gb"] * 7)
    gpu |= {
        "utilization_percent": 100.0,
        "memory_used_mib": 188_000,
        "memory_total_mib": 188_416,
        "process_count": 1234,
    }
    gpu |= {"temperature_celsius": 104.0, "power_draw_watts": 1199.0, "power_limit_watts": 1200.0}
    service = examples.service(1, 8, name="opensora-" + "a" * 90, health="unhealthy", restart_count=12345)
    service |= {"gpus": ["MIG-" + "f" * 36] * 7, "image": "x" * 200, "uptime_seconds": 86400 * 999 + 82800}
    service["last_generation"] |= {
        "prompt": "海" * 200,
        "seconds": 86400 * 999 + 82800,
        "age_seconds": 86400 * 999 + 82800,
    }
    disk = examples.disk("engine", "/mnt/" + "d" * 90, 1023 * 1024, 1023 * 1024)
    status = examples.status(1, 1, gpus=[gpu], services=[service], disks=[disk], services_unknown=None)
    status["driver"]["version"] = "580.159.04.999.999"
    status["uptime_seconds"] = 86400 * 9999 + 82800
    hosts = [make_host("h" * 90, {"status": status}), make_host("i" * 90, examples.UNREACHABLE)]
    assert [line for line in render_status(hosts).splitlines() if width(line) > COLUMNS] == []


def test_unknown_is_a_dash():
    text = render_status([make_host("gpu03", {"status": examples.mig()})])
    row = re.search(r"^gpu03 +0 .*H100.*$", text, re.MULTILINE)
    assert row
    assert re.search(r"MIG x 2, .*  –  +30\.5 / 79\.6 GiB .* –$", row.group())  # noqa: RUF001


def test_every_host_says_how_it_is():
    text = render_status(examples.six_hosts())
    assert text.startswith("6 hosts, 4 need attention, 1 not readable\n")
    for words in (
        r"^gpu01 +attention .*fault of GPU 5",
        r"^gpu02 +attention .*No GPU answers",
        r"^gpu03 +ok ",
        r"^gpu05 +not readable .*can't be reached",
        r"^a-host\S* +attention .*no container engine",
    ):
        assert re.search(words, text, re.MULTILINE), words
    assert "couldn't communicate with the NVIDIA driver" in text


def test_nothing_steers_the_terminal():
    status = examples.status(1, 1)
    status["gpus"][0]["name"] = examples.HOSTILE
    status["services"][0] |= {"name": examples.HOSTILE, "health": examples.HOSTILE, "image": examples.HOSTILE}
    status["services"][0]["last_generation"]["prompt"] = examples.HOSTILE
    status["disks"][0]["mount"] = examples.HOSTILE
    text = render_status([make_host(examples.HOSTILE, {"status": status})])
    assert [char for char in text if not char.isprintable() and char != "\n"] == []


@pytest.mark.parametrize(
    ("indices", "text"), [([], "none"), ([3], "3"), ([0, 1], "0, 1"), (range(8), "0-7"), ([0, 1, 2, 5], "0-2, 5")]
)
def test_reserved(indices, text: str):
    service = {"gpus": [examples.uuid(1, index) for index in indices]}
    assert reserved(service, [examples.gpu(1, index) for index in range(8)]) == text


def test_a_reserved_gpu_that_is_gone_is_named():
    assert reserved({"gpus": [examples.uuid(1, 0), "GPU-gone-away-1"]}, [examples.gpu(1, 0)]) == "0, GPU-gone-awa"


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["gpu01.example.com", "gpu02.example.com"], ["gpu01", "gpu02"]),
        (["gpu01.a.com", "gpu01.b.com"], ["gpu01.a.com", "gpu01.b.com"]),
        (["10.0.0.1", "10.0.0.2"], ["10.0.0.1", "10.0.0.2"]),
        (["10.0.0.1"], ["10.0.0.1"]),
        (["x" * 40], ["x" * 15 + "…"]),
    ],
)
def test_short_names(names: list[str], short: list[str]):
    assert list(short_names(names).values()) == short
