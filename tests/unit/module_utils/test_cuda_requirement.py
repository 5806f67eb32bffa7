# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.cuda_requirement import satisfies

REAL = "cuda>=12.8 brand=unknown,driver>=470,driver<471 brand=tesla,driver>=535,driver<536"


@pytest.mark.parametrize(
    ("requirement", "cuda", "driver", "expected"),
    [
        ("", None, None, True),
        ("cuda>=12.2", "12.4", "550.144.03", True),
        ("cuda>=12.8", "12.4", "550.144.03", False),
        ("cuda>=12.8", "12.10", "600.1", True),
        ("cuda>=12.8", None, "550.144.03", None),
        (REAL, "12.4", "550.144.03", False),
        (REAL, "12.2", "535.261.03", True),
        (REAL, "12.4", None, None),
        ("cuda>=12.2 something-new", "12.0", "525.1", True),
    ],
)
def test_condition(requirement, cuda, driver, expected):
    assert satisfies(requirement, cuda, driver) is expected
