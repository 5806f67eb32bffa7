# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import pytest
from ansible.module_utils.opensora.buildx_progress import BuildProgress, Event, Step, step_title, timestamp

RECORDED = Path(__file__).parent / "recorded" / "buildx"


def follow(text):
    progress = BuildProgress()
    items = [item for line in text.splitlines(keepends=True) for item in progress.feed(line)]
    events = [item for item in items if isinstance(item, Event)]
    return progress, events, [item for item in items if isinstance(item, str)]


# The same failing build, as buildx 0.13 prints it and as newer ones do.
@pytest.fixture(params=["indented-failure.txt", "compact-failure.txt"])
def recorded(request):
    return follow((RECORDED / request.param).read_text())


def test_events_of_a_recorded_build(recorded):
    _, events, _ = recorded
    assert [(event.state, event.title) for event in events][-2:] == [
        ("done", "torch: torch 2.4.0"),
        ("failed", r"torch: printf '10%%\r20%%\r' && echo 'error: No module named torc..."),
    ]
    assert events[-2].line == "3/4 torch: torch 2.4.0 | 2 s"
    assert events[-1].line.endswith("| FAILED after 0 s")
    assert {event.state for event in events[:-2]} == {"cached", "done"}


def test_failure_of_a_recorded_build(recorded):
    progress, _, _ = recorded
    assert progress.failed is not None
    assert progress.failed.name.startswith("[torch 2/2] RUN")
    assert progress.failed.lines == ["10%", "20%", "error: No module named torch"]
    assert progress.exit_code == 7
    assert any(line.startswith("ERROR: failed to solve") for line in progress.messages)


def test_lines_are_put_together_from_chunks(recorded):
    progress, _, log = recorded
    step = next(step for step in progress.steps.values() if "torch 1/2" in step.name)
    assert step.lines == ["one", "half line"]
    assert "half line" in log


def test_running_steps_and_their_time():
    line = '{"vertexes":[{"digest":"a","name":"[torch 1/2] RUN pip","started":"2026-01-01T00:00:00Z"}]}\n'
    progress, events, _ = follow(line)
    assert events == []
    now = timestamp("2026-01-01T00:05:12Z")
    assert [event.line for event in progress.running(now)] == ["1/1 torch: pip | 312 s..."]


def test_housekeeping_is_not_counted():
    line = (
        '{"vertexes":[{"digest":"a","name":"[internal] load build definition","started":"2026-01-01T00:00:00Z",'
        '"completed":"2026-01-01T00:00:01Z"}]}\n'
    )
    progress, events, _ = follow(line)
    assert events == []
    assert progress.counts() == (0, 0)


def test_a_cancelled_neighbour_is_not_the_failure():
    line = (
        '{"vertexes":[{"digest":"a","name":"x","error":"process \\"y\\": context canceled"},'
        '{"digest":"b","name":"y","error":"exit code: 137"}]}\n'
    )
    progress, _, _ = follow(line)
    assert progress.failed.name == "y"
    assert progress.exit_code == 137


@pytest.mark.parametrize(
    "text", ["garbage\n", "{\n", "[1]\n", "{}\n", '{"vertexes":null}\n', '{"logs":[{"vertex":"?"}]}\n']
)
def test_anything_may_come(text):
    progress, events, _ = follow(text)
    assert events == []
    assert progress.failed is None


RUN = "[torch 2/3] RUN --mount=type=cache,target=/x --mount=type=bind "


@pytest.mark.parametrize(
    ("name", "title"),
    [
        (RUN + "uv pip install torch==2.4.0", "torch: uv pip install torch==2.4.0"),
        (RUN + ": 'torch 2.4.0, triton 3.0.0' && uv pip", "torch: torch 2.4.0, triton 3.0.0"),
        ("[2/3] RUN make", "make"),
        ("[runtime 1/9] FROM registry.example/a:1@sha256:" + "a" * 64, "runtime: FROM registry.example/a:1"),
        ("[runtime  4/11] COPY --from=build /opt /opt", "runtime: COPY /opt /opt"),
        ("exporting to image", "exporting to image"),
        ("[a 1/1] RUN " + "x" * 100, "a: " + "x" * 62 + "..."),
        ("[a 1/1] RUN echo \\\n   two", "a: echo \\ two"),
    ],
)
def test_titles(name, title):
    assert step_title(name) == title


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1970-01-01T00:00:01.123456789Z", 1.123456789),
        ("1970-01-01T01:00:01.25+01:00", 1.25),
    ],
)
def test_timestamps(text, seconds):
    assert timestamp(text) == pytest.approx(seconds)


def cache(name, error):
    return (
        f'{{"vertexes":[{{"digest":"{name}","name":"{name}","started":"2026-01-01T00:00:00Z",'
        f'"completed":"2026-01-01T00:00:01Z","error":"{error}"}}]}}\n'
    )


def test_a_cache_that_can_not_be_read_is_not_the_failure():
    unread = cache("importing cache manifest from registry.example/c", "connection refused")
    progress, _, _ = follow(unread + cache("[torch 1/1] RUN make", "exit code: 2"))
    assert progress.failed.name == "[torch 1/1] RUN make"
    assert progress.cache_faults == ["importing cache manifest from registry.example/c: connection refused"]
    assert follow(unread)[0].failed.optional


def test_a_cache_that_can_not_be_written_is_told():
    progress, _, _ = follow(cache("exporting cache to registry", "denied"))
    assert progress.cache_faults == ["exporting cache to registry: denied"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ('process "/bin/sh -c echo \\"Killed\\" && make" did not complete successfully: exit code: 2', "exit code: 2"),
        ("failed to copy: no space left on device", "failed to copy: no space left on device"),
        ("", ""),
    ],
)
def test_reason_leaves_the_command_out(error, reason):
    assert Step("x", error=error).reason == reason
