# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Whether a host's clock is right: where the year is another one, certificates and package indexes are refused."""

from __future__ import annotations

from ansible.module_utils.opensora.problems import Problem

# A host may be read late: as many wait for their turn as the control node has no process for.
TOLERATED_SECONDS = 3600
_DAY = 86400


def clock_problem(ahead_seconds: float | None) -> Problem | None:
    """Return the problem of a clock that is far from that of the control node.

    Args:
        ahead_seconds: How far the host's clock is ahead, negative where it is behind; null where it is not known.
    """
    if ahead_seconds is None or abs(ahead_seconds) <= TOLERATED_SECONDS:
        return None
    amount = abs(ahead_seconds)
    words = f"{amount / _DAY:.0f} days" if amount >= 2 * _DAY else f"{amount / 3600:.0f} hours"
    return Problem(
        layer="configuration",
        code="clock.differs",
        severity="error",
        message=f"The host's clock is {words} {'ahead of' if ahead_seconds > 0 else 'behind'} that of the control node",
        next_action=(
            "Correct the wrong one of the two (`timedatectl`, the time server of the site): certificates and package "
            "indexes are refused where the time is wrong."
        ),
    )
