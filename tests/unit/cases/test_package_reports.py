"""What people report of package managers, repositories and Python packages, and the answer that helps them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ansible.module_utils.opensora.apt_source_conflicts import find_missing_components, find_source_problems
from ansible.module_utils.opensora.apt_sources import parse_sources, unreadable_lines, with_components
from ansible.module_utils.opensora.driver_simulation import simulation_problems
from ansible.module_utils.opensora.gpu_host_problems import find_problems
from ansible.module_utils.opensora.os_release import describe_system
from ansible.module_utils.opensora.package_manager_state import parse_locks
from ansible.module_utils.opensora.packages import parse_dpkg_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Reader = Callable[..., dict[str, Any]]

TRIXIE = describe_system(
    'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n',
    "x86_64",
    "6.12",
)
BOOKWORM = describe_system('ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n', "x86_64", "6.1")
NOBLE = describe_system('ID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n', "x86_64", "6.8")
LIST = "/etc/apt/sources.list.d/vendor.list"
STANZAS = "/etc/apt/sources.list.d/vendor.sources"


def codes(system: dict[str, Any], *files: tuple[str, str]) -> list[str]:
    """Return the codes of what is wrong with source files of a system."""
    sources = [entry.as_dict() for path, text in files for entry in parse_sources(path, text)]
    lines = [line.as_dict() for path, text in files for line in unreadable_lines(path, text)]
    return [problem.code for problem in find_source_problems(sources, system, lines)]


# --- the first minutes of a host


def test_lock_is_named_with_its_holder_and_left_alone(read_host: Reader) -> None:
    (problem,) = [
        problem for problem in read_host("package-lock-held")["problems"] if problem["code"] == "packages.lock_held"
    ]
    assert problem["severity"] == "warning"
    assert "unattended-upgr" in problem["message"]
    assert "24459" in problem["message"]
    assert re.search(r"\b(kill|rm|remove)\b", problem["next_action"]) is None


def test_locks_of_other_programs_do_not_count() -> None:
    assert parse_locks("611 cron /run/crond.pid\n 24459 unattended-upgr /var/lib/dpkg/lock-frontend\n") == [
        {"pid": 24459, "command": "unattended-upgr", "path": "/var/lib/dpkg/lock-frontend"}
    ]


def test_first_boot_and_interruption_are_told_apart(codes_of: Callable[..., list[str]]) -> None:
    assert "packages.cloud_init_running" in codes_of("first-boot-running")
    assert codes_of("dpkg-interrupted") == ["packages.interrupted"]
    assert codes_of("package-half-configured") == ["packages.broken"]


def _tasks(content: Any) -> Iterator[dict[str, Any]]:
    for entry in content or []:
        if isinstance(entry, dict):
            yield entry
            for section in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks", "handlers"):
                yield from _tasks(entry.get(section))


def all_tasks(root: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return every task of roles and playbooks, also those in blocks, rescues and handlers."""
    paths = [*root.glob("roles/*/tasks/*.yml"), *root.glob("roles/*/handlers/*.yml"), *root.glob("playbooks/**/*.yml")]
    found = [(str(path), task) for path in paths for task in _tasks(yaml.safe_load(path.read_text()))]
    assert len(found) > 100
    return found


def test_every_package_task_waits_for_the_lock(root: Path) -> None:
    impatient = [
        f"{path}: {task.get('name')}"
        for path, task in all_tasks(root)
        for module in ("ansible.builtin.apt", "ansible.builtin.dnf")
        # A simulation takes no lock.
        if module in task and "lock_timeout" not in task[module] and task.get("check_mode") is not True
    ]
    assert impatient == []


def test_no_task_removes_a_lock_or_kills_its_holder(root: Path) -> None:
    texts = [str(task) for _, task in all_tasks(root)]
    assert [text for text in texts if re.search(r"\b(rm|unlink|kill|fuser)\b[^']*(dpkg|apt|lock)", text)] == []
    assert [text for text in texts if re.search(r"'path': '[^']*/(dpkg|apt)/[^']*lock", text)] == []


# --- Python packages


def test_no_task_touches_the_python_of_the_system(root: Path) -> None:
    """Debian 12 and Ubuntu 23.04 refuse pip outside of virtual environments, and so does this project."""
    tasks = all_tasks(root)
    assert not [path for path, task in tasks if "ansible.builtin.pip" in task or "pip" in task]
    commands = [task["ansible.builtin.command"].get("argv") or [] for _, task in tasks if _has_arguments(task)]
    installing = [words for words in commands if "pip" in words and "install" in words]
    assert sorted(words[0] for words in installing) == [
        "{{ docker_engine_sdk_directory }}/bin/python",
        "{{ opensora_checkpoint_library_directory }}/bin/python",
    ]
    assert not any("--break-system-packages" in str(task) or "EXTERNALLY-MANAGED" in str(task) for _, task in tasks)
    # The collection's modules for the engine's API would need the SDK in the system's Python.
    assert not any(name.startswith("community.docker.") for _, task in tasks for name in task)


