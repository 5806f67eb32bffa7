"""What an installed driver needs besides its packages, and that nothing is left to do afterwards."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible.module_utils.opensora import driver_files
from ansible.module_utils.opensora.driver_configuration import (
    FABRIC_UNIT,
    PERSISTENCE_UNIT,
    SUBNET_UNIT,
    find_configuration,
    pin_version,
    wanted_files,
)
from ansible.module_utils.opensora.driver_packages import System, find_system

SETTINGS: dict[str, Any] = {"source": "vendor", "version": "", "persistence": True, "fabric_manager": "auto"}
DEBIAN = find_system({"family": "debian", "id": "debian", "major": 13, "codename": "trixie"})
REDHAT = find_system({"family": "redhat", "id": "rhel", "major": 9, "codename": None})
assert DEBIAN is not None
assert REDHAT is not None
RUNNING = {"load": "loaded", "active": "active", "enabled": "enabled", "since": 1}
STOPPED = {"load": "loaded", "active": "inactive", "enabled": "disabled", "since": None}
ABSENT = {"load": "not-found", "active": "inactive", "enabled": "", "since": None}


def host_with(system: System | None = None, **changes: Any) -> dict[str, Any]:
    """Return a host that lacks nothing."""
    host: dict[str, Any] = {
        "driver": {"loaded": "580.159.04"},
        "gpus": [{"healthy": True}],
        "fabric": {"required": False, "version": None},
        "uvm_available": True,
        "services": {PERSISTENCE_UNIT: RUNNING, FABRIC_UNIT: ABSENT},
        "kernels": [{"release": "6.12.117", "next_boot": True, "initramfs_modified": 200}],
    }
    texts = wanted_files(host, SETTINGS, system or DEBIAN, "580")  # type: ignore[arg-type]
    host["driver_files"] = {path: {"text": text, "modified": 100} for path, text in texts.items() if text is not None}
    return {**host, **copy.deepcopy(changes)}


def test_nothing_to_do() -> None:
    assert DEBIAN is not None
    found = find_configuration(host_with(), SETTINGS, DEBIAN, "580")
    assert not found
    assert found.files == []


@pytest.mark.parametrize("path", [path for path in driver_files.PATHS if path != driver_files.RECORD_PATH])
@pytest.mark.parametrize("present", [None, {"text": "another\n", "modified": 1}])
def test_a_file_that_differs(path: str, present: Any) -> None:
    assert DEBIAN is not None
    host = host_with()
    host["driver_files"][path] = present
    found = find_configuration(host, SETTINGS, DEBIAN, "580")
    assert [file["path"] for file in found.files] == [path]
    # Only the blacklist has to be in the initial RAM disk.
    assert found.initramfs is (path == driver_files.NOUVEAU_PATH)


@pytest.mark.parametrize(
    ("modified", "next_boot", "stale"), [(99, True, True), (100, True, False), (None, True, False), (99, False, False)]
)
def test_initial_ram_disk_that_is_older_than_the_blacklist(modified: Any, next_boot: bool, stale: bool) -> None:
    assert DEBIAN is not None
    host = host_with(kernels=[{"release": "6.12.117", "next_boot": next_boot, "initramfs_modified": modified}])
    assert find_configuration(host, SETTINGS, DEBIAN, "580").initramfs is stale


def test_red_hat_family_has_no_files_of_apt() -> None:
    assert REDHAT is not None
    assert set(wanted_files({}, SETTINGS, REDHAT, "580")) == {
        driver_files.NOUVEAU_PATH,
        driver_files.UVM_PATH,
        driver_files.UVM_RULES_PATH,
    }


def test_guard_that_is_not_wanted_any_more_goes() -> None:
    assert DEBIAN is not None
    found = find_configuration(host_with(), {**SETTINGS, "guard_upgrades": False}, DEBIAN, "580")
    assert (found.files, found.remove_files) == ([], [driver_files.UPGRADE_GUARD_PATH])


def test_pin() -> None:
    assert (pin_version("580", ""), pin_version("580", "580.159.04")) == ("580.*", "580.159.04-*")


def test_vendors_pin_does_not_stay_for_the_distribution() -> None:
    assert DEBIAN is not None
    distribution = {**SETTINGS, "source": "distribution"}
    found = find_configuration(host_with(), distribution, DEBIAN, "550")
    assert found.remove_files == [driver_files.PIN_PATH]
    host = host_with()
    host["driver_files"][driver_files.PIN_PATH]["text"] = driver_files.pin_text(["*nvidia*"], "535.261.03-*")
    assert not find_configuration(host, distribution, DEBIAN, "535")


# services, fabric, changed settings, what is started
SERVICES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[str]]] = [
    ({PERSISTENCE_UNIT: RUNNING}, {}, {}, []),
    ({PERSISTENCE_UNIT: STOPPED}, {}, {}, [PERSISTENCE_UNIT]),
    ({PERSISTENCE_UNIT: {**RUNNING, "enabled": "disabled"}}, {}, {}, [PERSISTENCE_UNIT]),
    ({PERSISTENCE_UNIT: {**RUNNING, "enabled": "static"}}, {}, {}, []),
    ({PERSISTENCE_UNIT: STOPPED}, {}, {"persistence": False}, []),
    ({PERSISTENCE_UNIT: ABSENT}, {}, {}, []),
    ({}, {}, {}, []),
    ({FABRIC_UNIT: STOPPED}, {"required": False, "version": "580.159.04"}, {}, []),
    ({FABRIC_UNIT: STOPPED}, {"required": True, "version": "580.159.04"}, {}, [FABRIC_UNIT]),
    ({FABRIC_UNIT: STOPPED}, {"required": True, "version": "580.159.04"}, {"fabric_manager": "off"}, []),
    ({FABRIC_UNIT: STOPPED}, {"required": True, "version": "580.95.05"}, {}, []),
    (
        {FABRIC_UNIT: STOPPED, SUBNET_UNIT: STOPPED},
        {"required": True, "version": "580.159.04", "subnet_manager": {"required": True}},
        {},
        [SUBNET_UNIT, FABRIC_UNIT],
    ),
    (
        {FABRIC_UNIT: RUNNING, SUBNET_UNIT: STOPPED},
        {"required": True, "version": "580.159.04", "subnet_manager": {"required": False}},
        {},
        [],
    ),
]


@pytest.mark.parametrize(("services", "fabric", "changes", "units"), SERVICES)
def test_services(services: dict[str, Any], fabric: dict[str, Any], changes: dict[str, Any], units: list[str]) -> None:
    assert DEBIAN is not None
    host = host_with(services=services, fabric={"required": False, "version": None, **fabric})
    found = find_configuration(host, {**SETTINGS, **changes}, DEBIAN, "580")
    assert [service["unit"] for service in found.services] == units
    assert all(service["why"] for service in found.services)
    # None of them can run without a driver, and none is touched while a card does not answer.
    for broken in ({"driver": {"loaded": None}}, {"gpus": []}, {"gpus": [{"healthy": True}, {"healthy": False}]}):
        assert find_configuration({**host, **broken}, {**SETTINGS, **changes}, DEBIAN, "580").services == []


@pytest.mark.parametrize(
    ("loaded", "available", "modules"),
    [("580.159.04", False, ["nvidia-uvm"]), ("580.159.04", True, []), (None, False, [])],
)
def test_unified_memory_is_loaded_beside_the_driver(loaded: str | None, available: bool, modules: list[str]) -> None:
    assert DEBIAN is not None
    host = host_with(driver={"loaded": loaded}, uvm_available=available)
    assert find_configuration(host, SETTINGS, DEBIAN, "580").modules == modules
