"""The launcher really runs here, upon an application of a few lines."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ansible.module_utils.opensora.generation_progress import parse_line, split_output
from ansible.module_utils.opensora.generation_scripts import LAUNCHER

SAMPLING = """
def get_schedule(num_steps, *, shift=True):
    return [1 - step / num_steps for step in range(num_steps + 1)]

def denoise(num_steps):
    timesteps = get_schedule(num_steps, shift=False)
    pairs = list(zip(timesteps[:-1], timesteps[1:]))
    assert len(timesteps) == num_steps + 1
    return len(pairs)
"""
TQDM = """
def tqdm(steps, desc, **_):
    for number, step in enumerate(steps):
        yield step
        print(f"{desc}: {100 * number // len(steps)}%|# | {number + 1}/{len(steps)} [00:01<00:02,  1.5s/it]")
"""
APPLICATION = """
import sys
import helper
from opensora.utils import sampling
print("steps", sampling.denoise(4), sys.argv, __name__)
"""


@pytest.fixture
def launch(tmp_path):
    for path, text in {
        "packages/opensora/__init__.py": "",
        "packages/opensora/utils/__init__.py": "",
        "packages/opensora/utils/sampling.py": SAMPLING,
        "packages/tqdm.py": TQDM,
        "scripts/inference.py": APPLICATION,
        "scripts/helper.py": "",
        "launch.py": LAUNCHER,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    def run(**environment):
        done = subprocess.run(
            [sys.executable, "launch.py", "scripts/inference.py", "256px.py", "--prompt", "sea"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path / "packages"), **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    return run


def test_counts_the_steps(launch):
    lines, _ = split_output(launch())
    events = [event for line in lines if (event := parse_line(line))]
    assert [(event.kind, event.done, event.total) for event in events][:3] == [("steps", n, 4) for n in (1, 2, 3)]
    assert lines[-1] == "steps 4 ['scripts/inference.py', '256px.py', '--prompt', 'sea'] __main__"


def test_only_the_first_process_counts(launch):
    assert launch(RANK="1").startswith("steps 4")


@pytest.mark.parametrize("missing", ["packages/tqdm.py", "packages/opensora/utils/sampling.py"])
def test_the_video_does_not_depend_on_it(launch, tmp_path, missing):
    (tmp_path / missing).write_text("" if "tqdm" in missing else SAMPLING.replace("get_schedule", "plan"))
    output = launch()
    assert "can't be counted" in output
    assert "steps 4" in output
