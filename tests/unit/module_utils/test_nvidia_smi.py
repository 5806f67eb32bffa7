"""nvidia-smi's output over driver generations, and what it says instead of an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ansible.module_utils.opensora.nvidia_smi import (
    SmiReport,
    merge_reports,
    parse_csv,
    parse_mig_list,
    parse_xml,
    with_mig_devices,
)

if TYPE_CHECKING:
    from pathlib import Path

CARD = "<gpu id='00000000:3B:00.0'><product_name>NVIDIA A40</product_name><uuid>GPU-1</uuid>{0}</gpu>"
MEMORY = "<fb_memory_usage><total>46068 MiB</total></fb_memory_usage>"


def document(version: str, body: str, cuda: str | None = "12.2") -> str:
    cuda_element = f"<cuda_version>{cuda}</cuda_version>" if cuda else ""
    return (
        '<?xml version="1.0" ?>\n<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v11.dtd">\n<nvidia_smi_log>'
        f"<driver_version>{version}</driver_version>{cuda_element}{body}</nvidia_smi_log>\n"
    )


COMMON = f"{MEMORY}<persistence_mode>Enabled</persistence_mode>"
MIG_NONE = "<mig_mode><current_mig>N/A</current_mig><pending_mig>N/A</pending_mig></mig_mode>"
MIG_OFF = MIG_NONE.replace("N/A", "Disabled")

# What each generation renamed, added or left out; the facts are the same.
GENERATIONS = {
    "470": document(
        "470.256.02",
        CARD.format(
            f"<accounting_mode>Disabled</accounting_mode>{COMMON}{MIG_NONE}"
            "<clocks_throttle_reasons><clocks_throttle_reason_gpu_idle>Active</clocks_throttle_reason_gpu_idle>"
            "</clocks_throttle_reasons><power_readings><power_draw>30.10 W</power_draw></power_readings>"
        ),
        cuda="11.4",
    ),
    "535": document(
        "535.261.03",
        CARD.format(
            f"<product_architecture>Ampere</product_architecture>{COMMON}{MIG_OFF}"
            "<fabric><state>N/A</state><status>N/A</status></fabric>"
            "<clocks_event_reasons/><gpu_power_readings><power_draw>30.10 W</power_draw></gpu_power_readings>"
            "<module_power_readings><power_draw>N/A</power_draw></module_power_readings>"
        ),
    ),
    "570": document(
        "570.172.08",
        CARD.format(
            f"<product_architecture>Ampere</product_architecture>{COMMON}{MIG_OFF}"
            "<fabric><state>N/A</state><status>N/A</status><cliqueId>N/A</cliqueId></fabric>"
            "<gpu_power_readings><average_power_draw>30.10 W</average_power_draw>"
            "<instant_power_draw>30.10 W</instant_power_draw></gpu_power_readings>"
        ),
        cuda="12.8",
    ),
    "580": document(
        "580.159.04",
        CARD.format(
            f"<product_architecture>Ampere</product_architecture>{COMMON}{MIG_OFF}"
            "<gpu_recovery_action>None</gpu_recovery_action><addressing_mode>HMM</addressing_mode>"
            "<fabric><state>N/A</state><status>N/A</status><health><bandwidth>N/A</bandwidth></health></fabric>"
            "<remapped_rows><remapped_row_failure>No</remapped_row_failure></remapped_rows>"
            "<gpu_memory_power_readings><average_power_draw>N/A</average_power_draw></gpu_memory_power_readings>"
        ),
        cuda="13.0",
    ),
}
CUDA = {"470": "11.4", "535": "12.2", "570": "12.8", "580": "13.0"}


@pytest.mark.parametrize("branch", GENERATIONS)
def test_generations_give_the_same_facts(branch: str) -> None:
    report = parse_xml(GENERATIONS[branch])
    assert report.error is None
    assert report.driver_version is not None
    assert report.driver_version.startswith(branch)
    assert report.cuda_version == CUDA[branch]
    (gpu,) = report.gpus
    assert gpu.pop("architecture") == (None if branch == "470" else "Ampere")
    assert gpu == {
        "index": 0,
        "uuid": "GPU-1",
        "name": "NVIDIA A40",
        "pci_bus_id": "0000:3b:00.0",
        "memory_total_mib": 46068,
        "compute_capability": None,
        "persistence_mode": True,
        "fabric": {"state": None, "status": None},
        "mig": {"enabled": False, "pending": False, "devices": []},
        "healthy": True,
    }


@pytest.mark.parametrize(
    ("state", "status", "fabric"),
    [
        ("Completed", "Success", {"state": "Completed", "status": "Success"}),
        ("In Progress", "N/A", {"state": "In Progress", "status": None}),
        ("Not Started", "Not Started", {"state": "Not Started", "status": "Not Started"}),
        ("N/A", "N/A", {"state": None, "status": None}),
    ],
)
def test_fabric(state: str, status: str, fabric: dict[str, str | None]) -> None:
    body = CARD.format(f"{MEMORY}<fabric><state>{state}</state><status>{status}</status></fabric>")
    assert parse_xml(document("580.1.2", body)).gpus[0]["fabric"] == fabric


@pytest.mark.parametrize(("word", "mode"), [("Enabled", True), ("Disabled", False), ("[N/A]", None), ("", None)])
def test_persistence_mode(word: str, mode: bool | None) -> None:
    body = CARD.format(f"<persistence_mode>{word}</persistence_mode>")
    assert parse_xml(document("580.1.2", body)).gpus[0]["persistence_mode"] is mode


def test_recorded_h100(root: Path) -> None:
    folder = root / "tests/fixtures/hosts/h100-debian13/recorded"
    xml = parse_xml((folder / "nvidia-smi.xml").read_text())
    report = merge_reports(xml, parse_csv((folder / "nvidia-smi.csv").read_text()))
    assert report.driver_version == "580.159.04"
    assert report.cuda_version == "13.0"
    assert report.gpus == [
        {
            "index": 0,
            "uuid": "GPU-00000000-0000-4000-8000-000000000001",
            "name": "NVIDIA H100 80GB HBM3",
            "architecture": "Hopper",
            "pci_bus_id": "0000:00:06.0",
            "memory_total_mib": 81559,
            "compute_capability": "9.0",
            "persistence_mode": True,
            "fabric": {"state": None, "status": None},
            "mig": {"enabled": False, "pending": False, "devices": []},
            "healthy": True,
        }
    ]


@pytest.mark.parametrize("word", ["N/A", "[N/A]", "[Not Supported]", "Unknown Error", "", "[Insufficient Permissions]"])
def test_unknown_memory_is_null(word: str) -> None:
    body = CARD.format(f"<fb_memory_usage><total>{word}</total></fb_memory_usage>")
    assert parse_xml(document("580.1.2", body)).gpus[0]["memory_total_mib"] is None


def test_old_driver_without_cuda_version() -> None:
    assert parse_xml(document("410.104", CARD.format(MEMORY), cuda=None)).cuda_version is None
    assert parse_xml(document("410.104", CARD.format(MEMORY), cuda="N/A")).cuda_version is None


@pytest.mark.parametrize(
    "text",
    [
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
        "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.159",
        "No devices were found",
        "",
    ],
)
def test_error_instead_of_a_document(text: str) -> None:
    report = parse_xml(text)
    assert report.gpus == []
    assert report.driver_version is None
    assert report.error == (text or "nvidia-smi printed nothing")


def test_error_before_the_document() -> None:
    line = "Unable to determine the device handle for GPU 0000:5E:00.0: GPU is lost."
    report = parse_xml(f"{line}\n{GENERATIONS['535']}")
    assert report.error == line
    assert len(report.gpus) == 1


def test_warning_after_the_document() -> None:
    line = "WARNING: infoROM is corrupted at gpu 0000:5E:00.0 <see the manual>"
    report = parse_xml(f"{GENERATIONS['580']}{line}\n")
    assert (report.error, len(report.gpus)) == (line, 1)


def test_mig_device_without_a_number() -> None:
    body = CARD.format(
        "<mig_mode><current_mig>Enabled</current_mig><pending_mig>Enabled</pending_mig></mig_mode><mig_devices>"
        "<mig_device><index>N/A</index></mig_device><mig_device/></mig_devices>"
    )
    mig = parse_xml(document("580.1.2", body)).gpus[0]["mig"]
    assert (mig["enabled"], mig["pending"]) == (True, True)
    assert [(device["index"], device["memory_total_mib"]) for device in mig["devices"]] == [(0, None), (1, None)]


def test_damaged_documents() -> None:
    assert parse_xml(GENERATIONS["535"][:200]).error
    hostile = GENERATIONS["535"].replace("<nvidia_smi_log>", "<!ENTITY a 'b'><nvidia_smi_log>", 1)
    assert "refused" in (parse_xml(hostile).error or "")


@pytest.mark.parametrize(
    "extra",
    [
        "<gpu_recovery_action>Reset</gpu_recovery_action>",
        "<fan_speed>ERR!</fan_speed>",
        "<remapped_rows><remapped_row_failure>Yes</remapped_row_failure></remapped_rows>",
    ],
)
def test_sick_cards(extra: str) -> None:
    assert parse_xml(document("580.1.2", CARD.format(MEMORY + extra))).gpus[0]["healthy"] is False


def test_query_without_compute_capability() -> None:
    query = parse_csv('Field "compute_cap" is not a valid field to query.\n')
    assert query.gpus == []
    report = merge_reports(parse_xml(GENERATIONS["470"]), query)
    assert report.error is None
    assert report.gpus[0]["compute_capability"] is None


def test_query_alone() -> None:
    line = "1, GPU-2, NVIDIA L4, 550.163.01, 23034 MiB, 0 MiB, 8.9, 00000000:AF:00.0, [N/A], Enabled"
    report = merge_reports(SmiReport(error="no XML"), parse_csv(line))
    assert report.error is None
    assert report.gpus[0]["pci_bus_id"] == "0000:af:00.0"
    assert report.gpus[0]["mig"]["enabled"] is False


def test_mig_devices_get_their_uuids() -> None:
    listed = parse_mig_list(
        "GPU 0: NVIDIA H100 (UUID: GPU-1)\n"
        "  MIG 3g.40gb     Device  0: (UUID: MIG-a)\n"
        "  MIG 1g.10gb     Device  1: (UUID: MIG-b)\n"
        "GPU 1: NVIDIA H100 (UUID: GPU-2)\n"
    )
    assert [device["uuid"] for device in listed["GPU-1"]] == ["MIG-a", "MIG-b"]
    assert listed["GPU-2"] == []
    body = CARD.format(
        "<mig_mode><current_mig>Enabled</current_mig></mig_mode><mig_devices><mig_device><index>0</index>"
        "<fb_memory_usage><total>40448 MiB</total></fb_memory_usage></mig_device></mig_devices>"
    )
    (gpu,) = with_mig_devices(parse_xml(document("580.1.2", body)).gpus, listed)
    assert gpu["mig"]["devices"][0] == {"index": 0, "uuid": "MIG-a", "name": "3g.40gb", "memory_total_mib": 40448}
    assert gpu["mig"]["devices"][1]["memory_total_mib"] is None
