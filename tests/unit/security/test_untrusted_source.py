"""A source that somebody else writes runs in the build alone: no login, no shared cache, nothing of the host."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.opensora import dockerfile
from ansible.module_utils.opensora.image_preflight import setting_problems
from ansible.module_utils.opensora.service_plan import make_plan

from tests.unit.module_utils.buildx_examples import build_command
from tests.unit.security.conftest import ROOT, Project, read_host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FETCH = ROOT / "roles/opensora_image/files/context/fetch_source.sh"


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@x.test", "-c", "protocol.ext.allow=always", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603


@pytest.fixture
def hostile(tmp_path: Path) -> tuple[Path, str]:
    """Return a repository that tries to reach out of the folder that it is fetched into, and its commit."""
    (tmp_path / "secret").write_text("of the host")
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "setup.py").write_text("import pathlib; pathlib.Path('canary').touch()")
    (folder / "link").symlink_to("../secret")
    (folder / "outside").symlink_to("/etc")
    (folder / ".gitattributes").write_text("* filter=evil diff=evil\n")
    (folder / ".gitconfig").write_text('[filter "evil"]\n\tsmudge = touch ../canary\n')
    (folder / ".gitmodules").write_text(
        '[submodule "evil"]\n\tpath = evil\n\turl = "ext::sh -c touch% ../canary"\n\tupdate = checkout\n'
    )
    git(folder, "add", "--all")
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},evil")
    git(folder, "commit", "--quiet", "--message=x")
    git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
    return folder, git(folder, "rev-parse", "HEAD")


def fetch(url: str, commit: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        ["sh", str(FETCH), url, commit, str(folder)],  # noqa: S607
        env={"PATH": os.environ["PATH"], "HOME": str(folder.parent), **environment},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_fetched_stays_in_its_folder(hostile: tuple[Path, str], tmp_path: Path) -> None:
    repository, commit = hostile
    done = fetch(f"file://{repository}", commit, tmp_path / "source", GIT_ALLOW_PROTOCOL="file")
    assert done.returncode == 0, done.stderr
    source = tmp_path / "source"
    assert (source / "link").is_symlink()
    assert (source / "outside").readlink().as_posix() == "/etc"
    assert not (source / ".git").exists()
    assert list((source / "evil").iterdir() if (source / "evil").exists() else []) == []
    assert "not fetched: submodule" in done.stdout
    assert list(tmp_path.rglob("canary")) == []


def test_another_commit_than_the_wanted_one_is_refused(hostile: tuple[Path, str], tmp_path: Path) -> None:
    repository, _ = hostile
    done = fetch(f"file://{repository}", "main", tmp_path / "source", GIT_ALLOW_PROTOCOL="file")
    assert done.returncode != 0
    assert "wanted is main" in done.stderr


ADDRESSES = [
    "ext::sh -c touch% canary",
    "file:///etc",
    "/etc",
    "../repository",
    "ssh://git@host/x",
    "git@host:x",
    "git://host/x",
    "--upload-pack=touch canary",
    "-u touch canary",
    "fd::17",
    "http::ext::sh -c touch% canary",
]


@pytest.mark.parametrize("url", ADDRESSES)
def test_the_fetching_itself_takes_the_web_only(url: str, tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    assert fetch(url, "1" * 40, tmp_path / "source").returncode != 0
    assert list(tmp_path.rglob("canary")) == []


@pytest.mark.parametrize("name", ["opensora_image_repository", "opensora_image_tensornvme_repository"])
@pytest.mark.parametrize("url", ADDRESSES)
def test_the_preflight_takes_the_web_only(image_defaults: dict[str, Any], name: str, url: str) -> None:
    wish = {**image_defaults, "__opensora_image_local_files": {}, name: url}
    assert any(name in problem.message for problem in setting_problems(wish))


# --- the build


@pytest.fixture(params=["current", "upstream"])
def stages(request: pytest.FixtureRequest, project: Project) -> dict[str, dockerfile.Stage]:
    text = project.render("opensora_image", "{{ __opensora_image_dockerfile }}", opensora_image_stack=request.param)
    return {stage.name: stage for stage in dockerfile.read(text, {}).stages}


def steps_of_sources(stages: dict[str, dockerfile.Stage]) -> list[dockerfile.Instruction]:
    """Return the steps that run a program of a fetched source: its setup, and what imports it."""
    found = []
    for stage in stages.values():
        has_source = False
        for instruction in stage.instructions:
            mounts = " ".join(instruction.flags)
            if instruction.name == "COPY" and ("source-application" in mounts or "from=application" in mounts):
                has_source = True
            if instruction.name == "RUN" and (has_source or "from=source-" in mounts):
                found.append(instruction)
    return found


def test_a_source_runs_without_logins_caches_and_rights(stages: dict[str, dockerfile.Stage]) -> None:
    steps = steps_of_sources(stages)
    assert len(steps) == 3  # TensorNVMe, the application, the check of the application as the user
    for step in steps:
        flags = " ".join(step.flags)
        for refused in ("type=secret", "type=ssh", "type=cache", "--security", "network=host"):
            assert refused not in flags, f"line {step.line}: {flags}"


def test_no_step_has_more_rights_than_a_step_has(stages: dict[str, dockerfile.Stage]) -> None:
    steps = [step for stage in stages.values() for step in stage.instructions if step.name == "RUN"]
    assert [step.line for step in steps if any(flag.startswith("--security") for flag in step.flags)] == []
    assert [step.line for step in steps if "network=host" in " ".join(step.flags)] == []
    assert not any("docker.sock" in argument for step in steps for argument in (*step.flags, *step.arguments))


def test_the_application_is_installed_without_any_network(stages: dict[str, dockerfile.Stage]) -> None:
    (step,) = [step for step in stages["application"].instructions if step.name == "RUN"]
    assert "--network=none" in step.flags


def test_the_files_of_a_login_are_gone_from_the_next_step(stages: dict[str, dockerfile.Stage]) -> None:
    for stage in stages.values():
        for step in stage.instructions:
            assert step.name not in ("COPY", "ADD") or not any("netrc" in word for word in step.arguments)


def test_a_build_is_given_no_right_and_nothing_of_the_host() -> None:
    command = build_command(
        secrets={"a": "/run/a"},
    )
    refused = ("--allow", "--network", "--add-host", "--ssh", "--build-context", "--privileged", "--cgroup-parent")
    assert [word for word in command if word.startswith(refused)] == []


# --- the service


@pytest.fixture
def plan_of(project: Project) -> Callable[..., Any]:
    def plan(**different: str) -> Any:
        settings = project.render("opensora_service", "{{ __opensora_service_settings }}")
        settings = {**settings, "image": f"sha256:{'a' * 64}", **different}
        host = read_host("healthy-with-engine")
        return make_plan(settings, host, lambda _, gpus: gpus, is_final=True, needs_image=True)

    return plan


FOLDERS = ["checkpoints_directory", "samples_directory", "source_directory", "cache_directory"]


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize(
    "path",
    [
        "/run",
        "/var/run",
        "/run/docker.sock",
        "/var/run/docker.sock",
        "//run///docker.sock",
        "/./run",
        "/run/containerd",
        "/var",
        "/var/lib/docker",
        "/var/lib/docker/volumes/x",
        "/etc",
        "/etc/cron.d",
        "/proc",
        "/dev/shm",
        "/usr/local",
        "/root",
        "/home",
    ],
)
def test_no_folder_of_the_system_comes_into_the_container(plan_of: Callable[..., Any], name: str, path: str) -> None:
    plan = plan_of(**{name: path})
    assert plan.project == {}
    assert [problem.message.split()[0] for problem in plan.problems if problem.severity == "error"] == [
        f"opensora_service_{name}"
    ]


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize(
    "path", ["/srv/a", "/data", "/home/me/a", "/mnt/nas/x", "/var/lib/opensora", "/runs/a", "/etcetera"]
)
def test_other_folders_do(plan_of: Callable[..., Any], name: str, path: str) -> None:
    assert [problem for problem in plan_of(**{name: path}).problems if problem.severity == "error"] == []


def test_the_container_has_nothing_that_leads_to_the_host(plan_of: Callable[..., Any]) -> None:
    (service,) = plan_of().project["services"].values()
    refused = {
        "privileged",
        "cap_add",
        "pid",
        "ipc",
        "userns_mode",
        "cgroup_parent",
        "devices",
        "network_mode",
        "volumes_from",
    }
    assert refused & set(service) == set()
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert not any("sock" in volume["source"] for volume in service["volumes"])
