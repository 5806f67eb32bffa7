"""What several short queries say together; what nvidia-smi does not tell stays unknown."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.nvidia_smi import SmiReport
from ansible.module_utils.opensora.status_gpus import (
    MEASURES,
    SAMPLE_QUERY,
    describe_gpus,
    parse_processes,
    parse_sample,
)

A, B = "GPU-aaaaaaaa-0000-4000-8000-000000000001", "GPU-bbbbbbbb-0000-4000-8000-000000000002"
NAMED = {"name": "NVIDIA H100", "healthy": True, "mig": {"enabled": False, "devices": []}, "memory_total_mib": 81559}


def line(index: int = 0, uuid: str = A, *, use: str = "96 %", memory: str = "63120 MiB", heat: str = "64") -> str:
    return f"{index}, {uuid}, {use}, {memory}, 81559 MiB, {heat}, 612.40 W, 700.00 W"


def test_the_query_asks_for_what_is_parsed():
    assert len(SAMPLE_QUERY[1].split(",")) == len(MEASURES) + 2


@pytest.mark.parametrize(
    "bad", ["[N/A]", "[Not Supported]", "N/A", "ERR!", "[Unknown Error]", "[GPU requires reset]", ""]
)
def test_what_is_not_told_is_null_and_never_zero(bad: str):
    (sample,) = parse_sample(line(use=bad))
    assert sample.values["utilization_percent"] is None
    assert sample.unknown == {"utilization_percent": f"nvidia-smi says {bad}"}
    assert sample.values["memory_used_mib"] == 63120


# Recorded on an H100 with driver 580, at rest and under load; only the UUID is another.
AT_REST = f"0, {A}, 0 %, 0 MiB, 81559 MiB, 36, 79.36 W, 700.00 W\n"
UNDER_LOAD = f"0, {A}, 100 %, 21007 MiB, 81559 MiB, 47, 473.93 W, 700.00 W\n"


@pytest.mark.parametrize(
    ("text", "values"),
    [(AT_REST, [0, 0, 81559, 36, 79.36, 700]), (UNDER_LOAD, [100, 21007, 81559, 47, 473.93, 700])],
)
def test_recorded_answers(text: str, values: list[float]):
    (sample,) = parse_sample(text)
    assert list(sample.values.values()) == values
    assert (sample.uuid, sample.unknown) == (A, {})


def test_zero_is_known():
    (sample,) = parse_sample(line(use="0 %", memory="0 MiB"))
    assert (sample.values["utilization_percent"], sample.values["memory_used_mib"]) == (0, 0)
    assert sample.unknown == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No devices were found",
        'Field "utilization.gpu" is not a valid field to query.',
        "Unable to determine the device handle for GPU0000:17:00.0: Unknown Error",
        "0, GPU-1, 80",
    ],
)
def test_other_lines_are_no_gpus(text: str):
    assert parse_sample(text) == []


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("", {}),
        (f"{A}, 1201\n{A}, 1202\n{B}, 7\n", {A: 2, B: 1}),
        ("[Not Supported]", None),
        ("Insufficient Permissions", None),
    ],
)
def test_processes(text: str, counts: dict[str, int] | None):
    assert parse_processes(text) == counts


def test_use_is_the_average_and_everything_else_as_it_was_last():
    report = SmiReport(gpus=[{"index": 0, "uuid": A, **NAMED}])
    samples = [parse_sample(line(use=f"{use} %", heat=str(heat))) for use, heat in ((0, 40), (100, 50), (95, 60))]
    (gpu,) = describe_gpus(report, samples, {A: 2})
    assert gpu["utilization_percent"] == 65
    assert gpu["temperature_celsius"] == 60
    assert gpu["process_count"] == 2
    assert gpu["unknown"] == {}
    assert [sample["utilization_percent"] for sample in gpu["samples"]] == [0, 100, 95]


def test_mig_leaves_its_use_unknown():
    mig = {"enabled": True, "devices": [{"name": "3g.40gb", "uuid": "MIG-1"}, {"name": None, "uuid": "MIG-2"}]}
    report = SmiReport(gpus=[{"index": 0, "uuid": A, **NAMED, "mig": mig}])
    (gpu,) = describe_gpus(report, [parse_sample(line(use="[N/A]"))], None)
    assert gpu["utilization_percent"] is None
    assert gpu["process_count"] is None
    assert gpu["mig_devices"] == ["3g.40gb", "MIG-2"]
    assert gpu["unknown"] == {
        "utilization_percent": "nvidia-smi says [N/A]",
        "process_count": "nvidia-smi does not list the processes",
    }


def test_numbers_are_those_of_the_query_and_gpus_stand_in_their_order():
    report = SmiReport(gpus=[{"index": 0, "uuid": B, **NAMED}, {"index": 1, "uuid": A, **NAMED}])
    gpus = describe_gpus(report, [parse_sample(f"{line(0, A)}\n{line(1, B)}")], {})
    assert [(gpu["index"], gpu["uuid"], gpu["process_count"]) for gpu in gpus] == [(0, A, 0), (1, B, 0)]


def test_without_an_answer_to_the_query_only_the_size_is_known():
    (gpu,) = describe_gpus(SmiReport(gpus=[{"index": 0, "uuid": A, **NAMED}]), [], {})
    assert gpu["memory_total_mib"] == 81559
    assert {gpu[name] for name in MEASURES if name != "memory_total_mib"} == {None}
    assert set(gpu["unknown"]) == set(MEASURES) - {"memory_total_mib"}


def test_a_card_that_lost_its_uuid_is_told_by_its_number():
    report = SmiReport(gpus=[{"index": 1, "uuid": None, **NAMED, "healthy": False}])
    (gpu,) = describe_gpus(report, [parse_sample(f"{line(0, A)}\n{line(1, '[Unknown Error]', use='ERR!')}")], {A: 1})
    assert (gpu["index"], gpu["healthy"], gpu["utilization_percent"]) == (1, False, None)
    assert gpu["process_count"] is None


def test_where_the_report_is_empty_the_query_stands_alone():
    (gpu,) = describe_gpus(SmiReport(error="damaged"), [parse_sample(line())], {})
    assert (gpu["uuid"], gpu["name"], gpu["healthy"], gpu["memory_used_mib"]) == (A, None, None, 63120)