def _has_arguments(task: dict[str, Any]) -> bool:
    return isinstance(task.get("ansible.builtin.command"), dict)


def test_docker_sdk_is_locked_with_requests_that_fit(root: Path) -> None:
    """docker before 7.1 with requests from 2.32 ends in "Not supported URL scheme http+docker"."""
    (text,) = [
        path.read_text()
        for path in root.glob("roles/docker_engine/**/*.txt")
        if re.search(r"(?m)^docker==", path.read_text())
    ]
    found = re.search(r"(?m)^docker==(\d+)\.(\d+)", text)
    assert found is not None
    assert (int(found.group(1)), int(found.group(2))) >= (7, 1)
    assert "--hash=sha256:" in text


# --- repositories

DOCKER_UBUNTU_ON_DEBIAN = "deb [arch=amd64] https://download.docker.com/linux/ubuntu trixie stable\n"
DOCKER_RIGHT = "deb [arch=amd64 signed-by=/k.asc] https://download.docker.com/linux/debian trixie stable\n"
UNSUPPORTED = "# Unsupported distribution!\n# Check https://nvidia.github.io/nvidia-docker\n"
WEB_PAGE = "<!DOCTYPE html>\n<html><head><title>404</title></head></html>\n"
GIVEN_UP = "deb https://nvidia.github.io/libnvidia-container/stable/debian11/amd64 /\n"
AGNOSTIC = "deb [signed-by=/k.gpg] https://nvidia.github.io/libnvidia-container/stable/deb/$(ARCH) /\n"


def cuda(folder: str, key: str, machine: str = "x86_64") -> str:
    address = f"https://developer.download.nvidia.com/compute/cuda/repos/{folder}/{machine}/"
    return f"deb [signed-by=/usr/share/keyrings/{key}] {address} /\n"


@pytest.mark.parametrize(
    ("system", "text", "expected"),
    [
        (TRIXIE, DOCKER_UBUNTU_ON_DEBIAN, ["apt.wrong_release"]),
        (TRIXIE, DOCKER_RIGHT, []),
        (TRIXIE, GIVEN_UP, ["apt.dead_repository"]),
        (TRIXIE, AGNOSTIC, []),
        (TRIXIE, UNSUPPORTED, ["apt.dead_repository"]),
        (TRIXIE, WEB_PAGE, ["apt.dead_repository"]),
        (TRIXIE, "# a comment of the administrator\n", []),
        (BOOKWORM, cuda("debian125", "3bf863cc.pub"), ["apt.wrong_release"]),
        (BOOKWORM, cuda("debian12", "3bf863cc.pub"), []),
        (BOOKWORM, cuda("debian12", "7fa2af80.pub"), ["apt.old_key"]),
        (TRIXIE, cuda("debian13", "8793F200.pub"), []),
        (NOBLE, cuda("ubuntu2404", "3bf863cc.pub", "sbsa"), ["apt.wrong_release"]),
        (NOBLE, cuda("ubuntu2404", "3bf863cc.pub"), []),
    ],
)
def test_entry_of_a_vendor(system: dict[str, Any], text: str, expected: list[str]) -> None:
    assert codes(system, (LIST, text)) == expected


def test_one_repository_with_two_keys_stops_apt() -> None:
    first = cuda("debian12", "cuda-archive-keyring.gpg")
    second = (
        "Types: deb\nURIs: https://developer.download.nvidia.com/compute/cuda/repos/debian12/x86_64/\n"
        "Suites: /\nSigned-By: /etc/apt/keyrings/other.gpg\n"
    )
    assert codes(BOOKWORM, (LIST, first), (STANZAS, second)) == ["apt.conflicting_entries"]
    assert codes(BOOKWORM, (LIST, first), (STANZAS, second + "Enabled: no\n")) == []


MINT = (
    'ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="22"\nVERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble\n'
    'PRETTY_NAME="Linux Mint 22"\n'
)


@pytest.mark.parametrize(
    ("text", "machine", "expected"),
    [
        (MINT, "aarch64", ("ubuntu", "noble", "arm64")),
        ("ID=debian\nVERSION_ID=13\nVERSION_CODENAME=trixie\n", "x86_64", ("debian", "trixie", "amd64")),
        ("ID=ubuntu\nVERSION_CODENAME=jammy\nUBUNTU_CODENAME=jammy\n", "x86_64", ("ubuntu", "jammy", "amd64")),
    ],
)
def test_repository_follows_the_origin_of_a_derivative(text: str, machine: str, expected: tuple[str, str, str]) -> None:
    system = describe_system(text, machine, "6.8")
    assert (system["repository_id"], system["codename"], system["deb_arch"]) == expected


