"""The filters of the engine's roles hand plain data to the decisions and describe their problems."""

from __future__ import annotations

import pytest

from plugins.filter import docker_engine, nvidia_container_toolkit, site_trust


@pytest.mark.parametrize(
    ("plugin", "names"),
    [
        (
            docker_engine,
            {
                "docker_engine_plan",
                "docker_engine_config",
                "docker_engine_describe",
                "docker_engine_locked_versions",
            },
        ),
        (nvidia_container_toolkit, {"nvidia_container_toolkit_plan", "nvidia_container_toolkit_describe"}),
        (site_trust, {"site_trust_plan", "site_trust_describe"}),
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
    host = {"os": {"codename": "trixie", "family": "debian"}, "apt_sources": []}
    assert site_trust.site_trust_plan(host, settings) == {"needed": False, "problems": [], "urls": []}
    settings["https_proxy"] = "proxy:3128"
    plan = site_trust.site_trust_plan(host, settings)
    assert plan["needed"]
    assert "site_trust_https_proxy" in site_trust.describe_problems(plan["problems"])
    settings["https_proxy"] = "http://proxy:3128"
    assert site_trust.site_trust_plan(host, settings)["problems"] == []
    host = {"os": {"name": "Rocky Linux 9", "family": "redhat", "codename": None}, "apt_sources": []}
    assert "Rocky Linux 9" in site_trust.site_trust_plan(host, settings)["problems"][0]["message"]
