"""What the driver role will do on each recorded host, and what it refuses before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.opensora.command_runner import command_runner
from ansible.module_utils.opensora.driver_plan import make_plan
from ansible.module_utils.opensora.driver_planned import DriverPlan
from ansible.module_utils.opensora.gpu_host import read_gpu_host
from ansible.module_utils.opensora.host_probe import HostProbe

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS: dict[str, Any] = {
    "source": "preinstalled",
    "branch": "580",
    "version": "",
    "flavour": "auto",
    "missing_gpu": "fail",
    "kernel_headers": [],
    "reboot": True,
    "image_cuda_version": "12.2.2",
    "control_boot_id": "another",
}
DISTRIBUTION = {"source": "distribution"}
VENDOR = {"source": "vendor"}


@pytest.fixture
def host_of(root: Path) -> Any:
    def read(name: str) -> dict[str, Any]:
        folder = str(root / "tests/fixtures/hosts" / name)
        probe = HostProbe(folder, command_runner(folder, {}, {}, 10.0))
        return read_gpu_host(probe, wanted={}, paths=[], sdk_directory=None)

    return read


def codes(plan: DriverPlan, severity: str = "error") -> list[str]:
    return [problem["code"] for problem in plan.problems if problem["severity"] == severity]


# host, changed settings, action, codes of the errors
TABLE: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("h100-debian13", {}, "none", []),
    ("h100-debian13", DISTRIBUTION, "configure", []),
    ("h100-debian13", VENDOR, "install", []),  # the recorded host lacks the persistence daemon
    ("h100-debian13", {**VENDOR, "branch": "581"}, "blocked", ["variable.invalid"]),
    ("h100-debian13", {**VENDOR, "branch": "595", "version": "580.178.04"}, "blocked", ["variable.invalid"]),
    ("h100-debian13", {**VENDOR, "version": "580.178.04"}, "upgrade", []),
    ("h100-debian13", {**VENDOR, "version": "580.65.06"}, "upgrade", []),
    ("h100-debian13", {**VENDOR, "branch": "595"}, "upgrade", []),
    (
        "h100-debian13",
        {**VENDOR, "branch": "550", "image_cuda_version": "12.8"},
        "upgrade",
        ["driver.too_old_for_image"],
    ),
    ("h100-debian13", {"source": "nvidia"}, "blocked", ["variable.invalid"]),
    ("h100-debian13", {"flavour": "closed", "missing_gpu": "ignore"}, "blocked", ["variable.invalid"] * 2),
    ("h100-debian13", {"version": "latest"}, "blocked", ["variable.invalid"]),
    ("h100-debian13", {"branch": "five"}, "blocked", ["variable.invalid"]),
    ("h100-debian13", {"image_cuda_version": "13.1"}, "none", ["driver.too_old_for_image"]),
    ("h100-debian13", {"image_cuda_version": "newest"}, "none", ["variable.invalid"]),
    ("h100-debian13", {**DISTRIBUTION, "version": "550.163.01"}, "upgrade", ["packages.two_origins"]),
    ("no-gpu", {}, "blocked", ["gpu.absent"]),
    ("no-gpu", DISTRIBUTION, "blocked", ["gpu.absent"]),
    ("no-gpu", {"missing_gpu": "skip"}, "none", []),
    ("audio-only", {"missing_gpu": "skip"}, "none", []),
    ("fresh-debian13", {}, "install", ["driver.absent"]),
    ("fresh-debian13", DISTRIBUTION, "install", []),
    ("fresh-debian13", {**DISTRIBUTION, "version": "580.159.04"}, "install", ["variable.invalid"]),
    ("fresh-debian13", {**DISTRIBUTION, "image_cuda_version": "12.8"}, "install", ["driver.too_old_for_image"]),
    ("fresh-debian12", DISTRIBUTION, "install", []),
    ("fresh-debian12", {**DISTRIBUTION, "image_cuda_version": "12.4"}, "install", ["driver.too_old_for_image"]),
    ("half-configured", {}, "repair_packages", ["driver.packages_broken"]),
    ("half-configured", DISTRIBUTION, "repair_packages", []),
    ("loaded-differs", {}, "reboot", ["driver.loaded_differs"]),
    ("loaded-differs", DISTRIBUTION, "reboot", []),
    ("loaded-differs", {**DISTRIBUTION, "reboot": False}, "reboot", ["driver.reboot_needed"]),
    (
        "loaded-differs",
        {**DISTRIBUTION, "control_boot_id": "11111111-2222-4333-8444-555555555555"},
        "reboot",
        ["driver.reboot_needed"],
    ),
    ("nouveau", {}, "reboot", ["driver.nouveau_loaded"]),
    ("nouveau", DISTRIBUTION, "reboot", []),
    ("next-kernel-without-module", {}, "none", []),
    ("next-kernel-without-module", DISTRIBUTION, "repair_packages", ["packages.no_source", "packages.two_origins"]),
    ("next-kernel-without-module", VENDOR, "repair_packages", []),
    ("wrong-flavour", {}, "replace_flavour", ["driver.wrong_flavour"]),
    # Debian's branch is too old for the card, and NVIDIA's packages are there.
    ("wrong-flavour", DISTRIBUTION, "replace_flavour", ["driver.branch_impossible", "packages.two_origins"]),
    ("wrong-flavour", VENDOR, "replace_flavour", []),
    ("wrong-flavour", {**VENDOR, "flavour": "proprietary"}, "replace_flavour", ["driver.flavour_impossible"]),
    ("secure-boot", DISTRIBUTION, "blocked", ["driver.module_not_accepted"]),
    ("secure-boot", VENDOR, "blocked", ["driver.module_not_accepted"]),
    ("uvm-absent", {}, "none", ["driver.uvm_absent"]),
    ("uvm-absent", DISTRIBUTION, "configure", []),
    ("hgx-without-fabric", {}, "none", ["fabric.absent"]),
    ("hgx-without-fabric", VENDOR, "install", []),
    ("hgx-without-fabric", DISTRIBUTION, "configure", ["fabric.absent"]),
    # Not this role's matter.
    ("snap-docker", {}, "none", []),
    ("stale-cdi", {}, "none", []),
]


@pytest.mark.parametrize(("name", "changes", "action", "errors"), TABLE)
def test_plan(host_of: Any, name: str, changes: dict[str, Any], action: str, errors: list[str]) -> None:
    plan = make_plan(host_of(name), {**SETTINGS, **changes})
    assert (plan.action, codes(plan)) == (action, errors)
    assert bool(plan.refusal) == bool(errors)
    assert plan.needed is (action != "none" or bool(errors) or plan.skip)
    if errors or action in ("none", "reboot", "blocked"):
        assert (plan.packages, plan.components) == ([], [])


def test_skip_leaves_a_host_out(host_of: Any) -> None:
    plan = make_plan(host_of("no-gpu"), {**SETTINGS, "missing_gpu": "skip"})
    assert (plan.skip, plan.needed, plan.looks) == (True, True, True)
    assert make_plan(host_of("h100-debian13"), {**SETTINGS, "missing_gpu": "skip"}).skip is False


def test_working_driver_that_breaks_later_is_a_warning(host_of: Any) -> None:
    plan = make_plan(host_of("next-kernel-without-module"), SETTINGS)
    assert codes(plan, "warning") == ["driver.packages_broken"]


def test_installation(host_of: Any) -> None:
    plan = make_plan(host_of("fresh-debian13"), {**SETTINGS, **DISTRIBUTION})
    assert plan.flavour == "open"
    assert plan.components == ["contrib", "non-free", "non-free-firmware"]
    assert plan.packages[:3] == ["linux-headers-amd64", "linux-headers-6.12.117+deb13-amd64", "nvidia-open-kernel-dkms"]
    assert plan.unwanted_packages == []
    for word in ("nvidia-smi", "contrib", "only if the module does not load"):
        assert word in plan.summary


def test_installation_of_the_other_flavour(host_of: Any) -> None:
    settings = {**SETTINGS, **DISTRIBUTION, "flavour": "proprietary"}
    plan = make_plan(host_of("half-configured"), settings)
    assert plan.unwanted_packages == ["nvidia-open-kernel-dkms"]
    assert "nvidia-kernel-dkms" in plan.packages


def test_refusal_of_an_unsupported_distribution_names_the_supported(host_of: Any) -> None:
    host = host_of("fresh-debian13")
    host["os"].update(id="debian", major=11, name="Debian GNU/Linux 11", codename="bullseye")
    refusal = make_plan(host, {**SETTINGS, **DISTRIBUTION}).refusal
    assert "Debian GNU/Linux 11" in refusal
    assert "Debian 12 and 13, Ubuntu 22.04 and 24.04" in refusal
    assert "AlmaLinux 9" in make_plan(host, {**SETTINGS, **VENDOR}).refusal


def test_host_without_the_distributions_source(host_of: Any) -> None:
    host = host_of("fresh-debian13")
    host["apt_sources"] = []
    assert codes(make_plan(host, {**SETTINGS, **DISTRIBUTION})) == ["packages.no_source"]


def test_foreign_kernel(host_of: Any) -> None:
    host = host_of("fresh-debian13")
    host["os"]["kernel"] = "6.18.44-custom"
    assert codes(make_plan(host, {**SETTINGS, **DISTRIBUTION})) == ["kernel.no_headers_package"]
    named = {**SETTINGS, **DISTRIBUTION, "kernel_headers": ["linux-headers-custom"]}
    assert make_plan(host, named).packages[0] == "linux-headers-custom"


UBUNTU = {"id": "ubuntu", "major": 24, "name": "Ubuntu 24.04.3 LTS", "codename": "noble", "kernel": "6.8.0-1021-aws"}
ROCKY = {
    "id": "rocky",
    "family": "redhat",
    "major": 9,
    "name": "Rocky Linux 9.6",
    "codename": None,
    "kernel": "5.14.0-570.17.1.el9_6.x86_64",
}
UBUNTU_SOURCE = {
    "path": "/etc/apt/sources.list.d/ubuntu.sources",
    "format": "deb822",
    "types": ["deb"],
    "uris": ["http://archive.ubuntu.com/ubuntu"],
    "suites": ["noble", "noble-updates"],
    "components": ["main", "universe"],
    "signed_by": "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
    "enabled": True,
}
DKMS_FILES = {
    "/etc/modprobe.d/opensora-nouveau.conf",
    "/etc/modules-load.d/opensora-nvidia-uvm.conf",
    "/etc/udev/rules.d/71-opensora-nvidia-uvm.rules",
}


@pytest.fixture
def fresh(host_of: Any) -> Any:
    def read(system: dict[str, Any], **changes: Any) -> dict[str, Any]:
        host: dict[str, Any] = host_of("fresh-debian13")
        host["os"].update(system)
        host["apt_sources"] = [UBUNTU_SOURCE] if system is UBUNTU else []
        host.update(changes)
        return host

    return read


def test_vendors_driver_on_debian(host_of: Any) -> None:
    plan = make_plan(host_of("fresh-debian13"), {**SETTINGS, **VENDOR})
    assert plan.repository is not None
    assert plan.repository["url"] == "https://developer.download.nvidia.com/compute/cuda/repos/debian13/x86_64"
    assert plan.repository["key_fingerprint"].endswith("8793F200")
    assert plan.components == ["contrib"]
    assert plan.pin == {"packages": plan.pin["packages"] if plan.pin else None, "version": "580"}
    assert plan.index == {
        "url": plan.repository["url"],
        "packages": [name for name in plan.packages if not name.startswith("linux-headers")],
        "version": "580",
    }
    assert [entry["url"].rpartition("/")[2] for entry in plan.urls] == ["InRelease", "8793F200.pub"]
    paths = {file["path"] for file in plan.files}
    assert paths > DKMS_FILES
    assert {"/etc/apt/apt.conf.d/52opensora-driver", "/etc/apt/preferences.d/opensora-nvidia-driver.pref"} < paths
    pin = next(file["text"] for file in plan.files if file["path"].endswith(".pref"))
    assert "Pin: version 580.*" in pin
    assert "release o=Debian" in pin
    assert (plan.initramfs, plan.hold, plan.services, plan.module_stream) == (True, [], [], "")
    assert "debian13/x86_64" in plan.summary


def test_exact_version_is_pinned_and_held(host_of: Any) -> None:
    plan = make_plan(host_of("fresh-debian13"), {**SETTINGS, **VENDOR, "version": "580.159.04"})
    assert plan.pin is not None
    assert (plan.pin["version"], plan.version) == ("580.159.04", "580.159.04")
    assert "nvidia-kernel-open-dkms" in plan.hold
    assert not any(name.startswith("linux-headers") for name in plan.hold)
    assert any("Pin: version 580.159.04-*" in file["text"] for file in plan.files)


def test_mirror(host_of: Any) -> None:
    changes = {
        "repository_url": "https://mirror.test/nvidia/{distribution}",
        "repository_key_url": "https://mirror.test/key.asc",
        "repository_key_fingerprint": "a" * 40,
    }
    plan = make_plan(host_of("fresh-debian13"), {**SETTINGS, **VENDOR, **changes})
    assert plan.repository is not None
    assert plan.repository["url"] == "https://mirror.test/nvidia/debian13"
    assert plan.repository["key_url"] == "https://mirror.test/key.asc"
    assert plan.repository["key_fingerprint"] == "A" * 40


def test_ubuntus_signed_driver_under_secure_boot(fresh: Any) -> None:
    host = fresh(UBUNTU, secure_boot=True, signing_key={"path": None, "enrolled": None})
    plan = make_plan(host, {**SETTINGS, **DISTRIBUTION})
    assert (plan.action, codes(plan)) == ("install", [])
    assert plan.packages[:2] == [
        "linux-modules-nvidia-580-server-open-aws",
        "nvidia-headless-no-dkms-580-server-open",
    ]
    assert plan.header_packages == []
    assert plan.components == ["restricted"]
    assert (plan.repository, plan.index, plan.urls) == (None, None, [])
    assert "/etc/apt/preferences.d/opensora-nvidia-driver.pref" not in {file["path"] for file in plan.files}


def test_ubuntu_takes_multiverse_only_for_what_is_there(fresh: Any) -> None:
    plan = make_plan(fresh(UBUNTU), {**SETTINGS, **DISTRIBUTION, "branch": "615"})
    assert plan.components == ["restricted", "multiverse"]
    refused = make_plan(fresh(UBUNTU), {**SETTINGS, **DISTRIBUTION, "branch": "590"})
    assert codes(refused) == ["variable.invalid"]
    assert "535, 570, 580, 595, 615" in refused.refusal


@pytest.mark.parametrize(
    ("system", "source", "path", "words"),
    [
        (
            UBUNTU,
            "vendor",
            None,
            ["nvidia_driver_source: distribution", "update-secureboot-policy --new-key", "MOK.der"],
        ),
        (
            UBUNTU,
            "vendor",
            "/var/lib/shim-signed/mok/MOK.der",
            ["1. run `mokutil --import /var/lib/shim-signed/mok/MOK.der`"],
        ),
        (ROCKY, "vendor", None, ["dkms generate_mok", "mokutil --import /var/lib/dkms/mok.pub"]),
        (
            {},
            "vendor",
            "/var/lib/dkms/mok.pub",
            ["1. run `mokutil --import /var/lib/dkms/mok.pub`", "Enroll MOK", "reboot"],
        ),
        ({}, "vendor", None, ["1. make a key", "dkms generate_mok", "run this playbook again"]),
    ],
)
@pytest.mark.parametrize("enrolled", [None, False])
def test_secure_boot_without_an_enrolled_key(  # noqa: PLR0917  a table of the steps
    fresh: Any, system: dict[str, Any], source: str, path: str | None, words: list[str], enrolled: bool | None
) -> None:
    host = fresh(system, secure_boot=True, signing_key={"path": path, "enrolled": enrolled})
    plan = make_plan(host, {**SETTINGS, "source": source})
    assert codes(plan) == ["driver.module_not_accepted"]
    assert (plan.packages, plan.files, plan.repository, plan.reboot) == ([], [], None, False)
    for word in words:
        assert word in plan.refusal


@pytest.mark.parametrize(
    ("secure_boot", "key"),
    [(True, {"path": "/var/lib/dkms/mok.pub", "enrolled": True}), (False, None), (None, None)],
)
def test_secure_boot_that_does_not_stand_in_the_way(fresh: Any, secure_boot: bool | None, key: Any) -> None:
    plan = make_plan(fresh({}, secure_boot=secure_boot, signing_key=key), {**SETTINGS, **VENDOR})
    assert codes(plan) == []
    assert plan.packages


def test_red_hat_family(fresh: Any) -> None:
    plan = make_plan(fresh(ROCKY), {**SETTINGS, **VENDOR})
    assert (plan.action, codes(plan)) == ("install", [])
    assert plan.module_stream == "nvidia-driver:580-open"
    assert plan.prerequisites == ["epel-release"]
    assert plan.repository is not None
    assert plan.repository["manager"] == "dnf"
    assert plan.urls[0]["url"].endswith("/rhel9/x86_64/repodata/repomd.xml")
    assert plan.packages[0] == "kernel-devel-matched-5.14.0-570.17.1.el9_6.x86_64"
    assert {file["path"] for file in plan.files} == DKMS_FILES
    assert (plan.hold, plan.components) == ([], [])
    with_dkms = fresh(ROCKY, packages={"dkms": {"version": "3.2.2-1.el9", "status": "ii"}})
    assert make_plan(with_dkms, {**SETTINGS, **VENDOR}).prerequisites == []
    refused = make_plan(fresh(ROCKY), {**SETTINGS, **DISTRIBUTION})
    assert codes(refused) == ["distribution.unsupported"]
    assert "nvidia_driver_source: vendor" in refused.refusal


@pytest.mark.parametrize(
    ("card", "changes", "errors"),
    [
        ({"architecture": "Pascal"}, {"branch": "595"}, ["driver.branch_impossible"]),
        ({"architecture": "Pascal"}, {}, []),
        ({"architecture": "Blackwell", "needs_open_module": True}, {"branch": "620"}, []),
        (
            {"architecture": "Blackwell", "needs_open_module": True},
            {"branch": "550", "image_cuda_version": "12.2"},
            ["driver.branch_impossible"],
        ),
        ({"architecture": "Hopper"}, {"branch": "620", "flavour": "proprietary"}, ["driver.flavour_impossible"]),
        ({"architecture": "Pascal"}, {"branch": "620"}, ["driver.branch_impossible", "driver.flavour_impossible"]),
        ({"architecture": "Kepler"}, {}, ["driver.branch_impossible"]),
        ({"architecture": None}, {"branch": "701"}, []),
    ],
)
def test_cards_and_branches(fresh: Any, card: dict[str, Any], changes: dict[str, Any], errors: list[str]) -> None:
    host = fresh({})
    host["pci_gpus"] = [{**host["pci_gpus"][0], "device_id": "0x9999", **card}]
    plan = make_plan(host, {**SETTINGS, **VENDOR, **changes})
    assert codes(plan) == errors
    assert bool(plan.packages) is not bool(errors)


def test_branch_without_updates_is_a_warning(fresh: Any) -> None:
    plan = make_plan(fresh({}), {**SETTINGS, **VENDOR, "branch": "570"})
    assert (codes(plan), codes(plan, "warning")) == ([], ["driver.branch_ended"])
    assert plan.packages


@pytest.mark.parametrize(
    ("system", "source", "packages", "named"),
    [
        (UBUNTU, "vendor", {"nvidia-utils-580-server": "580.95.05-0ubuntu0.24.04.1"}, "nvidia-utils-580-server"),
        (UBUNTU, "distribution", {"nvidia-dkms-580-open": "580.65.06-0ubuntu1"}, "nvidia-dkms-580-open"),
        ({}, "distribution", {"nvidia-driver-cuda": "580.159.04-1"}, "nvidia-driver-cuda"),
    ],
)
def test_packages_of_the_other_maker(
    fresh: Any, system: dict[str, Any], source: str, packages: dict[str, str], named: str
) -> None:
    host = fresh(system, packages={name: {"version": text, "status": "ii"} for name, text in packages.items()})
    if not system:
        host["apt_sources"] = [
            {**UBUNTU_SOURCE, "suites": ["trixie"], "signed_by": "/usr/share/keyrings/debian-archive-keyring.pgp"}
        ]
    plan = make_plan(host, {**SETTINGS, "source": source})
    assert codes(plan) == ["packages.two_origins"]
    assert f"apt-get purge {named}" in plan.refusal
    assert plan.packages == []


def test_debians_packages_give_way_to_nvidias(host_of: Any) -> None:
    plan = make_plan(host_of("half-configured"), {**SETTINGS, **VENDOR})
    assert (plan.action, codes(plan)) == ("repair_packages", [])
    assert plan.unwanted_packages == ["nvidia-open-kernel-dkms"]
    assert "nvidia-kernel-open-dkms" in plan.packages


def test_packages_of_another_branch_go_first(fresh: Any) -> None:
    names = (
        "nvidia-dkms-580-open",
        "libnvidia-compute-580",
        "nvidia-firmware-580-580.65.06",
        "nvidia-container-toolkit",
    )
    host = fresh(UBUNTU, packages={name: {"version": "580.65.06-0ubuntu1", "status": "ii"} for name in names})
    host["driver"].update(
        action="none",
        installed="580.65.06",
        loaded="580.65.06",
        module_packages=["nvidia-dkms-580-open"],
        flavour="open",
    )
    plan = make_plan(host, {**SETTINGS, **VENDOR, "branch": "595"})
    assert plan.action == "upgrade"
    assert plan.unwanted_packages == ["libnvidia-compute-580", "nvidia-dkms-580-open", "nvidia-firmware-580-580.65.06"]
    assert "nvidia-dkms-open" in plan.packages
    assert plan.reboot is True


def test_fabric_manager_is_of_the_drivers_very_version(host_of: Any) -> None:
    plan = make_plan(host_of("hgx-without-fabric"), {**SETTINGS, **VENDOR})
    assert "nvidia-fabricmanager-580" in plan.packages
    assert plan.pin is not None
    assert plan.pin["version"] == "580.159.04"
    assert any("Pin: version 580.*" in file["text"] for file in plan.files)
    assert not any("dkms" in name for name in plan.packages)
    off = make_plan(host_of("hgx-without-fabric"), {**SETTINGS, **VENDOR, "fabric_manager": "off"})
    assert not any("fabric" in name for name in off.packages)


def test_no_fabric_manager_without_switches(host_of: Any) -> None:
    for branch in ("580", "595"):
        plan = make_plan(host_of("fresh-debian13"), {**SETTINGS, **VENDOR, "branch": branch})
        assert not any("fabric" in name or "nscq" in name for name in plan.packages)


def test_distribution_without_a_fabric_manager(host_of: Any) -> None:
    host = host_of("fresh-debian13")
    host["fabric"]["required"] = True
    assert codes(make_plan(host, {**SETTINGS, **DISTRIBUTION})) == ["fabric.no_package"]


def test_runfile(host_of: Any) -> None:
    for changes in (VENDOR, DISTRIBUTION):
        host = host_of("h100-debian13")
        host["packages"], host["driver"]["module_packages"], host["driver"]["runfile"] = {}, [], True
        plan = make_plan(host, {**SETTINGS, **changes})
        assert (plan.action, codes(plan)) == ("blocked", ["driver.runfile"])
        assert "nvidia-uninstall" in plan.refusal
        assert plan.files == []
        assert make_plan(host, SETTINGS).action == "none"


def test_halves_of_a_mixed_driver_meet_at_the_newer_version(host_of: Any) -> None:
    host = host_of("h100-debian13")
    host["packages"]["nvidia-driver-cuda"]["version"] = "580.178.04-1"
    host["driver"]["action"] = "repair_packages"
    plan = make_plan(host, {**SETTINGS, **VENDOR})
    assert plan.pin is not None
    assert plan.pin["version"] == "580.178.04"


def test_kernels_that_only_need_a_build(host_of: Any) -> None:
    host = host_of("h100-debian13")
    running = {
        "release": "6.12.117+deb13-amd64",
        "running": True,
        "next_boot": False,
        "headers": True,
        "initramfs_modified": None,
    }
    host["kernels"] = [
        {**running, "module": {"version": "580.159.04", "flavour": "open", "signed": False}},
        {**running, "release": "6.12.118+deb13-amd64", "running": False, "next_boot": True, "module": None},
    ]
    host["driver"]["action"] = "repair_packages"
    plan = make_plan(host, {**SETTINGS, **VENDOR})
    assert plan.build_kernels == ["6.12.118+deb13-amd64"]
    assert "linux-headers-6.12.118+deb13-amd64" in plan.packages
    assert plan.reboot is False
    # The plan brings the headers, unless others are named.
    host["kernels"][1]["headers"] = False
    assert make_plan(host, {**SETTINGS, **VENDOR}).build_kernels == ["6.12.118+deb13-amd64"]
    assert make_plan(host, {**SETTINGS, **VENDOR, "kernel_headers": ["linux-headers-custom"]}).build_kernels == []
    host["secure_boot"], host["signing_key"] = True, {"path": "/var/lib/dkms/mok.pub", "enrolled": True}
    assert "6.12.117+deb13-amd64" in make_plan(host, {**SETTINGS, **VENDOR}).build_kernels  # it is not signed
    assert make_plan(host, SETTINGS).build_kernels == []


def test_installed_flavour_stays_where_both_drive_the_cards(host_of: Any) -> None:
    host = host_of("h100-debian13")
    host["packages"]["nvidia-kernel-dkms"] = host["packages"].pop("nvidia-kernel-open-dkms")
    host["driver"].update(module_packages=["nvidia-kernel-dkms"], flavour="proprietary", required_flavour=None)
    upgrade = {**SETTINGS, **VENDOR, "version": "580.178.04"}
    assert make_plan(host, upgrade).flavour == "proprietary"
    # A branch without that flavour takes the other one.
    plan = make_plan(host, {**SETTINGS, **VENDOR, "branch": "620"})
    assert (plan.flavour, plan.unwanted_packages) == ("open", ["nvidia-kernel-dkms"])
    host["driver"]["required_flavour"] = "open"
    host["pci_gpus"][0]["needs_open_module"] = True
    assert make_plan(host, upgrade).flavour == "open"


SICK = (
    "Unable to determine the device handle for GPU0000:06:00.0: GPU is lost. Reboot the system to recover this GPU",
    "GPU has fallen off the bus",
)


@pytest.mark.parametrize("words", SICK)
@pytest.mark.parametrize("shown", [True, False])
def test_sick_card_never_leads_to_an_action(host_of: Any, words: str, shown: bool) -> None:
    for changes in ({}, VENDOR, DISTRIBUTION):
        host = complete_host(host_of("h100-debian13"), changes)
        host["driver"]["smi_error"] = words
        host["gpus"] = [{**gpu, "healthy": False} for gpu in host["gpus"]] if shown else []
        plan = make_plan(host, {**SETTINGS, **changes})
        assert plan.action == "none", plan.summary
        assert (plan.packages, plan.files, plan.services, plan.modules, plan.reboot) == ([], [], [], [], False)
        assert plan.problems


def complete_host(host: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a host on which the role has nothing left to do."""
    for name in ("libcuda1", "nvidia-persistenced", "nvidia-modprobe"):
        host["packages"][name] = {"version": "580.159.04-1", "status": "ii"}
    host["services"] = {"nvidia-persistenced.service": {"load": "loaded", "active": "inactive", "enabled": "disabled"}}
    if changes:
        plan = make_plan(host, {**SETTINGS, **changes})
        host["driver_files"] = {file["path"]: {"text": file["text"], "modified": 1} for file in plan.files}
    return host


