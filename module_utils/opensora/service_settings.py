# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Values of the service as people write them (durations, sizes, users, ports) turned into numbers, or refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible.module_utils.opensora.problems import Problem, invalid_value

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_LEAST_PIDS = 256
_MAXIMUM_PORT = 65535
_PREFIX = "opensora_service_"
_LOOPBACK = ("127.0.0.1", "::1")


@dataclass(frozen=True)
class PublishedPort:
    """One port of the container that is reachable on the host.

    Attributes:
        address: Address of the host it is bound to.
        host_port: Port on the host.
        container_port: Port in the container.
    """

    address: str
    host_port: int
    container_port: int

    def __str__(self) -> str:
        """Return the port as compose writes it in its short form."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.host_port}:{self.container_port}"


@dataclass(frozen=True)
class HealthTimes:
    """Times of the health check, in seconds.

    Attributes:
        interval: Between two checks.
        timeout: After which one check counts as failed.
        retries: Failed checks in a row after which the container is unhealthy.
        start_period: After the start, during which failed checks don't count (the model is being loaded).
        wait: How long a deployment waits for the first healthy answer.
    """

    interval: int
    timeout: int
    retries: int
    start_period: int
    wait: int

    def shortest_wait(self) -> int:
        """Return the time after which the engine itself has decided that the container is unhealthy."""
        return self.start_period + self.retries * (self.interval + self.timeout)


def parse_integer(value: object) -> int | None:
    """Return a whole number that may have arrived as text, or None when it is not one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d+", value.strip()) else None


