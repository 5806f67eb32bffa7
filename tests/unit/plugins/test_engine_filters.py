"""The filters of the engine's roles hand plain data to the decisions."""

from __future__ import annotations

import pytest

from plugins.filter import docker_engine, nvidia_container_toolkit, problems, site_trust


@pytest.mark.parametrize(
    ("plugin", "names"),
    [
        (
            docker_engine,
            {
                "docker_engine_plan",
                "docker_engine_config",
                "docker_engine_locked_versions",
            },
        ),
        (nvidia_container_toolkit, {"nvidia_container_toolkit_plan"}),
        (site_trust, {"site_trust_plan", "site_trust_store"}),
    ],
)
def test_the_filters_are_registered(plugin: object, names: set[str]) -> None:
    assert set(plugin.FilterModule().filters()) == names  # type: ignore[attr-defined]


def test_own_and_requested_keys_are_merged() -> None:
    settings = {"data_root": "", "daemon_config": {"features": {"containerd-snapshotter": False}, "exec-opts": ["a=b"]}}
    assert docker_engine.engine_config(settings, {"features": {"cdi": True}, "exec-opts": ["c=d"]}) == {
        "features": {"containerd-snapshotter": False, "cdi": True},
        "exec-opts": ["a=b", "c=d"],
    }


def test_a_site_without_settings_needs_nothing() -> None:
    names = (
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "python_index_url",
        "debian_mirror_url",
        "debian_security_mirror_url",
    )
    settings = {**dict.fromkeys(names, ""), "ca_certificates": []}
    nothing = {"apt_sources": [], "site_trust": {"files": {}, "can_update": False}}
    host = {"os": {"codename": "trixie", "family": "debian"}, **nothing}
    assert site_trust.site_trust_plan(host, settings) == {"needed": False, "problems": [], "urls": []}
    settings["https_proxy"] = "proxy:3128"
    plan = site_trust.site_trust_plan(host, settings)
    assert plan["needed"]
    assert "site_trust_https_proxy" in problems.problem_text(plan["problems"])
    settings["https_proxy"] = "http://proxy:3128"
    assert site_trust.site_trust_plan(host, settings)["problems"] == []
    host = {"os": {"name": "Rocky Linux 9", "family": "redhat", "codename": None}, **nothing}
    assert "Rocky Linux 9" in site_trust.site_trust_plan(host, settings)["problems"][0]["message"]


def test_problems_are_told_with_layer_and_next_action() -> None:
    problem = {"layer": "disk", "code": "disk.full", "message": "full", "next_action": "free it", "evidence": []}
    assert problems.problem_text([problem]) == "[disk] full (disk.full)\n    -> free it"
