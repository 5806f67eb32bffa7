"""The doctor's table of layers: ok needs a proof, broken needs a problem, and everything else is not judged."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.opensora.doctor_report import (
    LAYERS,
    HostReport,
    LayerState,
    ServiceReading,
    failure_text,
    is_service_asked,
    make_report,
    next_action,
    render_host,
    render_reports,
    unreadable_report,
    verdict,
    without_secrets,
)

DRIVER = {
    "installed": "580.159.04",
    "on_disk": "580.159.04",
    "loaded": "580.159.04",
    "flavour": "open",
    "cuda_max": "13.0",
    "action": "none",
    "module_packages": ["nvidia-kernel-open-dkms"],
    "broken_packages": [],
    "held_packages": [],
    "smi_error": None,
}
HOST: dict[str, Any] = {
    "os": {"id": "debian", "family": "debian", "name": "Debian GNU/Linux 13 (trixie)", "kernel": "6.12.117"},
    "python": {"version": "3.13.5"},
    "secure_boot": False,
    "nouveau_loaded": False,
    "pci_gpu_count": 2,
    "pci_gpus": [
        {"architecture": "Hopper", "device_id": "0x2330", "pci_bus_id": "0000:06:00.0"},
        {"architecture": "Hopper", "device_id": "0x2330", "pci_bus_id": "0000:07:00.0"},
    ],
    "gpus": [{"name": "NVIDIA H100", "healthy": True}, {"name": "NVIDIA H100", "healthy": True}],
    "driver": DRIVER,
    "persistence": {"mode": True},
    "fabric": {"required": False},
    "package_manager": {"kind": "apt"},
    "packages": {"nvidia-kernel-open-dkms": {"version": "580.159.04-1", "status": "ii"}},
    "toolkit": {
        "version": "1.20.0",
        "cdi_specs": [{"path": "/run/cdi/nvidia.yaml", "devices": ["all"], "driver_version": "580.159.04"}],
    },
    "engine": {
        "kind": "docker",
        "running": True,
        "version": "29.7.2",
        "api_version": "1.52",
        "min_api_version": "1.44",
        "compose": "5.5.1",
        "buildx": "0.29.1",
        "cgroup_driver": "systemd",
        "cdi_enabled": True,
        "runtimes": ["runc", "nvidia"],
        "sdk": {"path": "/opt/opensora-site/docker-sdk", "packages": {}},
    },
    "disk": [{"path": "/var/lib/docker", "free_bytes": 160 * 1024**3, "free_inodes": 9000000}],
    "problems": [],
}
SERVICE = {
    "state": "present",
    "name": "opensora-opensora-1",
    "status": "running",
    "health": "healthy",
    "user": "10001:10001",
    "image": "sha256:aa",
    "image_digest": "registry.example.org/opensora@sha256:aa",
    "build_key": "0123456789abcdef",
    "gpus": ["GPU-1", "GPU-2"],
    "restart_count": 0,
}
RUNNING = ServiceReading(SERVICE)
SHOWN = [layer for layer in LAYERS if layer not in ("configuration", "network")]


def problem(layer: str, code: str = "a.b", severity: str = "error", message: str = "It is wrong") -> dict[str, Any]:
    return {
        "layer": layer,
        "code": code,
        "severity": severity,
        "message": message,
        "next_action": f"Mend the {layer}.",
        "evidence": ["a line"],
    }


def changed(**parts: Any) -> dict[str, Any]:
    """Return the healthy host with parts of it replaced; dictionaries are merged."""
    return {
        **HOST,
        **{name: {**HOST[name], **part} if isinstance(part, dict) else part for name, part in parts.items()},
    }


def states(report: HostReport) -> dict[str, str]:
    return {layer: entry.state for layer, entry in report.layers.items()}


def test_healthy_host() -> None:
    report = make_report(HOST, RUNNING)
    assert states(report) == dict.fromkeys(SHOWN, "ok")
    assert (report.first_broken, report.problems, verdict(report), next_action(report)) == (None, (), "ok", "-")
    found = {layer: entry.found for layer, entry in report.layers.items()}
    assert found == {
        "connection": "Debian GNU/Linux 13 (trixie), kernel 6.12.117, Python 3.13.5",
        "pci": "2 x Hopper (0x2330)",
        "firmware": "Secure Boot off",
        "kernel_module": "driver 580.159.04 open, loaded = on disk = installed",
        "userspace": "2 x NVIDIA H100, CUDA up to 13.0, persistence on",
        "fabric": "not needed: no NVSwitch",
        "packages": "driver 580.159.04 (nvidia-kernel-open-dkms)",
        "toolkit": "1.20.0, CDI /run/cdi/nvidia.yaml of driver 580.159.04, runtime nvidia registered",
        "engine": "docker 29.7.2, API 1.44 to 1.52, compose 5.5.1, buildx 0.29.1, cgroup driver systemd, CDI on",
        "disk": "free: /var/lib/docker 160.0 GiB and 9000000 inodes",
        "image": "registry.example.org/opensora@sha256:aa, build key 0123456789ab",
        "compose": "opensora-opensora-1 of user 10001:10001, 2 GPU(s) reserved",
        "application": "running, healthy, 0 restart(s)",
    }


def test_layers_stand_from_below() -> None:
    assert list(make_report(HOST, RUNNING).layers) == SHOWN


NO_DRIVER = {"installed": None, "on_disk": None, "loaded": None, "flavour": None}
NVSWITCH = {"required": True, "installed": True, "running": True, "version": "580.159.04"}


@pytest.mark.parametrize(
    ("host", "layer", "state", "found"),
    [
        (changed(pci_gpus=[]), "pci", "not_judged", "no NVIDIA GPU on the bus"),
        (changed(pci_gpus=HOST["pci_gpus"][:1]), "pci", "ok", "Hopper (0x2330) at 0000:06:00.0"),
        (changed(secure_boot=None), "firmware", "not_judged", "whether Secure Boot is on can't be read"),
        (changed(secure_boot=True), "firmware", "ok", "Secure Boot on, driver 580.159.04 accepted"),
        (
            changed(secure_boot=True, driver=NO_DRIVER) | {"signing_key": {"path": "/x", "enrolled": False}},
            "firmware",
            "not_judged",
            "Secure Boot on, the signing key is not enrolled",
        ),
        (
            changed(secure_boot=True, driver=NO_DRIVER) | {"signing_key": {"path": "/x", "enrolled": True}},
            "firmware",
            "ok",
            "Secure Boot on, the signing key is enrolled",
        ),
        (changed(driver=NO_DRIVER), "kernel_module", "not_judged", "no driver"),
        (
            changed(driver={"loaded": None}, nouveau_loaded=True),
            "kernel_module",
            "not_judged",
            "driver 580.159.04 open, on disk = installed; not loaded; nouveau is loaded",
        ),
        # A container sees no module on disk: what is loaded and shown is proof enough.
        (changed(driver={"on_disk": None}), "kernel_module", "ok", "driver 580.159.04 open, loaded = installed"),
        (
            changed(driver={"loaded": "570.1", "flavour": None}),
            "kernel_module",
            "not_judged",
            "driver 570.1, loaded; 580.159.04, on disk = installed",
        ),
        (changed(gpus=[]), "userspace", "not_judged", "no nvidia-smi"),
        (
            changed(gpus=[], driver={"smi_error": "NVIDIA-SMI has failed. Make sure\nmore"}),
            "userspace",
            "not_judged",
            "NVIDIA-SMI has failed",
        ),
        (
            changed(
                gpus=[{"name": "A", "healthy": False}, {"name": "B", "healthy": None}], persistence={"mode": False}
            ),
            "userspace",
            "ok",
            "A, B, 1 of them with a fault, CUDA up to 13.0, persistence off",
        ),
        (changed(fabric=NVSWITCH), "fabric", "ok", "fabric manager 580.159.04, running"),
        (
            changed(fabric={**NVSWITCH, "states": [{"state": "Completed"}, {"state": "In Progress"}]}),
            "fabric",
            "not_judged",
            "fabric manager 580.159.04, running, GPUs: Completed, In Progress",
        ),
        (
            changed(fabric={**NVSWITCH, "running": None}),
            "fabric",
            "not_judged",
            "fabric manager 580.159.04, state unknown",
        ),
        (
            changed(fabric={**NVSWITCH, "running": False}),
            "fabric",
            "not_judged",
            "fabric manager 580.159.04, not running",
        ),
        (changed(fabric={**NVSWITCH, "version": "570.1"}), "fabric", "not_judged", "fabric manager 570.1, running"),
        (
            changed(fabric={"required": True, "installed": False}),
            "fabric",
            "not_judged",
            "NVSwitches, no fabric manager",
        ),
        (changed(driver={"installed": None, "runfile": True}), "packages", "ok", "driver from NVIDIA's installer file"),
        (changed(driver={"installed": None}), "packages", "ok", "no driver packages"),
        (
            changed(
                driver={
                    "broken_packages": ["a", "x", "y", "z", "q"],
                    "held_packages": ["b", "c"],
                    "module_packages": [],
                }
            ),
            "packages",
            "ok",
            "driver 580.159.04, half configured: a, x, y and 2 more, held: b, c",
        ),
        (
            changed(package_manager={"kind": None}, os={"family": "other"}),
            "packages",
            "not_judged",
            "a system whose packages can't be read",
        ),
        (
            changed(toolkit={"version": None, "cdi_specs": []}, engine={"runtimes": []}),
            "toolkit",
            "not_judged",
            "not installed",
        ),
        (
            changed(toolkit={"cdi_specs": []}, engine={"runtimes": []}),
            "toolkit",
            "not_judged",
            "1.20.0",
        ),
        (changed(toolkit={"cdi_specs": []}), "toolkit", "ok", "1.20.0, runtime nvidia registered"),
        (
            changed(
                toolkit={"cdi_specs": [{"path": "/p", "devices": ["all"], "driver_version": "1"}]},
                engine={"runtimes": []},
            ),
            "toolkit",
            "not_judged",
            "1.20.0, CDI /p of driver 1",
        ),
        (changed(engine={"kind": "none"}), "engine", "not_judged", "not installed"),
        (
            changed(engine={"running": False, "error": "Cannot connect", "package": "docker-ce"}),
            "engine",
            "not_judged",
            "docker (docker-ce): Cannot connect",
        ),
        (changed(engine={"running": False, "kind": "podman"}), "engine", "not_judged", "podman: does not answer"),
        (
            changed(engine={"kind": "rootless", "compose": None, "min_api_version": None, "cdi_enabled": False}),
            "engine",
            "not_judged",
            "rootless 29.7.2, compose missing, buildx 0.29.1, cgroup driver systemd, CDI off",
        ),
        (changed(disk=[]), "disk", "not_judged", "not measured"),
        (
            changed(disk=[*HOST["disk"], {"path": "/srv", "free_bytes": None, "free_inodes": None}]),
            "disk",
            "not_judged",
            "free: /var/lib/docker 160.0 GiB and 9000000 inodes, /srv unknown",
        ),
    ],
)
def test_without_a_problem_a_layer_is_ok_only_with_a_proof(host: Any, layer: str, state: str, found: str) -> None:
    assert make_report(host, RUNNING).layers[layer] == LayerState(state, found)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("severity", "state"), [("error", "broken"), ("warning", "warning")])
def test_a_problem_decides_its_layer(layer: str, severity: str, state: str) -> None:
    report = make_report(changed(problems=[problem(layer, severity=severity)]), RUNNING)
    assert states(report) == {**{name: "ok" for name in LAYERS if name in SHOWN or name == layer}, layer: state}
    assert list(report.layers) == [name for name in LAYERS if name in SHOWN or name == layer]
    assert report.first_broken == (layer if severity == "error" else None)
    assert verdict(report) == (
        f"first broken layer: {layer}" if severity == "error" else f"no broken layer, warnings: {layer}"
    )
    assert next_action(report) == f"Mend the {layer}."


def test_first_broken_is_the_deepest() -> None:
    problems = [problem("engine"), problem("pci", severity="warning"), problem("toolkit"), problem("fabric")]
    report = make_report(changed(problems=problems), RUNNING)
    assert report.first_broken == "fabric"
    assert [entry["layer"] for entry in report.problems] == ["pci", "fabric", "toolkit", "engine"]


def test_the_next_action_is_that_of_what_is_broken() -> None:
    report = make_report(changed(problems=[problem("pci", severity="warning"), problem("toolkit")]), RUNNING)
    assert next_action(report) == "Mend the toolkit."


def test_broken_comes_before_warnings_of_the_same_layer_and_each_once() -> None:
    problems = [problem("pci", "w", "warning"), problem("pci", "e"), problem("pci", "e")]
    assert [entry["code"] for entry in make_report(changed(problems=problems), RUNNING).problems] == ["e", "w"]


@pytest.mark.parametrize(
    ("below", "layer", "host"),
    [
        ("packages", "kernel_module", changed(driver=NO_DRIVER)),
        ("pci", "kernel_module", changed(driver=NO_DRIVER)),
        ("kernel_module", "userspace", changed(gpus=[])),
        ("kernel_module", "toolkit", changed(gpus=[])),
        ("kernel_module", "fabric", changed(fabric={**NVSWITCH, "running": False})),
        ("pci", "firmware", changed(secure_boot=None)),
    ],
)
def test_what_rests_on_a_broken_layer_is_not_judged(below: str, layer: str, host: Any) -> None:
    report = make_report({**host, "problems": [problem(below)]}, RUNNING)
    assert report.layers[layer].state == "not_judged"
    assert report.layers[layer].found.endswith(f"(can't be judged: {below} is broken)")


def test_what_works_is_ok_whatever_lies_below() -> None:
    """uvm may be missing while nvidia-smi shows every card."""
    report = make_report(changed(problems=[problem("kernel_module")]), RUNNING)
    assert report.layers["userspace"].state == "ok"


@pytest.mark.parametrize(
    ("host", "reading", "root", "found"),
    [
        (HOST, ServiceReading({"state": "absent"}, (problem("compose", "service.absent"),)), "/", "not deployed"),
        (changed(engine={"kind": "none"}), ServiceReading(), "/", "not deployed: no engine"),
        (
            changed(engine={"sdk": None}),
            ServiceReading(),
            "/",
            "not deployed: no Docker SDK, which playbooks/engine.yml installs",
        ),
        (changed(engine={"running": False}), ServiceReading(), "/", "not looked at: the engine does not answer"),
        (HOST, ServiceReading(failure="no module named docker"), "/", "not looked at: no module named docker"),
        (HOST, ServiceReading(), "/srv/bundle", "not looked at: a recorded host runs nothing"),
    ],
)
def test_a_host_without_our_service_is_not_broken(host: Any, reading: ServiceReading, root: str, found: str) -> None:
    report = make_report(host, reading, root)
    assert {report.layers[layer] for layer in ("image", "compose", "application")} == {LayerState("not_judged", found)}
    assert report.first_broken is None
    assert report.problems == ()


def test_problems_of_the_service() -> None:
    reading = ServiceReading(
        {**SERVICE, "health": "unhealthy"}, (problem("application", "service.not_healthy"), problem("configuration"))
    )
    report = make_report(HOST, reading)
    assert report.layers["application"] == LayerState("broken", "running, unhealthy, 0 restart(s)")
    assert report.layers["configuration"] == LayerState("broken", "It is wrong")
    assert report.layers["compose"].state == "ok"


def test_a_wish_does_not_count_where_nothing_is_deployed() -> None:
    reading = ServiceReading({"state": "absent"}, (problem("configuration", "gpus.selection"),))
    assert make_report(HOST, reading).first_broken is None


def test_an_engine_that_refuses_the_sdk_counts() -> None:
    reading = ServiceReading({"state": "absent"}, (problem("engine", "engine.unreachable"),))
    assert make_report(HOST, reading).first_broken == "engine"


@pytest.mark.parametrize(("reading", "state"), [(RUNNING, "warning"), (ServiceReading({"state": "absent"}), "broken")])
def test_room_for_the_image_matters_until_it_is_there(reading: ServiceReading, state: str) -> None:
    report = make_report(changed(problems=[problem("disk", "disk.low_bytes")]), reading)
    assert report.layers["disk"].state == state


def test_unreadable_host() -> None:
    report = unreadable_report([problem("connection", message="sudo asks for a password")])
    assert report.first_broken == "connection"
    assert report.layers["connection"] == LayerState("broken", "sudo asks for a password")
    rest = {entry for layer, entry in report.layers.items() if layer != "connection"}
    assert rest == {LayerState("not_judged", "not looked at: the host could not be read")}
    assert list(report.layers) == SHOWN


def test_a_folder_without_a_host_is_named() -> None:
    report = make_report({"os": {"id": None}, "packages": {}, "pci_gpus": []}, ServiceReading(), "/srv/bundel")
    assert report.first_broken == "connection"
    assert "'/srv/bundel'" in report.problems[0]["message"]


@pytest.mark.parametrize(
    ("host", "root", "expected"),
    [
        (HOST, "/", True),
        (HOST, "/srv/bundle", False),
        (changed(engine={"sdk": None}), "/", False),
        (changed(engine={"running": False}), "/", False),
        ({}, "/", False),
    ],
)
def test_is_service_asked(host: Any, root: str, expected: bool) -> None:
    assert is_service_asked(host, root) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("deb https://bob:hunter2@mirror.example.org/debian x", "deb https://***@mirror.example.org/debian x"),
        ("https://0123456789abcdefghijkl@host/x", "https://***@host/x"),
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("HF_TOKEN=abc def", "HF_TOKEN=*** def"),
        ('{"password": "a1b2c3d4"}', '{"password": "***"}'),
        ("Authorization: Bearer abcdefghijkl0123", "Authorization: Bearer ***"),
        ("pull with hf_abcdefghijklmnopqrstuvwx", "pull with ***"),
        ("HF_TOKEN: looks like a secret", "HF_TOKEN: looks like a secret"),
        ("Missing sudo password", "Missing sudo password"),
    ],
)
def test_without_secrets(text: str, expected: str) -> None:
    assert without_secrets(text) == expected


def test_no_secret_reaches_a_report() -> None:
    leak = {**problem("packages", message="x token=abc"), "next_action": "y token=abc", "evidence": ["z token=abc"]}
    report = make_report(changed(problems=[leak], engine={"running": False, "error": "token=abc"}), RUNNING)
    assert "abc" not in str(report.as_dict())
    assert "abc" not in render_host("gpu01", report)


def test_as_dict() -> None:
    data = make_report(changed(problems=[problem("toolkit")]), RUNNING).as_dict()
    assert list(data) == ["layers", "first_broken", "problems"]
    assert data["layers"]["pci"] == {"state": "ok", "found": "2 x Hopper (0x2330)"}
    assert data["first_broken"] == "toolkit"
    assert data["problems"] == [problem("toolkit")]


def test_text_of_one_host() -> None:
    report = HostReport(
        {
            "connection": LayerState("ok", "Debian"),
            "pci": LayerState("broken", "none"),
            "disk": LayerState("not_judged", "?"),
        },
        (problem("pci"),),
    )
    assert render_reports({"gpu01": report}) == (
        "gpu01: first broken layer: pci\n"
        "\n"
        "layer       state       found\n"
        "----------  ----------  ------\n"
        "connection  ok          Debian\n"
        "pci         broken      none\n"
        "disk        not judged  ?\n"
        "\n"
        "broken [pci] It is wrong (a.b)\n"
        "    | a line\n"
        "    -> Mend the pci."
    )


def test_text_of_several_hosts_begins_with_a_line_for_each() -> None:
    reports = {"gpu01": make_report(HOST, RUNNING), "gpu02": make_report(changed(problems=[problem("pci")]), RUNNING)}
    text = render_reports(reports)
    assert text.splitlines()[:6] == [
        "2 hosts, 1 of them broken",
        "",
        "host   verdict                  next action",
        "-----  -----------------------  -------------",
        "gpu01  ok                       -",
        "gpu02  first broken layer: pci  Mend the pci.",
    ]
    assert text.index("gpu01: ok") < text.index("gpu02: first broken layer: pci")
    assert failure_text(reports) == "broken: gpu02 (pci)"
    assert failure_text({"gpu01": reports["gpu01"]}) == ""
