from __future__ import annotations

from benchmarks.image_for_hosts.image_for_hosts import WAYS, Cost, builders, cost_table

OUTPUT = """TASK [opensora_image : Build the image, or take what the registry has] ***
gpu01 | 26/28 runtime: verification | 1 s
gpu01 | 27/28 exporting to image | 0 s
gpu01 | 27/28 exporting to image | 20 s...
gpu02 | receive 100 %
gpu03 | 12/28 torch: exporting to image cache | 0 s
gpu10 | 27/28 exporting to image | 3 s
changed: [gpu01]
"""


def test_a_host_that_exports_has_built() -> None:
    assert builders(OUTPUT) == ["gpu01", "gpu10"]
    assert builders("") == []


def test_rows_by_number_of_hosts_and_then_by_way() -> None:
    ways = list(WAYS)
    costs = [Cost(way, hosts, 61.4, 2_000_000, 499_999, 12.6, ["gpu01"]) for way in reversed(ways) for hosts in (4, 1)]
    lines = cost_table(costs).splitlines()[2:]
    assert [line.split(" | ")[:2] for line in lines] == [[f"| {hosts}", way] for hosts in (1, 4) for way in ways]
    assert lines[0].endswith("| 61 s | 2 MB | 0 MB | 13 s |")
