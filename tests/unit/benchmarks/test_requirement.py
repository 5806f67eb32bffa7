from __future__ import annotations

import pytest

from benchmarks.measure.growth import Growth
from benchmarks.measure.requirement import Terms, requirement

TERMS = Terms(processor=Growth(10, 2), main_process=Growth(5, 0.5), memory=Growth(100, 10), host_seconds=3)


@pytest.mark.parametrize(
    ("hosts", "options", "needs"),
    [
        # 210 s of work on 2 cores, and 5 groups of hosts one after the other
        (100, {"forks": 20, "cores": 2, "controllers": 1}, [105 + 15, 210, 55, 1100]),
        # On 8 cores the main process is what it waits for.
        (100, {"forks": 20, "cores": 8, "controllers": 1}, [55 + 15, 210, 55, 1100]),
        (100, {"forks": 100, "cores": 8, "controllers": 1}, [55 + 3, 210, 55, 1100]),
        # 4 controllers with 25 hosts each
        (100, {"forks": 25, "cores": 2, "controllers": 4}, [30 + 3, 240, 17.5, 350]),
        # 3 hosts for 2 controllers: one of them has 2
        (3, {"forks": 20, "cores": 1, "controllers": 2}, [14 + 3, 28, 6, 120]),
    ],
)
def test_what_it_takes_at_least(hosts, options, needs) -> None:
    found = requirement(TERMS, hosts, **options)
    assert [found.seconds, found.processor_seconds, found.main_process_seconds, found.memory_bytes] == [
        pytest.approx(need) for need in needs
    ]
