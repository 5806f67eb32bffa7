# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.image_transfer import TransferError, follow_transfer

MIB = 1024**2


def step(layer, current, total, status="Downloading"):
    return {"id": layer, "status": status, "progressDetail": {"current": current * MIB, "total": total * MIB}}


def test_a_line_for_every_tenth():
    messages = [{"status": "Pulling from x"}, step("a", 0, 100), *(step("a", part, 100) for part in range(1, 100, 3))]
    messages += [{"id": "a", "status": "Download complete"}]
    lines = list(follow_transfer(messages, "pull"))
    assert len(lines) == 11
    assert lines[0] == "pull 0 % of 100 MiB"
    assert lines[-1] == "pull 100 % of 100 MiB"


def test_small_layers_and_unpacking_say_nothing():
    messages = [
        {"id": "a", "status": "Downloading", "progressDetail": {"current": 10, "total": 20}},
        step("b", 5, 10, "Extracting"),
        {"status": "Digest: sha256:x"},
        {"id": "c", "status": "Pull complete"},
    ]
    assert list(follow_transfer(messages, "pull")) == []


@pytest.mark.parametrize("error", [{"errorDetail": {"message": "denied"}}, {"error": "denied"}])
def test_errors_of_the_engine(error):
    with pytest.raises(TransferError, match="denied"):
        list(follow_transfer([error], "push"))
