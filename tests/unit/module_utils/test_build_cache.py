# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.build_cache import (
    cache_attributes,
    cache_host_problems,
    cache_setting_problems,
    export_argument,
)

REGISTRY = "type=registry,ref=registry.example:5000/site/cache"


@pytest.mark.parametrize(
    ("entry", "attributes"),
    [
        (f"{REGISTRY},mode=max", {"type": "registry", "ref": "registry.example:5000/site/cache", "mode": "max"}),
        ("registry.example/cache:1", {"type": "registry", "ref": "registry.example/cache:1"}),
        ('type=local,"dest=/a,b"', {"type": "local", "dest": "/a,b"}),
        ("TYPE=inline", {"type": "inline"}),
    ],
)
def test_attributes(entry, attributes):
    assert cache_attributes(entry) == attributes


@pytest.mark.parametrize(
    ("direction", "entry"),
    [
        ("from", REGISTRY),
        ("from", "registry.example/cache"),
        ("from", f"{REGISTRY}@sha256:{'a' * 64}"),
        ("from", "type=local,src=/srv/cache"),
        ("to", "type=inline"),
        ("to", f"{REGISTRY},mode=max,image-manifest=true"),
        ("to", "type=local,dest=/srv/cache"),
    ],
)
def test_what_is_right(direction, entry):
    assert list(cache_setting_problems("x", direction, [entry])) == []


@pytest.mark.parametrize(
    ("direction", "entry", "says"),
    [
        ("from", "type=inline", "a type of registry, local"),
        ("to", "type=s3,region=x,bucket=y", "a type of inline, registry, local"),
        ("to", "type=registry", "type=registry with ref="),
        ("from", "type=local,dest=/x", "type=local with src="),
        ("to", "type=local,dest=cache", "an absolute path on the host after dest="),
        ("to", "type=registry,ref=UPPER/x", "an image reference"),
        ("to", f"{REGISTRY},mode=all", "mode=min or mode=max"),
        ("to", f"{REGISTRY},mode", "pairs such as"),
        ("to", f"{REGISTRY},type=inline", "pairs such as"),
        ("to", "", "a type of"),
        ("from", "mode=max", "a type of"),
    ],
)
def test_what_is_wrong(direction, entry, says):
    (problem,) = cache_setting_problems("opensora_image_cache_to", direction, [entry])
    assert problem.code == "variable.invalid"
    assert says in problem.message


@pytest.mark.parametrize(
    "entry",
    [
        "type=registry,ref=user:hunter2@registry.example/cache",
        "type=s3,bucket=x,secret_access_key=hunter2",
        "type=gha,token=hunter2",
        f"{REGISTRY},registry.password=hunter2",
    ],
)
def test_secrets_are_refused_and_not_shown(entry):
    (problem,) = cache_setting_problems("opensora_image_cache_to", "to", [entry])
    assert problem.code == "variable.secret_in_command"
    assert "hunter2" not in str(problem)


@pytest.mark.parametrize(
    ("store", "entries", "codes"),
    [
        ("classic", [], []),
        ("classic", ["type=inline"], []),
        ("classic", ["type=inline", REGISTRY], ["engine.no_cache_export"]),
        ("classic", ["type=local,dest=/x", "registry.example/cache"], ["engine.no_cache_export"] * 2),
        ("containerd", [REGISTRY, "type=local,dest=/x", "type=inline"], []),
    ],
)
def test_what_the_hosts_builder_can_do(store, entries, codes):
    problems = cache_host_problems(entries, store)
    assert [problem.code for problem in problems] == codes
    assert all("containerd" in problem.next_action for problem in problems)


@pytest.mark.parametrize(
    ("entry", "argument"),
    [
        ("type=inline", "type=inline"),
        (REGISTRY, f"{REGISTRY},ignore-error=true"),
        (f"{REGISTRY},ignore-error=false", f"{REGISTRY},ignore-error=false"),
        ("registry.example/cache", "type=registry,ref=registry.example/cache,ignore-error=true"),
    ],
)
def test_a_failed_export_costs_only_the_cache(entry, argument):
    assert export_argument(entry) == argument
