"""What a host needs for the wanted engine, by table."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible.module_utils.opensora.daemon_config import fingerprint
from ansible.module_utils.opensora.engine_decision import decide_engine, locked_versions, own_config

TRIXIE = {
    "id": "debian",
    "id_like": [],
    "repository_id": "debian",
    "family": "debian",
    "name": "Debian GNU/Linux 13 (trixie)",
    "codename": "trixie",
    "arch": "x86_64",
    "deb_arch": "amd64",
}
BOOKWORM = {**TRIXIE, "name": "Debian GNU/Linux 12 (bookworm)", "codename": "bookworm"}
NOBLE = {**TRIXIE, "id": "ubuntu", "repository_id": "ubuntu", "name": "Ubuntu 24.04", "codename": "noble"}
MINT = {**NOBLE, "id": "linuxmint", "name": "Linux Mint 22"}
ROCKY = {**TRIXIE, "id": "rocky", "repository_id": "rocky", "name": "Rocky Linux 9", "codename": None}
BARE_ENGINE: dict[str, Any] = {
    "kind": "none",
    "version": None,
    "compose": None,
    "buildx": None,
    "data_root": None,
    "running": False,
    "sdk": None,
    "runtimes": [],
}
LOCKED = {"docker": "7.2.0", "urllib3": "2.8.0"}
ENGINE = {
    **BARE_ENGINE,
    "kind": "docker",
    "version": "29.7.2",
    "compose": "5.5.1",
    "buildx": "0.30.0",
    "data_root": "/var/lib/docker",
    "running": True,
    "containers_running": 0,
    "sdk": {"path": "/opt/opensora-site/docker-sdk", "packages": {"pip": "25.0", **LOCKED}},
}
VENDOR_PACKAGES = {
    name: {"version": version, "status": "ii"}
    for name, version in {
        "docker-ce": "5:29.7.2-1~debian.13~trixie",
        "docker-ce-cli": "5:29.7.2-1~debian.13~trixie",
        "containerd.io": "2.2.0-1",
        "docker-buildx-plugin": "0.30.0-1",
        "docker-compose-plugin": "5.5.1-1",
    }.items()
}
DEBIAN_PACKAGES = {
    name: {"version": "1", "status": "ii"}
    for name in ("docker.io", "docker-cli", "docker-compose", "docker-buildx", "containerd", "runc")
}
URL = "https://download.test/linux/debian"
FILE = "/etc/apt/sources.list.d/docker.sources"
SOURCE = {
    "path": FILE,
    "types": ["deb"],
    "uris": [URL],
    "suites": ["trixie"],
    "components": ["stable"],
    "signed_by": "/etc/apt/keyrings/docker.gpg",
    "enabled": True,
}
SETTINGS: dict[str, Any] = {
    "source": "vendor",
    "version": "",
    "repository_url": URL,
    "repository_key_url": f"{URL}/gpg",
    "repository_file": FILE,
    "daemon_config": {},
    "data_root": "",
    "socket": "unix:///var/run/docker.sock",
    "minimum_compose_version": "2.24.0",
    "minimum_buildx_version": "0.13.0",
    "remove_conflicting_packages": False,
    "sdk_directory": "/opt/opensora-site/docker-sdk",
    "sdk_python_index_url": "https://mirror.test/simple",
    "sdk_python_index_variable": "site_trust_python_index_url",
    "locked": LOCKED,
}


def host(
    system: dict[str, Any] | None = None,
    engine: dict[str, Any] | None = None,
    packages: dict[str, Any] | None = None,
    sources: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    return copy.deepcopy(
        {
            "os": system or TRIXIE,
            "engine": engine or BARE_ENGINE,
            "packages": packages or {},
            "apt_sources": sources or [],
        }
    )


def settings(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(SETTINGS), **changes}


def codes(problems: list[dict[str, Any]]) -> list[str]:
    return [problem["code"] for problem in problems]


STEADY = host(engine=ENGINE, packages=VENDOR_PACKAGES, sources=[SOURCE])


@pytest.mark.parametrize(
    ("found", "changes", "needed"),
    [
        (STEADY, {}, False),
        (host(), {}, True),
        (host(engine={**ENGINE, "running": False}, packages=VENDOR_PACKAGES, sources=[SOURCE]), {}, True),
        (host(engine={**ENGINE, "sdk": None}, packages=VENDOR_PACKAGES, sources=[SOURCE]), {}, True),
        (STEADY, {"daemon_config": {"debug": True}}, True),
        (
            host(
                engine={**ENGINE, "daemon_config": {"fingerprint": fingerprint({"debug": True, "other": 1})}},
                packages=VENDOR_PACKAGES,
                sources=[SOURCE],
            ),
            {"daemon_config": {"debug": True}},
            False,
        ),
        (STEADY, {"minimum_compose_version": "9.0.0"}, True),
    ],
)
def test_the_role_is_entered_only_where_it_has_work(
    found: dict[str, Any], changes: dict[str, Any], needed: bool
) -> None:
    assert decide_engine(found, settings(**changes)).as_dict()["needed"] is needed


def test_a_bare_host_gets_everything_and_names_what_it_needs() -> None:
    plan = decide_engine(host(), settings())
    assert plan.action == "install"
    assert plan.packages == list(VENDOR_PACKAGES)
    assert plan.repository
    assert plan.start
    assert plan.sdk
    assert plan.problems == []
    assert plan.urls == [
        {"variable": "docker_engine_repository_url", "url": f"{URL}/dists/trixie/InRelease"},
        {"variable": "docker_engine_repository_key_url", "url": f"{URL}/gpg"},
        {"variable": "site_trust_python_index_url", "url": "https://mirror.test/simple/docker/"},
    ]


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (STEADY, {}),
        (host(engine=ENGINE, packages=VENDOR_PACKAGES), {}),  # set up by a person in another way
        (host(engine=ENGINE, packages=DEBIAN_PACKAGES), {"source": "distribution"}),
        (host(engine=ENGINE), {"source": "preinstalled"}),
        (host(system=ROCKY, engine=ENGINE), {"source": "preinstalled"}),
        (host(engine={**ENGINE, "compose": "2.24.0", "buildx": "v0.13.0"}), {"source": "preinstalled"}),
    ],
)
def test_a_host_as_wanted_needs_nothing_and_no_network(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    plan = decide_engine(found, settings(**wanted))
    assert plan.as_dict() == {
        **plan.as_dict(),
        "action": "none",
        "packages": [],
        "repository": False,
        "start": False,
        "sdk": False,
        "problems": [],
        "findings": [],
        "urls": [],
    }


@pytest.mark.parametrize(
    ("found", "wanted", "expected"),
    [
        (host(system=ROCKY), {}, ["system.unsupported"]),
        (host(system={**TRIXIE, "codename": "sid"}), {}, ["system.unsupported"]),
        (host(system={**TRIXIE, "arch": "riscv64", "deb_arch": None}), {}, ["system.unsupported"]),
        (host(system=BOOKWORM), {"source": "distribution"}, ["engine.distribution_without_compose"]),
        (host(system=BOOKWORM), {}, []),
        (host(system=MINT), {}, []),
        (host(), {"source": "preinstalled"}, ["engine.missing"]),
        (host(engine={**ENGINE, "kind": "snap"}), {"source": "preinstalled"}, ["engine.snap"]),
        (host(engine={**ENGINE, "kind": "snap"}), {}, ["engine.snap"]),
        (host(engine={**ENGINE, "kind": "rootless"}), {}, ["engine.rootless"]),
        (
            host(
                engine={**BARE_ENGINE, "kind": "podman"}, packages={"podman-docker": {"version": "5", "status": "ii"}}
            ),
            {},
            ["engine.podman"],
        ),
        (host(engine={**BARE_ENGINE, "kind": "podman"}, packages={"podman": {"version": "5", "status": "ii"}}), {}, []),
        (host(engine={**BARE_ENGINE, "kind": "podman"}), {"source": "preinstalled"}, ["engine.missing"]),
        (host(engine=ENGINE, packages=DEBIAN_PACKAGES), {}, ["engine.conflicting_packages"]),
        (host(engine=ENGINE, packages=DEBIAN_PACKAGES), {"remove_conflicting_packages": True}, []),
        (
            host(engine={**ENGINE, "containers_running": 3}, packages=DEBIAN_PACKAGES),
            {"remove_conflicting_packages": True},
            ["engine.containers_running"],
        ),
        (
            host(engine={**ENGINE, "compose": None}),
            {"source": "preinstalled"},
            ["engine.compose_missing"],
        ),
        (
            host(engine={**ENGINE, "compose": "2.9.0", "buildx": "0.9.1"}),
            {"source": "preinstalled"},
            ["engine.compose_too_old", "engine.buildx_too_old"],
        ),
        (host(engine=ENGINE, packages=VENDOR_PACKAGES), {"data_root": "/data"}, ["engine.data_root_differs"]),
        (STEADY, {"daemon_config": {"data-root": "/data"}}, ["engine.data_root_differs"]),
        (STEADY, {"data_root": "/var/lib/docker/"}, []),
        (host(), {"data_root": "/data"}, []),
        (host(), {"data_root": "data"}, ["variable.invalid"]),
        (host(), {"data_root": "/a", "daemon_config": {"data-root": "/b"}}, ["variable.invalid"]),
        (host(), {"socket": "tcp://127.0.0.1:2375"}, ["variable.invalid"]),
        (host(), {"daemon_config": "text"}, ["variable.invalid"]),
        (host(), {"daemon_config": {"debug": None}}, ["variable.invalid"]),
        (host(), {"minimum_compose_version": "two"}, ["variable.invalid"]),
        (host(), {"version": "29; rm"}, ["variable.invalid"]),
        (host(), {"version": "29", "source": "distribution"}, ["variable.invalid"]),
        (host(sources=[{**SOURCE, "path": "/etc/apt/sources.list.d/docker.list"}]), {}, ["apt.duplicate_repository"]),
        (host(sources=[{**SOURCE, "path": "/x.list", "suites": ["bookworm"]}]), {}, []),
        (host(sources=[{**SOURCE, "path": "/x.list", "enabled": False}]), {}, []),
    ],
)
def test_what_stands_against_it(found: dict[str, Any], wanted: dict[str, Any], expected: list[str]) -> None:
    plan = decide_engine(found, settings(**wanted))
    assert codes(plan.problems) == expected
    assert (plan.action == "blocked") is bool(expected)


def test_a_repository_in_another_file_is_replaced_where_the_role_may() -> None:
    path = "/etc/apt/sources.list.d/docker.list"
    plan = decide_engine(host(sources=[{**SOURCE, "path": path}]), settings(repair_sources=True))
    assert plan.action == "install"
    (problem,) = plan.problems
    assert (problem["code"], problem["severity"]) == ("apt.duplicate_repository", "warning")
    assert path in problem["message"]
    assert ".orig" in problem["next_action"]
    plan = decide_engine(host(sources=[{**SOURCE, "path": path}]), settings(repair_sources=False))
    assert plan.action == "blocked"
    assert "package_manager_repair_sources" in plan.problems[0]["next_action"]


def test_an_unsupported_system_is_told_what_is_supported() -> None:
    problem = decide_engine(host(system=ROCKY), settings()).problems[0]
    assert "Rocky Linux 9" in problem["message"]
    assert "Debian 12, Debian 13, Ubuntu 22.04" in problem["next_action"]


@pytest.mark.parametrize(
    ("version", "status", "action", "packages", "hold"),
    [
        ("29.7", "hi", "none", [], []),
        ("29.7.2", "ii", "upgrade", [], ["docker-ce", "docker-ce-cli"]),
        (
            "29.6",
            "hi",
            "upgrade",
            ["docker-ce=*29.6*", "docker-ce-cli=*29.6*"],
            ["docker-ce", "docker-ce-cli"],
        ),
        ("", "hi", "none", [], []),
    ],
)
def test_a_version_is_pinned_and_held(
    version: str, status: str, action: str, packages: list[str], hold: list[str]
) -> None:
    found = copy.deepcopy(STEADY)
    for name in ("docker-ce", "docker-ce-cli"):
        found["packages"][name]["status"] = status
    plan = decide_engine(found, settings(version=version))
    assert (plan.action, plan.packages, plan.hold) == (action, packages, hold)
    assert plan.repository is (action != "none")


def test_old_plugins_of_the_source_are_moved_to_the_newest_version() -> None:
    found = copy.deepcopy(STEADY)
    found["engine"]["buildx"] = "0.12.0"
    plan = decide_engine(found, settings())
    assert (plan.action, plan.packages, plan.latest) == ("upgrade", ["docker-buildx-plugin"], True)
    assert plan.problems == []
    assert "engine.buildx_too_old" in codes(plan.findings)


def test_a_half_configured_package_counts_as_missing() -> None:
    found = copy.deepcopy(STEADY)
    found["packages"]["docker-ce"]["status"] = "iF"
    plan = decide_engine(found, settings())
    assert (plan.action, plan.packages) == ("install", ["docker-ce"])


def test_ubuntu_has_compose_under_another_name() -> None:
    assert "docker-compose-v2" in decide_engine(host(system=NOBLE), settings(source="distribution")).packages


@pytest.mark.parametrize(
    "sdk", [None, {"packages": {}}, {"packages": {"docker": "7.1.0", "urllib3": "2.8.0"}}, {"packages": None}]
)
def test_the_sdk_is_made_anew_when_it_differs(sdk: dict[str, Any] | None) -> None:
    found = copy.deepcopy(STEADY)
    found["engine"]["sdk"] = sdk
    plan = decide_engine(found, settings(sdk_python_index_url=""))
    assert plan.sdk
    assert plan.action == "none"
    assert plan.urls == []
    assert codes(plan.findings) == ["engine.sdk_not_as_locked"]


def test_a_stopped_engine_is_started() -> None:
    found = copy.deepcopy(STEADY)
    found["engine"]["running"] = False
    plan = decide_engine(found, settings())
    assert plan.start
    assert codes(plan.findings) == ["engine.not_running"]


def test_the_locked_versions_leave_out_other_systems() -> None:
    text = "Docker==7.2.0 \\\n    --hash=sha256:aa\n    # via x\npywin32==312 ; sys_platform == 'win32' \\\n"
    assert locked_versions(text + "charset_normalizer==3.5.2 \\\n") == {
        "docker": "7.2.0",
        "charset-normalizer": "3.5.2",
    }


def test_own_keys_come_from_every_variable() -> None:
    assert own_config(
        settings(data_root="/data", https_proxy="http://p:3128", no_proxy="", daemon_config={"live-restore": True})
    ) == {"data-root": "/data", "proxies": {"https-proxy": "http://p:3128"}, "live-restore": True}
    assert own_config(settings()) == {}
