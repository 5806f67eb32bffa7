"""Values as people write them."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.service_settings import (
    parse_duration,
    parse_integer,
    parse_port,
    parse_size,
    parse_user,
    read_health_times,
    read_ports,
    read_shared_memory,
    read_ulimits,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2, 2),
        ("2", 2),
        (" 2 ", 2),
        ("-1", -1),
        ("two", None),
        (True, None),
        (2.5, None),
        ("2.5", None),
        (None, None),
        ("", None),
    ],
)
def test_integer(value, expected):
    assert parse_integer(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1h1m1s", 3661),
        (30, 30),
        ("30", 30),
        (0, 0),
        ("", None),
        ("10 m", None),
        ("m", None),
        ("1d", None),
        (-1, None),
        ("soon", None),
        (True, None),
    ],
)
def test_duration(value, expected):
    assert parse_duration(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("16gb", 16 * 1024**3),
        ("16g", 16 * 1024**3),
        ("16 GiB", 16 * 1024**3),
        ("512m", 512 * 1024**2),
        ("1tb", 1024**4),
        ("16", None),
        (16, None),
        ("16b", None),
        ("1.5gb", None),
        ("", None),
    ],
)
def test_size(value, expected):
    assert parse_size(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("10001:10001", (10001, 10001)),
        ("1000:0", (1000, 0)),
        ("0:0", None),
        ("0:1000", None),
        (":", None),
        ("", None),
        ("10001", None),
        ("opensora:opensora", None),
        ("${UID}:${GID}", None),
        ("-1:1", None),
    ],
)
def test_user(value, expected):
    assert parse_user(value) == expected


@pytest.mark.parametrize(
    ("value", "address", "expected"),
    [
        ("7860", "127.0.0.1", "127.0.0.1:7860:7860"),
        (7860, "127.0.0.1", "127.0.0.1:7860:7860"),
        ("8080:7860", "10.0.0.5", "10.0.0.5:8080:7860"),
        ("8080:7860", "::1", "[::1]:8080:7860"),
        ("0.0.0.0:8080:7860", "127.0.0.1", "None"),
        ("http", "127.0.0.1", "None"),
        ("0", "127.0.0.1", "None"),
        ("65536", "127.0.0.1", "None"),
        ("7860/udp", "127.0.0.1", "None"),
    ],
)
def test_port(value, address, expected):
    assert str(parse_port(value, address)) == expected


TIMES = {
    "health_interval": "30s",
    "health_timeout": "10s",
    "health_retries": 3,
    "health_start_period": "10m",
    "health_wait": "12m",
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"health_wait": "719s"}, ["health.wait_too_short", "720s"]),
        ({"health_start_period": "5s", "health_interval": "10s", "health_wait": "65"}, []),
        ({"health_start_period": "0s", "health_wait": 120}, []),
        ({"health_start_period": "20m"}, ["1320s"]),
        ({"health_retries": "3"}, []),
        ({"health_retries": 0}, ["opensora_service_health_retries", "from 1"]),
        ({"health_retries": "three"}, ["opensora_service_health_retries", "'three'"]),
        ({"health_interval": "often"}, ["opensora_service_health_interval", "'often'"]),
        ({"health_interval": 0}, ["opensora_service_health_interval"]),
    ],
)
def test_health_times(change, words):
    _, problems = read_health_times({**TIMES, **change})
    assert bool(problems) == bool(words)
    assert all(word in str(problems) for word in words), problems


@pytest.mark.parametrize(
    ("ports", "address", "network_mode", "codes"),
    [
        ([], "127.0.0.1", "bridge", []),
        (["7860"], "127.0.0.1", "bridge", []),
        (["7860"], "::1", "bridge", []),
        (["7860"], "0.0.0.0", "bridge", ["port.public"]),  # noqa: S104
        (["7860"], "10.1.2.3", "bridge", ["port.public"]),
        (["7860"], "everywhere", "bridge", ["variable.invalid"]),
        (["7860", "7860:80"], "127.0.0.1", "bridge", ["variable.invalid"]),
        (["web"], "127.0.0.1", "bridge", ["variable.invalid"]),
        (["7860"], "127.0.0.1", "host", ["variable.invalid"]),
    ],
)
def test_ports(ports, address, network_mode, codes):
    _, problems = read_ports({"ports": ports, "publish_address": address}, network_mode)
    assert [problem.code for problem in problems] == codes


@pytest.mark.parametrize(
    ("value", "memory", "severities"),
    [
        ("16gb", 64 * 1024**3, []),
        ("16gb", None, []),
        ("16gb", 8 * 1024**3, ["warning"]),
        ("16", None, ["error"]),
        ("1m", None, ["error"]),
    ],
)
def test_shared_memory(value, memory, severities):
    _, problems = read_shared_memory(value, memory)
    assert [problem.severity for problem in problems] == severities


@pytest.mark.parametrize(
    ("value", "expected", "count"),
    [
        ({"memlock": -1, "stack": 67108864}, {"memlock": -1, "stack": 67108864}, 0),
        ({"memlock": "-1"}, {"memlock": -1}, 0),
        ({}, {}, 0),
        ({"stack": -1}, {}, 1),
        ({"nofile": "many"}, {}, 1),
        ({"nofile": -2}, {}, 1),
        ([], {}, 1),
    ],
)
def test_ulimits(value, expected, count):
    limits, problems = read_ulimits(value)
    assert limits == expected
    assert len(problems) == count