@pytest.mark.parametrize("changes", [VENDOR, DISTRIBUTION])
def test_steady_state(host_of: Any, changes: dict[str, Any]) -> None:
    host = complete_host(host_of("h100-debian13"), changes)
    plan = make_plan(host, {**SETTINGS, **changes})
    assert (plan.action, [service["unit"] for service in plan.services]) == (
        "configure",
        ["nvidia-persistenced.service"],
    )
    host["services"]["nvidia-persistenced.service"].update(active="active", enabled="enabled")
    plan = make_plan(host, {**SETTINGS, **changes})
    assert plan.action == "none"
    assert (plan.packages, plan.files, plan.remove_files, plan.initramfs, plan.services) == ([], [], [], False, [])
    assert (plan.repository, plan.index, plan.urls, plan.hold) == (None, None, [], [])


def test_nothing_is_written_under_preinstalled(host_of: Any) -> None:
    for name in ("h100-debian13", "uvm-absent", "hgx-without-fabric", "nouveau", "fresh-debian13", "loaded-differs"):
        plan = make_plan(host_of(name), SETTINGS)
        assert (plan.files, plan.remove_files, plan.services, plan.modules) == ([], [], [], [])
        assert (plan.packages, plan.initramfs, plan.reboot) == ([], False, False)


