"""What people report of bus, firmware, kernel module, libraries and fabric, and the answer that helps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.opensora.connection import unreadable_host
from ansible.module_utils.opensora.cuda_requirement import satisfies
from ansible.module_utils.opensora.driver_plan import make_plan
from ansible.module_utils.opensora.driver_state import is_driver_package
from ansible.module_utils.opensora.gpu_host_problems import driver_problems
from ansible.module_utils.opensora.kernel_module import loaded_modules
from ansible.module_utils.opensora.nvidia_smi import parse_xml
from ansible.module_utils.opensora.pci import PciDevice

if TYPE_CHECKING:
    from collections.abc import Callable

    Reader = Callable[..., dict[str, Any]]

SETTINGS: dict[str, Any] = {
    "source": "preinstalled",
    "branch": "",
    "version": "",
    "flavour": "auto",
    "missing_gpu": "fail",
    "reboot": True,
    "fabric_manager": "auto",
    "persistence": True,
    "guard_upgrades": True,
    "image_cuda_version": "",
    "control_boot_id": "another",
}


def only(host: dict[str, Any], code: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [problem for problem in host["problems"] if problem["code"] == code]
    assert len(found) == 1
    return found[0]


# --- a new kernel without a module


def test_driver_works_now_and_breaks_at_the_next_boot(read_host: Reader) -> None:
    host = read_host("next-kernel-without-module")
    assert host["driver"]["loaded"] == "570.172.08"
    assert "nvidia-dkms-570" in host["driver"]["broken_packages"]
    assert {problem["severity"] for problem in host["problems"]} == {"warning"}
    named = [problem for problem in host["problems"] if "6.8.0-1029-aws" in problem["message"]]
    assert any("next boot" in problem["message"] or "until the host boots" in problem["message"] for problem in named)
    assert not any("Reboot the host" in problem["next_action"] for problem in host["problems"])


def test_kernel_without_headers_is_the_cause_and_no_reboot_the_cure(read_host: Reader) -> None:
    first = read_host("headers-missing")["problems"][0]
    assert (first["layer"], first["code"], first["severity"]) == ("kernel_module", "kernel.headers_missing", "error")
    assert "headers" in first["next_action"]
    assert not any("Reboot the host" in problem["next_action"] for problem in read_host("headers-missing")["problems"])


def test_compiler_line_of_a_failed_build_is_shown(read_host: Reader) -> None:
    problem = only(read_host("half-configured"), "driver.packages_broken")
    assert problem["layer"] == "packages"
    assert any("too few arguments to function" in line for line in problem["evidence"])


# --- nouveau

NOUVEAU_LOADED = "nouveau 3096576 1 - Live 0x0\ndrm_ttm_helper 12288 1 nouveau, Live 0x0\n"
NOUVEAU_AS_USER = "drm_ttm_helper 12288 1 nouveau, Live 0x0\nttm 102400 2 nouveau,drm_ttm_helper, Live 0x0\n"


@pytest.mark.parametrize(("modules", "loaded"), [(NOUVEAU_LOADED, True), (NOUVEAU_AS_USER, False), ("", False)])
def test_only_the_first_column_names_a_loaded_module(modules: str, *, loaded: bool) -> None:
    assert ("nouveau" in loaded_modules(modules, [])) is loaded


def test_nouveau_needs_one_reboot(read_host: Reader) -> None:
    problem = only(read_host("nouveau"), "driver.nouveau_loaded")
    assert (problem["layer"], problem["next_action"]) == ("kernel_module", "Reboot the host.")


def test_nouveau_as_a_user_of_other_modules_is_not_loaded(read_host: Reader) -> None:
    host = read_host("nouveau-named-by-users-only")
    assert (host["nouveau_loaded"], host["problems"]) == (False, [])


# --- a driver older than the image

OLD_REQUIREMENT = "cuda>=12.8 brand=unknown,driver>=470,driver<471 brand=grid,driver>=470,driver<471"


@pytest.mark.parametrize(
    ("requirement", "cuda", "driver", "answer"),
    [
        (OLD_REQUIREMENT, "12.4", "550.144.03", False),
        (OLD_REQUIREMENT, "12.8", "570.86.15", True),
        (OLD_REQUIREMENT, "12.10", "590.1", True),
        (OLD_REQUIREMENT, "11.4", "470.256.02", True),
        ("", "12.4", "550.144.03", True),
        (OLD_REQUIREMENT, None, None, None),
    ],
)
def test_image_condition(requirement: str, cuda: str | None, driver: str | None, *, answer: bool | None) -> None:
    assert satisfies(requirement, cuda, driver) is answer


@pytest.mark.parametrize(("needed", "codes"), [("13.1", ["driver.too_old_for_image"]), ("12.8", []), ("", [])])
def test_driver_is_compared_with_the_image_before_the_build(
    codes_of: Callable[..., list[str]], needed: str, codes: list[str]
) -> None:
    assert codes_of("h100-debian13", cuda_version=needed) == codes


def test_driver_too_old_names_the_branch_that_would_do(read_host: Reader) -> None:
    problem = only(read_host("h100-debian13", cuda_version="13.1"), "driver.too_old_for_image")
    assert problem["layer"] == "userspace"
    assert "590" in problem["next_action"]


# --- Secure Boot


def test_key_that_is_not_enrolled_stops_with_the_steps(read_host: Reader) -> None:
    host = read_host("secure-boot")
    problem = only(host, "driver.module_not_accepted")
    assert (problem["layer"], host["driver"]["action"]) == ("firmware", "blocked")
    assert "mokutil" in problem["next_action"]
    plan = make_plan(host, {**SETTINGS, "source": "distribution"})
    assert (plan.action, plan.reboot, plan.packages) == ("blocked", False, [])
    assert "Enroll MOK" in plan.refusal


@pytest.mark.parametrize("name", ["secure-boot-key-enrolled", "ubuntu-signed-modules"])
def test_module_that_the_firmware_takes_is_no_problem(read_host: Reader, name: str) -> None:
    host = read_host(name)
    assert (host["secure_boot"], host["problems"]) == (True, [])


def test_machine_without_efi_has_no_secure_boot(read_host: Reader) -> None:
    assert read_host("h100-debian13")["secure_boot"] is False


# --- a driver that the package manager does not know


def test_runfile_is_used_but_never_installed_over(read_host: Reader) -> None:
    host = read_host("runfile-driver")
    assert host["driver"]["runfile"] is True
    assert [problem["severity"] for problem in host["problems"]] == ["warning"]
    assert make_plan(host, SETTINGS).refusal == ""
    plan = make_plan(host, {**SETTINGS, "source": "distribution"})
    assert (plan.action, plan.packages) == ("blocked", [])
    assert "nvidia-uninstall" in plan.refusal


def test_container_toolkit_is_no_driver_package() -> None:
    assert is_driver_package("nvidia-dkms-570")
    assert not is_driver_package("nvidia-container-toolkit")


# --- NVSwitch


def test_switches_without_a_fabric_manager(read_host: Reader) -> None:
    host = read_host("hgx-without-fabric")
    assert len(host["gpus"]) == 8
    problem = only(host, "fabric.absent")
    assert (problem["layer"], "802" in problem["next_action"]) == ("fabric", True)


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("fabric-stopped", ["fabric.not_running"]),
        ("fabric-of-another-version", ["fabric.version_differs"]),
        ("fabric-in-progress", ["fabric.not_ready"]),
        ("fabric-ready", []),
        # The name says H100, and there is no switch: nothing is needed.
        ("h100-pcie-without-nvswitch", []),
    ],
)
def test_fabric_by_hardware_not_by_name(codes_of: Callable[..., list[str]], name: str, codes: list[str]) -> None:
    assert codes_of(name) == codes


# --- many shapes of nvidia-smi


@pytest.mark.parametrize("branch", ["470", "535", "570"])
def test_renamed_elements_give_the_same_facts(read_host: Reader, branch: str) -> None:
    host = read_host(f"nvidia-smi-of-{branch}")
    (gpu,) = host["gpus"]
    assert host["problems"] == []
    assert host["driver"]["loaded"].startswith(branch)
    assert gpu["uuid"].startswith("GPU-")
    assert gpu["memory_total_mib"] > 0
    assert (gpu["healthy"], gpu["mig"]["enabled"]) == (True, False)


def test_warning_before_the_document_does_not_hide_it(read_host: Reader) -> None:
    host = read_host("nvidia-smi-warns-first")
    assert (len(host["gpus"]), host["problems"]) == (1, [])
    assert host["driver"]["smi_error"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", "couldn't communicate"),
        ("Failed to initialize NVML: Driver/library version mismatch\n", "version mismatch"),
        ("", "printed nothing"),
        ("<?xml version='1.0'?>\n<nvidia_smi_log><gpu>", "cannot be read"),
    ],
)
def test_text_instead_of_the_document_is_an_error(text: str, word: str) -> None:
    report = parse_xml(text)
    assert (report.gpus, report.driver_version) == ([], None)
    assert word in (report.error or "")


def test_libraries_of_another_version_than_the_loaded_module(read_host: Reader) -> None:
    problem = only(read_host("library-mismatch"), "userspace.version_mismatch")
    assert problem["layer"] == "userspace"
    assert "reboot" in problem["next_action"]


# --- hosts without a GPU


def test_audio_function_of_a_card_is_no_gpu() -> None:
    audio = PciDevice("0000:41:00.1", 0x10DE, 0x22BA, 0x040300, None)
    management = PciDevice("0000:03:00.0", 0x1A03, 0x2000, 0x030000, "ast")
    card = PciDevice("0000:41:00.0", 0x10DE, 0x2331, 0x030200, "nvidia")
    assert [device.is_nvidia_gpu for device in (audio, management, card)] == [False, False, True]


@pytest.mark.parametrize("name", ["no-gpu", "audio-only"])
def test_host_without_a_gpu_is_named_or_skipped(read_host: Reader, name: str) -> None:
    host = read_host(name)
    problem = only(host, "gpu.absent")
    assert (problem["layer"], "nvidia_driver_missing_gpu" in problem["next_action"]) == ("pci", True)
    skipped = make_plan(host, {**SETTINGS, "missing_gpu": "skip"})
    assert (skipped.skip, skipped.action, skipped.refusal) == (True, "none", "")
    assert make_plan(host, SETTINGS).refusal != ""


def test_working_driver_is_never_rebooted(read_host: Reader) -> None:
    plan = make_plan(read_host("h100-debian13"), SETTINGS)
    assert (plan.action, plan.reboot, plan.packages) == ("none", False, [])


# --- nvidia_uvm


def test_unified_memory_module_is_looked_for_though_nvidia_smi_is_fine(read_host: Reader) -> None:
    host = read_host("uvm-absent")
    assert host["gpus"]
    problem = only(host, "driver.uvm_absent")
    assert problem["layer"] == "kernel_module"
    assert "999" in problem["message"]
    assert "nvidia-modprobe" in problem["next_action"]


# --- sick cards


@pytest.mark.parametrize(
    ("name", "code", "word"),
    [("gpu-off-the-bus", "gpu.not_shown", "kernel log"), ("gpu-requires-reset", "gpu.unhealthy", "reset")],
)
def test_sick_card_changes_nothing_of_the_driver(read_host: Reader, name: str, code: str, word: str) -> None:
    host = read_host(name)
    assert host["driver"]["action"] == "none"
    assert word in only(host, code)["next_action"]
    plan = make_plan(host, SETTINGS)
    assert (plan.action, plan.reboot) == ("none", False)


def test_a_driver_question_never_answers_about_the_engine(read_host: Reader) -> None:
    """A host with a broken engine has a good driver."""
    for name in ("toolkit-absent", "toolkit-younger-than-engine", "runtime-not-registered", "snap-docker"):
        host = read_host(name)
        assert driver_problems(host) == []
        assert [problem for problem in host["problems"] if problem["layer"] in ("kernel_module", "userspace")] == []


# --- first contact


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        ("SyntaxError: future feature annotations is not defined", "connection.python_too_old", "3.9"),
        ("sudo: sorry, you must have a tty to run sudo", "connection.requiretty", "ansible_pipelining"),
        ("/bin/sh: 1: /usr/bin/python3: not found", "connection.python_missing", "python3"),
    ],
)
def test_host_that_cannot_be_read_says_why(text: str, code: str, word: str) -> None:
    problem = unreadable_host({"module_stderr": text, "msg": "MODULE FAILURE"})
    assert (problem.layer, problem.code) == ("connection", code)
    assert word in problem.next_action
    assert text in problem.evidence
