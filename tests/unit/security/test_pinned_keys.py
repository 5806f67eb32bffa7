"""Every repository of a vendor is taken with one key only, which is known by its full fingerprint."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ansible.module_utils.opensora.apt_repository import Repository, render_source

from plugins.filter import nvidia_driver
from tests.unit.security.conftest import ROOT, Project, read_host
from tests.unit.security.test_file_modes import TASK_FILES
from tests.unit.security.test_hostile_values import stanzas
from tests.unit.security.test_locked_python import tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

FULL = re.compile(r"[0-9A-F]{40}")
# Options by which a package manager or a download takes what nobody has signed or vouched for.
CARELESS = {
    "allow_unauthenticated",
    "disable_gpg_check",
    "force_apt_get_unauthenticated",
    "trusted",
    "sslverify",
    "validate_certs",
}


def all_tasks() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in TASK_FILES:
        for task in tasks(yaml.safe_load(path.read_text())):
            yield path.relative_to(ROOT).as_posix(), task


def test_every_repository_is_given_its_fingerprint() -> None:
    found = {}
    for path, task in all_tasks():
        if "signed_apt_repository" in task and task["signed_apt_repository"].get("state") != "absent":
            found[path] = task["signed_apt_repository"]["key_fingerprint"]
        if "ansible.builtin.rpm_key" in task and task["ansible.builtin.rpm_key"]["state"] == "present":
            found[path] = task["ansible.builtin.rpm_key"]["fingerprint"]
    assert found == {
        "roles/docker_engine/tasks/repository.yml": "{{ docker_engine_repository_key_fingerprint }}",
        "roles/nvidia_container_toolkit/tasks/repository.yml": (
            "{{ nvidia_container_toolkit_repository_key_fingerprint }}"
        ),
        "roles/nvidia_driver/tasks/repository.yml": "{{ __nvidia_driver_plan.repository.key_fingerprint }}",
        "roles/nvidia_driver/tasks/repository_dnf.yml": "{{ __nvidia_driver_plan.repository.key_fingerprint }}",
    }


def test_there_is_no_other_way_to_a_repository() -> None:
    ways = {"apt_repository", "apt_key", "deb822_repository", "yum_repository", "zypper_repository"}
    found = {path for path, task in all_tasks() for key in task if key.removeprefix("ansible.builtin.") in ways}
    # Beside the pinned key of the same file, and with its signatures checked.
    assert found == {"roles/nvidia_driver/tasks/repository_dnf.yml"}
    (task,) = [task for path, task in all_tasks() if "ansible.builtin.yum_repository" in task]
    assert task["ansible.builtin.yum_repository"]["gpgcheck"] is True


def test_nothing_is_taken_without_its_signature() -> None:
    careless = [
        (path, option)
        for path, task in all_tasks()
        for arguments in task.values()
        if isinstance(arguments, dict)
        for option in CARELESS & set(arguments)
    ]
    assert careless == []


def test_the_defaults_are_full_fingerprints(project: Project) -> None:
    for name in ("docker_engine", "nvidia_container_toolkit"):
        assert FULL.fullmatch(project.render(name, f"{{{{ {name}_repository_key_fingerprint }}}}"))


@pytest.mark.parametrize("host", ["fresh-debian12", "fresh-debian13", "next-kernel-without-module", "rocky9-healthy"])
def test_the_driver_knows_its_key_for_every_system(project: Project, host: str) -> None:
    settings = project.render("nvidia_driver", "{{ __nvidia_driver_settings }}", nvidia_driver_source="vendor")
    # A driver that is too old is replaced, so that each host needs the repository.
    found = {**read_host(host), "driver": read_host("fresh-debian13")["driver"], "packages": {}}
    repository = nvidia_driver.driver_plan(found, settings)["repository"]
    assert FULL.fullmatch(repository["key_fingerprint"].upper().replace(" ", ""))


def test_a_source_names_its_own_keyring_and_no_other() -> None:
    repository = Repository(("https://x.test/debian",), ("trixie",), ("stable",), (), ("deb",), "/k/docker.gpg")
    (stanza,) = stanzas(render_source(repository, "comment"))
    assert stanza["Signed-By"] == "/k/docker.gpg"
    assert "Trusted" not in stanza