CHANGES = [
    {**source, **other}
    for source in ({}, DISTRIBUTION, VENDOR)
    for other in (
        {},
        {"branch": "595"},
        {"branch": "620"},
        {"version": "580.178.04"},
        {"flavour": "proprietary"},
        {"reboot": False},
        {"image_cuda_version": "12.8"},
        {"missing_gpu": "skip"},
    )
]


def test_rules_hold_for_every_recorded_host(host_of: Any, root: Path) -> None:
    folders = sorted(path.name for path in (root / "tests/fixtures/hosts").iterdir() if path.is_dir())
    assert len(folders) > 10
    broken = []
    for name in folders:
        found = host_of(name)
        for changes in CHANGES:
            plan = make_plan(found, {**SETTINGS, **changes})
            touches = bool(plan.packages or plan.unwanted_packages or plan.components or plan.hold or plan.repository)
            writes = bool(plan.files or plan.remove_files or plan.initramfs or plan.services or plan.modules)
            errors = codes(plan)
            rules = {
                "blocked changes nothing": plan.action != "blocked" or not (touches or writes or plan.reboot),
                "blocked says why": plan.action != "blocked" or bool(errors),
                "what is refused changes no packages": not errors or not touches,
                "a refused change writes nothing": not errors or plan.action in ("none", "configure") or not writes,
                "nothing is done for none": plan.action != "none" or not (touches or writes or plan.reboot),
                "configure changes no packages": plan.action != "configure" or (writes and not touches),
                "a change has packages": plan.action not in ("install", "upgrade") or errors or plan.packages,
                "reboot changes no packages": plan.action != "reboot" or not touches,
                "no reboot against the wish": plan.action != "reboot" or plan.reboot is not bool(errors),
                "preinstalled changes nothing": bool(changes.get("source")) or not (touches or writes or plan.reboot),
                "left out means untouched": not plan.skip or not (touches or writes or errors),
                "what is installed is not removed": not set(plan.packages) & set(plan.unwanted_packages),
                "the toolkit stays": not any("container" in package for package in plan.unwanted_packages),
                "the vendor has a repository": not plan.packages
                or (plan.repository is not None) is (plan.source == "vendor"),
            }
            broken += [(name, changes, rule) for rule, kept in rules.items() if not kept]
    assert broken == []


@pytest.mark.parametrize(
    ("name", "image", "action", "errors"),
    [
        ("h100-debian13", "12.2.2", "none", []),
        ("h100-debian13", "13.1", "none", ["driver.too_old_for_image"]),
        ("loaded-differs", "12.2.2", "reboot", []),
        ("fresh-debian13", "12.2.2", "install", ["distribution.unsupported"]),
    ],
)
def test_system_without_packages_uses_what_is_there(
    host_of: Any, name: str, image: str, action: str, errors: list[str]
) -> None:
    host = host_of(name)
    host["os"].update(id="debian", major=11, name="Debian GNU/Linux 11", codename="bullseye")
    plan = make_plan(host, {**SETTINGS, **DISTRIBUTION, "image_cuda_version": image})
    assert (plan.action, codes(plan)) == (action, errors)
    assert (plan.packages, plan.files, plan.reboot) == ([], [], action == "reboot")
