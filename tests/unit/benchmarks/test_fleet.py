from __future__ import annotations

import json

import pytest

from benchmarks.fleet.fleet import Measured, extrapolation, fit, growth_table, median_of
from benchmarks.measure.playbook import Run
from benchmarks.measure.recap import HostCounts


def measured(hosts: int, seconds: float, *, moved: int = 1_000_000) -> Measured:
    run = Run(
        seconds=seconds,
        processor_seconds=10 + 2 * hosts,
        main_process_seconds=5 + hosts,
        peak_bytes=(100 + 10 * hosts) * 2**20,
        peak_processes=3,
        hosts={f"gpu{number}": HostCounts(ok=20) for number in range(hosts)},
        output="secret of the output",
    )
    return Measured(
        hosts, run, hosts_processor_seconds=3.0 * hosts, mirror_processor_seconds=0.5, moved_bytes=moved * hosts
    )


RUNS = {1: [measured(1, 10), measured(1, 14), measured(1, 12)], 4: [measured(4, 24)]}


def test_medians_of_the_run_and_of_what_stands_beside_it() -> None:
    assert median_of(RUNS[1], "seconds") == 12
    assert median_of(RUNS[4], "hosts_processor_seconds") == 12


def test_the_growth_goes_through_the_medians() -> None:
    growth = fit(RUNS, "seconds")
    assert (growth.fixed, growth.per_host) == (pytest.approx(8), pytest.approx(4))


def test_rows_of_the_growth() -> None:
    assert growth_table(RUNS).splitlines()[2:] == [
        "| 1 | 12.0 s | 10.0 to 14.0 s | 1.00 | 12.0 s | 6.0 s | 110 MiB | 3.0 s | 20 | 20 | 1.0 MB | 1.00 MB |",
        "| 4 | 24.0 s | one run | 2.00 | 18.0 s | 9.0 s | 140 MiB | 12.0 s | 20 | 80 | 4.0 MB | 1.00 MB |",
    ]


def test_what_was_not_measured_says_so() -> None:
    text, terms = extrapolation(RUNS, host_seconds=3)
    assert "**Extrapolated, not measured**" in text
    assert terms.processor.per_host == pytest.approx(2)
    # 100 hosts on 2 cores: 210 s of work, in 5 groups of 3 s; the memory is a line as well.
    assert "| 100 | 1 | 2 | 20 | 210 s | 105 s | 1100 MiB | 120 s |" in text


def test_the_output_of_a_run_is_not_kept() -> None:
    kept = json.loads(json.dumps(measured(2, 1).numbers()))
    assert "secret" not in str(kept)
    assert (kept["hosts"], kept["moved_bytes"], kept["run"]["seconds"]) == (2, 2_000_000, 1)
    assert kept["run"]["hosts"]["gpu1"]["ok"] == 20
