"""How far a video is, read from lines that tqdm and the application really print."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.generation_progress import (
    Event,
    Pace,
    duration,
    is_bar,
    parse_line,
    shown_prompt,
    split_output,
    steps_text,
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Inference progress:   0%|          | 0/3 [00:00<?, ?it/s]", Event("videos", 0, 3)),
        ("Inference progress:  33%|███▎      | 1/3 [01:04<02:08, 64.12s/it]", Event("videos", 1, 3, 128, 64.12)),
        ("Denoising:  40%|####      | 20/50 [04:06<06:09, 12.30s/it]", Event("steps", 20, 50, 369, 12.3)),
        ("Denoising:  50%|#####     | 25/50 [00:01<00:01, 20.00it/s]", Event("steps", 25, 50, 1, 0.05)),
        ("Denoising:   2%|2         | 1/50 [00:33<27:03, 33.12s/it]", Event("steps", 1, 50, 1623, 33.12)),
        ("Denoising:   2%|2         | 1/50 [01:33<1:16:23, 93.55s/it]", Event("steps", 1, 50, 4583, 93.55)),
        (" 40%|████      | 12/30 [00:10<00:15,  1.25it/s]", Event("steps", 12, 30, 15, 0.8)),
        ("[2026-11-25 18:30:04] Building models...", Event("phase", text="loading the model")),
        (
            "[2026-11-25 18:30:04] Generating image condition by flux...",
            Event("phase", text="making the first picture"),
        ),
        ("[2026-11-25 18:30:04] Generating video...", Event("generating")),
        ("Saved to samples/run-1/video_256px/a.mp4", Event("saved", text="samples/run-1/video_256px/a.mp4")),
        ("Saved to samples/run-1/video_256px/generated_condition/a.png", None),
        ("RuntimeError: 40% of | this", None),
        ("Loading checkpoint shards: done", None),
        ("", None),
    ],
)
def test_lines(line, expected):
    assert parse_line(line) == expected
    assert is_bar(line) == (expected is not None and expected.kind in ("videos", "steps"))


def test_a_bar_ends_its_lines_with_a_return():
    lines, rest = split_output("\r a\r\x1b[34m b\x1b[0m\n\n\x1b[A\rDenois")
    assert (lines, rest) == ([" a", " b"], "Denois")
    assert split_output(rest + "ing\n") == (["Denoising"], "")


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Event("steps", 20, 50, 240, 12.3), "40 % (20/50 steps), 12.3 s/it, 4 min left"),
        (Event("steps", 25, 50, 1, 0.04), "50 % (25/50 steps), 0.04 s/it, 1 s left"),
        (Event("steps", 1, 50), "2 % (1/50 steps)"),
        (Event("steps", 50, 50, 0, 1.0), "100 % (50/50 steps), 1.0 s/it"),
        (Event("steps", 0, 0), "0 % (0/0 steps)"),
    ],
)
def test_steps_text(event, text):
    assert steps_text(event) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (240, "4 min"), (4800, "1 h 20 min")])
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_shown_prompt():
    assert shown_prompt("two\nlines") == '"two lines"'
    assert shown_prompt("x" * 60) == '"' + "x" * 39 + '…"'


def test_pace():
    pace = Pace()
    due = [pace.is_due(Event("steps", done, 50), float(done)) for done in range(11)]
    assert [done for done, is_due in enumerate(due) if is_due] == [1, 5, 10]
    assert pace.is_due(Event("steps", 11, 50), 41.0)  # a step of a minute is worth a line by itself
    assert pace.is_due(Event("steps", 1, 50), 42.0)  # the next video
