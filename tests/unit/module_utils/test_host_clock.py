# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.host_clock import TOLERATED_SECONDS, clock_problem

from plugins.filter import site_trust

YEAR = 365 * 86400


@pytest.mark.parametrize("ahead", [None, 0, TOLERATED_SECONDS, -TOLERATED_SECONDS])
def test_a_clock_that_is_right_or_not_known(ahead):
    assert clock_problem(ahead) is None


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (YEAR, "365 days ahead of"),
        (-YEAR, "365 days behind"),
        (7200, "2 hours ahead of"),
        (-TOLERATED_SECONDS - 1, "1 hours behind"),
    ],
)
def test_a_clock_that_is_wrong(ahead, words):
    problem = clock_problem(ahead)
    assert problem is not None
    assert (problem.layer, problem.code, problem.severity) == ("configuration", "clock.differs", "error")
    assert words in problem.message


def test_the_preflight_refuses_a_host_with_a_wrong_clock():
    host = {"os": {"family": "debian", "codename": "trixie"}, "apt_sources": [], "clock_ahead_seconds": YEAR}
    host["site_trust"] = {"files": {}, "can_update": True}
    settings = dict.fromkeys(
        ("http_proxy", "https_proxy", "python_index_url", "debian_mirror_url", "debian_security_mirror_url"), ""
    )
    settings |= {"ca_certificates": [], "no_proxy": ""}
    plan = site_trust.site_trust_plan(host, settings)
    assert [problem["code"] for problem in plan["problems"]] == ["clock.differs"]
    assert (
        site_trust.site_trust_plan({**host, "clock_ahead_seconds": 0}, {**settings, "ca_certificates": []})["problems"]
        == []
    )
