"""The steps of a video, counted as the real application counts them; each one only waits."""

from __future__ import annotations

import time

STEP_SECONDS = 0.04
# Words in a prompt by which the stand-in fails the way a real run can.
BROKEN = "unrenderable"
TOO_LARGE = "enormous"


def get_schedule(num_steps: int) -> list[float]:
    """The times of the steps, and one more for the end."""
    return [1 - step / num_steps for step in range(num_steps + 1)]


def denoise(prompt: str, num_steps: int) -> None:
    timesteps = get_schedule(num_steps)
    for step, _ in enumerate(zip(timesteps[:-1], timesteps[1:])):
        time.sleep(STEP_SECONDS)
        if step == num_steps // 5:
            refuse(prompt)


def refuse(prompt: str) -> None:
    if BROKEN in prompt:
        raise RuntimeError(f"the stand-in does not render a prompt with the word {BROKEN}")
    if TOO_LARGE in prompt:
        raise MemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has 79.11 GiB in total.")