def test_release_counts_by_its_major_number() -> None:
    system = describe_system('ID=debian\nVERSION_ID="12.5"\nVERSION_CODENAME=bookworm\n', "x86_64", "6.1")
    assert (system["major"], system["codename"]) == (12, "bookworm")


DEBIAN_MAIN = (
    "Types: deb\nURIs: http://mirror.example.org/debian\nSuites: trixie trixie-updates\nComponents: main\n"
    "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
)
COMPONENTS = ["contrib", "non-free", "non-free-firmware"]


def test_components_are_added_in_both_formats_and_the_mirror_is_kept() -> None:
    path = "/etc/apt/sources.list.d/debian.sources"
    missing = find_missing_components(
        [entry.as_dict() for entry in parse_sources(path, DEBIAN_MAIN)], TRIXIE, COMPONENTS
    )
    assert [problem.code for problem in missing] == ["apt.components_missing"]
    new = with_components(path, DEBIAN_MAIN, "trixie", COMPONENTS)
    assert "Components: main contrib non-free non-free-firmware\n" in new
    assert "http://mirror.example.org/debian" in new
    assert find_missing_components([entry.as_dict() for entry in parse_sources(path, new)], TRIXIE, COMPONENTS) == []
    line = "deb http://mirror.example.org/debian trixie main\n"
    assert with_components("/etc/apt/sources.list", line, "trixie", ["non-free"]) == line.replace("\n", " non-free\n")


def test_missing_components_only_count_where_the_driver_is_the_distributions(
    codes_of: Callable[..., list[str]],
) -> None:
    assert "apt.components_missing" in codes_of("fresh-debian13", driver_source="distribution")
    assert "apt.components_missing" not in codes_of("fresh-debian13", driver_source="vendor")


# --- two makers of one driver


def status(*packages: tuple[str, str, str]) -> str:
    return "\n\n".join(f"Package: {name}\nStatus: {state}\nVersion: {version}" for name, state, version in packages)


def test_states_are_those_that_dpkg_shows() -> None:
    found = parse_dpkg_status(
        status(
            ("nvidia-dkms-530", "hold ok installed", "530.30.02-0ubuntu1"),
            ("nvidia-kernel-common-530", "install ok unpacked", "530.41.03-0ubuntu0.22.04.2"),
            ("nvidia-utils-525", "deinstall ok config-files", "525.60.13-0ubuntu1"),
            ("nvidia-utils-530", "install ok installed", "530.30.02-0ubuntu1"),
        )
    )
    assert {name: package["status"] for name, package in found.items()} == {
        "nvidia-dkms-530": "hi",
        "nvidia-kernel-common-530": "iU",
        "nvidia-utils-530": "ii",
    }


def test_mixed_makers_are_named_with_their_packages(read_host: Reader) -> None:
    (problem,) = read_host("ubuntu-mixed-origins")["problems"]
    assert (problem["layer"], problem["code"]) == ("packages", "packages.two_origins")
    assert len(problem["evidence"]) == 2


def test_hold_only_matters_where_the_driver_has_to_change(read_host: Reader) -> None:
    host = read_host("h100-debian13")
    host["driver"]["held_packages"] = ["nvidia-driver-cuda"]
    assert "packages.held" not in [problem.code for problem in find_problems(host)]
    host["driver"].update(action="upgrade", layer="packages", reason="driver 570.1 is installed, 580 is wanted")
    assert "packages.held" in [problem.code for problem in find_problems(host)]


VENDOR_580 = {"source": "vendor", "version": "", "branch": "580", "unwanted_packages": ["nvidia-driver-cuda"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Inst nvidia-driver-cuda [580.1] (580.159.04-1 NVIDIA [amd64])\n", []),
        ("Remv docker-ce [5:29.7.2]\nInst libcuda1 (580.159.04-1 x [amd64])\n", ["packages.would_be_removed"]),
        ("Remv nvidia-container-toolkit [1.20.0-1]\n", ["packages.would_be_removed"]),
        ("Inst nvidia-driver-cuda (590.44.01-1 NVIDIA [amd64])\n", ["packages.other_branch"]),
        ("Remv nvidia-utils-530 [530.30.02]\n", []),
    ],
)
def test_simulation_is_refused_where_it_takes_something_away(text: str, expected: list[str]) -> None:
    assert [problem.code for problem in simulation_problems(text, VENDOR_580)] == expected


# --- two engines


def test_packages_of_two_engines(codes_of: Callable[..., list[str]]) -> None:
    assert codes_of("two-engines-from-packages") == ["packages.engine_conflict"]


def test_engine_of_the_distribution_alone_is_no_conflict(read_host: Reader) -> None:
    host = read_host("h100-debian13")
    state = {"version": "1", "status": "ii"}
    host["packages"].update(dict.fromkeys(("docker.io", "containerd", "runc"), state))
    host["engine"]["containers_running"] = 3
    assert find_problems(host) == []