def parse_duration(value: object) -> int | None:
    """Return a duration in seconds, or None when it is not one.

    Args:
        value: Seconds as a number, or text such as ``90s``, ``10m``, ``1h30m``.
    """
    number = parse_integer(value)
    if number is not None:
        return number if number >= 0 else None
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", str(value).strip())
    if not match or not any(match.groups()):
        return None
    hours, minutes, seconds = (int(group or 0) for group in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def parse_size(value: object) -> int | None:
    """Return a size in bytes, or None when it is not one or has no unit.

    A number without a unit would be bytes, which nobody means: 16 bytes of shared memory stop every data loader.

    Args:
        value: Text such as ``16gb``, ``512m``.
    """
    match = re.fullmatch(r"(\d+)\s*([kmgt])(?:i?b)?", str(value).strip().lower())
    return int(match.group(1)) * _UNITS[match.group(2)] if match else None


def parse_user(value: object) -> tuple[int, int] | None:
    """Return (uid, gid), or None when they are not numbers, not both there, or those of root.

    Names are refused because they mean the image's passwd file, not the host's; blanks because an empty user is root.

    Args:
        value: Text such as ``10001:10001``.
    """
    match = re.fullmatch(r"(\d+):(\d+)", str(value).strip())
    if not match or int(match.group(1)) == 0:
        return None
    return int(match.group(1)), int(match.group(2))


def parse_port(value: object, address: str) -> PublishedPort | None:
    """Return a published port, or None when it is not one.

    Args:
        value: ``PORT`` or ``HOST_PORT:CONTAINER_PORT``; the address has a variable of its own.
        address: Address of the host to bind.
    """
    match = re.fullmatch(r"(?:(\d+):)?(\d+)", str(value).strip())
    if not match:
        return None
    container = int(match.group(2))
    host = int(match.group(1) or container)
    if not all(0 < port <= _MAXIMUM_PORT for port in (host, container)):
        return None
    return PublishedPort(address, host, container)


def read_health_times(settings: Mapping[str, object]) -> tuple[HealthTimes | None, list[Problem]]:
    """Return the times of the health check, checked against each other.

    Args:
        settings: Variables of the role without their prefix.
    """
    problems = []
    seconds = {}
    for name in ("health_interval", "health_timeout", "health_start_period", "health_wait"):
        parsed = parse_duration(settings[name])
        if parsed is None or (parsed == 0 and name != "health_start_period"):
            problems.append(invalid_value(_PREFIX + name, settings[name], "a duration such as 30s, 10m or 1h30m"))
        else:
            seconds[name] = parsed
    retries = parse_integer(settings["health_retries"])
    if retries is None or retries < 1:
        problems.append(invalid_value(f"{_PREFIX}health_retries", settings["health_retries"], "a whole number from 1"))
    if problems or retries is None:
        return None, problems
    times = HealthTimes(
        seconds["health_interval"],
        seconds["health_timeout"],
        retries,
        seconds["health_start_period"],
        seconds["health_wait"],
    )
    if times.wait < times.shortest_wait():
        problems.append(
            Problem(
                "configuration",
                "health.wait_too_short",
                "error",
                f"{_PREFIX}health_wait is {settings['health_wait']!r}, which ends before the engine has an answer",
                f"Set {_PREFIX}health_wait to at least {times.shortest_wait()}s, or shorten the health check.",
                (
                    (
                        f"start period {times.start_period} s + {times.retries} retries x (interval {times.interval} s "
                        f"+ timeout {times.timeout} s) = {times.shortest_wait()} s > {times.wait} s"
                    ),
                ),
            )
        )
    return times, problems


def read_ports(settings: Mapping[str, object], network_mode: str) -> tuple[list[PublishedPort], list[Problem]]:
    """Return the published ports.

    Args:
        settings: Variables of the role without their prefix.
        network_mode: ``host`` or ``bridge``.
    """
    address = str(settings["publish_address"])
    values = settings["ports"]
    problems = []
    ports: list[PublishedPort] = []
    for value in values if isinstance(values, list) else [values]:
        port = parse_port(value, address)
        if port is None:
            allowed = "a list of PORT or HOST_PORT:CONTAINER_PORT, 1 to 65535, without an address"
            problems.append(invalid_value(f"{_PREFIX}ports", value, allowed))
        elif any(other.host_port == port.host_port for other in ports):
            problems.append(
                invalid_value(f"{_PREFIX}ports", values, f"each host port once; {port.host_port} is there twice")
            )
        else:
            ports.append(port)
    if not re.fullmatch(r"[0-9.]+|[0-9a-fA-F:]*:[0-9a-fA-F:.]*", address):
        problems.append(invalid_value(f"{_PREFIX}publish_address", address, "an IP address of the host"))
    elif ports and network_mode == "host":
        problems.append(
            invalid_value(
                f"{_PREFIX}ports", values, "empty with a profile that uses the network of the host: every port is open"
            )
        )
    elif ports and address not in _LOOPBACK:
        problems.append(
            Problem(
                "network",
                "port.public",
                "warning",
                f"The service is published on {', '.join(str(port) for port in ports)}, which the host's firewall "
                "doesn't protect: the engine's own rules come before those of ufw and firewalld",
                f"Keep {_PREFIX}publish_address at 127.0.0.1 behind a proxy, or filter in the chain DOCKER-USER.",
            )
        )
    return ports, problems


def read_shared_memory(value: object, memory_total_bytes: int | None) -> tuple[int | None, list[Problem]]:
    """Return the size of /dev/shm in bytes.

    Args:
        value: ``opensora_service_shm_size``.
        memory_total_bytes: Memory of the host, when known.
    """
    name = f"{_PREFIX}shm_size"
    size = parse_size(value)
    if size is None:
        return None, [invalid_value(name, value, "a size with its unit, such as 16gb (a bare number would be bytes)")]
    if size < 64 * _UNITS["m"]:
        return None, [invalid_value(name, value, "64mb or more; data loaders and NCCL die with less")]
    if memory_total_bytes is not None and size > memory_total_bytes:
        message = f"{name} is {value!r}, more than the {memory_total_bytes / _UNITS['g']:.1f} GiB of memory of the host"
        return size, [
            Problem(
                "configuration", "shm.exceeds_memory", "warning", message, f"Set {name} below the memory of this host."
            )
        ]
    return size, []


def read_ulimits(value: object) -> tuple[dict[str, int], list[Problem]]:
    """Return the resource limits of the container.

    Args:
        value: ``opensora_service_ulimits``; -1 means unlimited.
    """
    name = f"{_PREFIX}ulimits"
    if not isinstance(value, dict):
        return {}, [invalid_value(name, value, "a dictionary such as {memlock: -1}")]
    limits = {}
    problems = []
    for key, raw in value.items():
        number = parse_integer(raw)
        if number is None or number < -1:
            problems.append(invalid_value(f"{name}.{key}", raw, "a whole number, -1 for unlimited"))
        elif key == "stack" and number == -1:
            # NVIDIA reports crashes of CUDA programs with an unlimited stack.
            problems.append(invalid_value(f"{name}.stack", raw, "a size in bytes, not unlimited, such as 67108864"))
        else:
            limits[str(key)] = number
    return limits, problems


def read_temporary_size(value: object) -> tuple[int, list[Problem]]:
    """Return the size of a folder in memory in bytes.

    Args:
        value: ``opensora_service_temporary_size``.
    """
    size = parse_size(value)
    if size is None or size < 64 * _UNITS["m"]:
        allowed = "a size with its unit, 64mb or more, such as 4gb"
        return 0, [invalid_value(f"{_PREFIX}temporary_size", value, allowed)]
    return size, []


def read_pids_limit(value: object) -> tuple[int, list[Problem]]:
    """Return how many processes and threads a container may have.

    Args:
        value: ``opensora_service_pids_limit``; -1 means unlimited.
    """
    number = parse_integer(value)
    # An interpreter with PyTorch has a hundred threads before it does anything.
    if number is None or (number != -1 and number < _LEAST_PIDS):
        allowed = f"a whole number from {_LEAST_PIDS}, or -1 for unlimited"
        return 0, [invalid_value(f"{_PREFIX}pids_limit", value, allowed)]
    return number, []


def read_secrets(value: object, directory: str) -> tuple[dict[str, str], list[Problem]]:
    """Return the path on the host of each secret by its name; the values are not looked at.

    Args:
        value: ``opensora_service_secrets``.
        directory: Folder of the compose project.
    """
    name = f"{_PREFIX}secrets"
    if not isinstance(value, dict):
        return {}, [invalid_value(name, type(value).__name__, "a dictionary of names and texts")]
    problems = [
        invalid_value(name, key, "names of letters, digits, '_' and '-'")
        for key in value
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", str(key))
    ]
    problems += [
        # Without the value, which would be in every log.
        invalid_value(f"{name}.{key}", "", "a text that is not empty")
        for key, text in value.items()
        if not isinstance(text, str) or not text
    ]
    return {str(key): f"{directory.rstrip('/')}/secrets/{key}" for key in value}, problems
