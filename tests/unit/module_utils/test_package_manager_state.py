"""Who holds the package manager's lock, and what an interruption left behind."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.opensora.host_probe import NOT_RUN, CommandResult
from ansible.module_utils.opensora.package_manager_state import describe_package_manager, parse_locks


@pytest.mark.parametrize(
    ("line", "holder"),
    [
        (
            " 24459 unattended-upgr /var/lib/dpkg/lock-frontend",
            {"pid": 24459, "command": "unattended-upgr", "path": "/var/lib/dpkg/lock-frontend"},
        ),
        ("7 apt-get /var/lib/dpkg/lock", {"pid": 7, "command": "apt-get", "path": "/var/lib/dpkg/lock"}),
        ("7 apt get /var/lib/apt/lists/lock", {"pid": 7, "command": "apt get", "path": "/var/lib/apt/lists/lock"}),
        ("9 dnf /var/lib/rpm/.rpm.lock", {"pid": 9, "command": "dnf", "path": "/var/lib/rpm/.rpm.lock"}),
        ("611 cron /run/crond.pid", None),
        ("611 editor /home/a/var/lib/dpkg/lock", None),
        ("611 backup /var/lib/dpkg/lock.old", None),
        ("-1 (undefined) /var/lib/dpkg/lock", None),
        (" 24459 unattended-upgr", None),
        ("lslocks: bad usage", None),
        ("", None),
    ],
)
def test_lock(line: str, holder: dict[str, Any] | None) -> None:
    assert parse_locks(f"1 init /run/x.lock\n{line}\n") == ([] if holder is None else [holder])


@pytest.mark.parametrize(
    ("family", "names", "kind", "interrupted"),
    [
        ("debian", ("0001", "0002"), "apt", True),
        ("debian", ("tmp.i",), "apt", False),
        ("debian", (), "apt", False),
        ("redhat", ("0001",), "dnf", False),
        ("other", (), None, False),
    ],
)
def test_interrupted(recorded: Any, family: str, names: tuple[str, ...], kind: str | None, interrupted: bool) -> None:
    for name in names:
        recorded.write(f"/var/lib/dpkg/updates/{name}")
    state = describe_package_manager(recorded, family, "", {}, NOT_RUN)
    assert (state["kind"], state["interrupted"]) == (kind, interrupted)


def test_broken_are_all_packages_and_held_the_relevant_ones(recorded: Any) -> None:
    text = (
        "Package: mysql-server\nStatus: install ok half-configured\nVersion: 8\n\n"
        "Package: zsh\nStatus: install ok unpacked\nVersion: 5\n\n"
        "Package: bash\nStatus: install ok installed\nVersion: 5\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 5\n\n"
    )
    packages = {"docker-ce": {"version": "5", "status": "hi"}, "dkms": {"version": "3", "status": "ii"}}
    state = describe_package_manager(recorded, "debian", text, packages, CommandResult(0, "7 apt /var/lib/dpkg/lock\n"))
    assert (state["broken"], state["held"]) == (["mysql-server", "zsh"], ["docker-ce"])
    assert [holder["pid"] for holder in state["lock_holders"]] == [7]
