# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.image_reference import parse_image_reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "name", "tag", "digest"),
    [
        ("ubuntu", "docker.io/library/ubuntu", None, None),
        ("ubuntu:22.04", "docker.io/library/ubuntu", "22.04", None),
        ("nvidia/cuda:12.2.2-base-ubuntu22.04", "docker.io/nvidia/cuda", "12.2.2-base-ubuntu22.04", None),
        ("docker.io/nvidia/cuda:1", "docker.io/nvidia/cuda", "1", None),
        ("localhost/x", "localhost/x", None, None),
        ("registry.example:5000/a/b", "registry.example:5000/a/b", None, None),
        ("registry.example:5000/a/b:1", "registry.example:5000/a/b", "1", None),
        (f"registry.example/a@{DIGEST}", "registry.example/a", None, DIGEST),
        (f"registry.example/a:1@{DIGEST}", "registry.example/a", "1", DIGEST),
        ("172.18.0.1/a-b__c.d/e", "172.18.0.1/a-b__c.d/e", None, None),
        ("[::1]:5000/a:2", "[::1]:5000/a", "2", None),
    ],
)
def test_parts(text, name, tag, digest):
    found = parse_image_reference(text)
    assert (found.name, found.tag, found.digest) == (name, tag, digest)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "repository"),
        ("UPPER", "repository"),
        ("a@sha256:12", "digest"),
        ("a@", "after the @"),
        ("a:b c", "tag"),
        ("https://registry.example/a", "registry host"),
        ("regis_try.example/a", "registry host"),
        ("a//b", "repository"),
    ],
)
def test_refusals(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_image_reference(text)


def test_pinned_keeps_the_tag_for_people():
    reference = parse_image_reference("registry.example/a:1").pinned(DIGEST)
    assert str(reference) == f"registry.example/a:1@{DIGEST}"
    assert reference.selector == DIGEST
