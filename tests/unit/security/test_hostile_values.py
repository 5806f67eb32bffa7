"""Values that try to be more than themselves, in every variable of every role.

Each is refused by the name of its variable, or what it is written into is read again by its real reader and says the
same as with a harmless value in that place. A variable that this file does not know fails the test.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.opensora import dockerfile
from ansible.module_utils.opensora.apt_repository import Repository, render_preferences, render_source
from ansible.module_utils.opensora.build_key import check_context_path
from ansible.module_utils.opensora.buildx_command import buildx_arguments
from ansible.module_utils.opensora.site_trust import proxy_configuration
from ansible.module_utils.opensora.start_unit import StartUnit
from ansible.module_utils.opensora.variables import text_problems

from plugins.filter import (
    docker_engine,
    nvidia_container_toolkit,
    nvidia_driver,
    opensora_checkpoint,
    opensora_image,
    opensora_service,
    site_trust,
)
from tests.unit.security.conftest import BLANK, ROLES, Project, fill, options, read_host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Each would write the file "canary" into the working directory if a shell, Ansible or apt took it for more than text.
HOSTILE = {
    "single quote": "x'; : > canary; '",
    "double quote": 'x"; : > canary; "',
    "substitution": "$(: > canary)",
    "backticks": "`: > canary`",
    "separator": "x; : > canary",
    "operators": "x && : > canary | : > canary & : > canary",
    "lines": "x\n: > canary\nRUN : > canary\n",
    "carriage return": "x\r\n: > canary\r\n",
    "field of apt": "x\nTrusted: yes\nPin-Priority: 1001",
    "setting of apt": 'x";APT::Update::Pre-Invoke {": > canary";};//',
    "key of a unit": "x\nExecStartPre=/bin/sh -c ': > canary'",
    "continued line": "x\\\nRUN : > canary",
    "option": "--privileged",
    "option of apt": "-oAPT::Update::Pre-Invoke::=: > canary",
    "template": "{{ lookup('ansible.builtin.pipe', ': > canary') }}",
    "variable of compose": "${PATH:-x}",
    "parent": "../../../../etc/cron.d/x",
    "line of unicode": "x\u2028: > canary\x85: > canary",
    "NUL": "x\0y",
    "very long": "x" * 200_000,
}
HARMLESS = "harmless"
MANIFEST = {"repository": "o/n", "revision": "0" * 40, "files": [{"path": "a", "size": 1, "sha256": "a" * 64}]}
IMAGE = "sha256:" + "a" * 64

# What a variable is written into; see ARTEFACTS. Of those with choices and numbers the type refuses the rest.
ONLY_READ = ()  # compared, shown or opened by Python on the control node or the host
REACHES: dict[str, tuple[str, ...]] = {
    "docker_engine_version": ("engine preferences", "engine packages"),
    "docker_engine_repository_url": ("engine source",),
    "docker_engine_repository_key_url": ONLY_READ,
    "docker_engine_repository_key_fingerprint": ONLY_READ,
    "docker_engine_daemon_config": ("daemon.json",),
    "docker_engine_data_root": ("daemon.json",),
    "docker_engine_minimum_compose_version": ONLY_READ,
    "docker_engine_minimum_buildx_version": ONLY_READ,
    "docker_engine_socket": ("interpreters",),
    "docker_engine_sdk_directory": ("interpreters", "arguments"),
    "docker_engine_sdk_python_index_url": ONLY_READ,
    "gpu_host_paths": ONLY_READ,
    "gpu_host_probe_root": ONLY_READ,
    "nvidia_container_toolkit_version": ("toolkit preferences", "toolkit packages"),
    "nvidia_container_toolkit_repository_url": ("toolkit source",),
    "nvidia_container_toolkit_repository_key_url": ONLY_READ,
    "nvidia_container_toolkit_repository_key_fingerprint": ONLY_READ,
    "nvidia_container_toolkit_cdi_directory": ("arguments",),
    "nvidia_driver_branch": ("driver plan", "driver source"),
    "nvidia_driver_version": ("driver plan", "driver source"),
    "nvidia_driver_repository_url": ("driver source",),
    "nvidia_driver_repository_key_url": ONLY_READ,
    "nvidia_driver_repository_key_fingerprint": ONLY_READ,
    "nvidia_driver_kernel_headers": ("driver plan",),
    "opensora_checkpoint_manifest": ONLY_READ,
    "opensora_checkpoint_directory": ONLY_READ,
    "opensora_checkpoint_mirror_url": ONLY_READ,
    "opensora_checkpoint_endpoint": ONLY_READ,
    "opensora_checkpoint_token": ONLY_READ,
    "opensora_checkpoint_library_directory": ("interpreters", "arguments"),
    "opensora_checkpoint_library_index_url": ONLY_READ,
    "opensora_checkpoint_share_directory": ONLY_READ,
    "opensora_image_repository": ("build",),
    "opensora_image_git_reference": ("build",),
    "opensora_image_tensornvme_repository": ("build", "Dockerfile"),
    "opensora_image_tensornvme_commit": ("build",),
    "opensora_image_cuda_version": ("build",),
    "opensora_image_ubuntu_version": ("build",),
    "opensora_image_base": ("build",),
    "opensora_image_base_digest": ("build",),
    "opensora_image_runtime_base": ("build",),
    "opensora_image_runtime_base_digest": ("build",),
    "opensora_image_platform": ("build",),
    "opensora_image_python_version": ("build",),
    "opensora_image_apt_mirror_url": ("build",),
    "opensora_image_apt_security_mirror_url": ("build",),
    "opensora_image_build_packages": ("Dockerfile",),
    "opensora_image_runtime_packages": ("Dockerfile",),
    "opensora_image_torch_index_url": ("build",),
    "opensora_image_torch_packages": ("Dockerfile",),
    "opensora_image_torch_cuda": ("Dockerfile",),
    "opensora_image_torch_architectures": ONLY_READ,
    "opensora_image_accelerator_packages": ("Dockerfile",),
    "opensora_image_flash_attention_version": ("Dockerfile", "locked wheel"),
    "opensora_image_flash_attention_sha256": ("locked wheel",),
    "opensora_image_flash_attention_wheel_url": ("locked wheel",),
    "opensora_image_cuda_architectures": ("build",),
    "opensora_image_python_index_url": ("build",),
    "opensora_image_requirements_file": ONLY_READ,
    "opensora_image_build_tools_file": ONLY_READ,
    "opensora_image_installer_file": ONLY_READ,
    "opensora_image_verified_imports": ("Dockerfile",),
    "opensora_image_name": ("build",),
    "opensora_image_registry": ("build",),
    "opensora_image_registry_username": ONLY_READ,
    "opensora_image_registry_password": ONLY_READ,
    "opensora_image_share_directory": ONLY_READ,
    "opensora_image_user": ("build",),
    "opensora_image_dockerfile": ONLY_READ,
    "opensora_image_dockerfile_ignored_findings": ONLY_READ,
    "opensora_image_context_files": ("context",),
    "opensora_image_target": ("build",),
    "opensora_image_build_arguments": ("build",),
    "opensora_image_build_secrets": ("build",),
    "opensora_image_cache_from": ("build",),
    "opensora_image_cache_to": ("build",),
    "opensora_image_directory": ("build",),
    "opensora_image_log_directory": ONLY_READ,
    "opensora_service_gpus": ("compose",),
    "opensora_service_instances": ("compose", "unit"),
    "opensora_service_image": ("compose",),
    "opensora_service_command": ("compose",),
    "opensora_service_user": ("compose",),
    "opensora_service_directory": ("compose",),
    "opensora_service_checkpoints_directory": ("compose",),
    "opensora_service_samples_directory": ("compose",),
    "opensora_service_cache_directory": ("compose",),
    "opensora_service_source_directory": ("compose",),
    "opensora_service_environment": ("compose",),
    "opensora_service_secrets": ("compose",),
    "opensora_service_temporary_size": ("compose",),
    "opensora_service_shm_size": ("compose",),
    "opensora_service_ulimits": ("compose",),
    "opensora_service_ports": ("compose",),
    "opensora_service_publish_address": ("compose",),
    "opensora_service_health_command": ("compose",),
    "opensora_service_health_interval": ("compose",),
    "opensora_service_health_timeout": ("compose",),
    "opensora_service_health_start_period": ("compose",),
    "opensora_service_health_wait": ONLY_READ,
    "opensora_service_proof_command": ONLY_READ,
    "opensora_status_directory": ONLY_READ,
    "site_trust_ca_certificates": ("context", "certificates"),
    "site_trust_http_proxy": ("apt.conf", "daemon.json"),
    "site_trust_https_proxy": ("apt.conf", "daemon.json"),
    "site_trust_no_proxy": ("apt.conf", "daemon.json"),
    "site_trust_python_index_url": ("build",),
    "site_trust_debian_mirror_url": ("mirror source",),
    "site_trust_debian_security_mirror_url": ("mirror source",),
}
# What has to be set besides so that a variable is used at all.
TOGETHER: dict[str, dict[str, Any]] = {
    "site_trust_no_proxy": {"site_trust_http_proxy": "http://proxy.test:3128"},
    "nvidia_driver_": {"nvidia_driver_source": "vendor"},
    "opensora_checkpoint_": {"opensora_checkpoint_source": "hub", "opensora_checkpoint_manifest": "MANIFEST"},
    "opensora_checkpoint_mirror_url": {"opensora_checkpoint_source": "mirror"},
    "opensora_image_flash_attention_": {"opensora_image_flash_attention": "wheel"},
    "opensora_image_flash_attention_version": {"opensora_image_flash_attention": "source"},
    "opensora_image_torch_packages": {"opensora_image_torch_locked": False},
    "opensora_image_registry_username": {"opensora_image_registry": "registry.test"},
    "opensora_service_": {"opensora_service_image": IMAGE},
    "opensora_service_image": {"opensora_service_image": IMAGE},
    "opensora_service_publish_address": {"opensora_service_ports": ["8000"]},
    "opensora_service_temporary_size": {"opensora_service_read_only": True},
}


def all_options() -> dict[str, tuple[str, dict[str, Any]]]:
    return {name: (role, option) for role in ROLES for name, option in options(role).items()}


OPTIONS = all_options()
# Of these the argument spec itself takes no text.
TYPED = sorted(
    name for name, (_, option) in OPTIONS.items() if option.get("choices") or option["type"] in ("bool", "int", "float")
)


def test_every_variable_has_a_decision() -> None:
    assert sorted(REACHES) == sorted(set(OPTIONS) - set(TYPED))


def test_no_word_is_left_of_a_variable_that_is_gone() -> None:
    names = {name for key in TOGETHER for name in TOGETHER[key]} | {key for key in TOGETHER if not key.endswith("_")}
    assert names - set(OPTIONS) == set()
    assert {artefact for artefacts in REACHES.values() for artefact in artefacts} == set(ARTEFACTS)


@pytest.mark.parametrize("name", TYPED)
def test_a_type_takes_no_text(name: str) -> None:
    option = OPTIONS[name][1]
    taken = [
        kind
        for kind, value in HOSTILE.items()
        if not ArgumentSpecValidator({name: option}).validate({name: value}).error_messages
    ]
    assert taken == []


# --- what the roles say of their settings


def judge(project: Project, role: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the problems that a role finds in its settings before it does anything."""
    if role == "opensora_service":
        return list(service_plan(project, values)["problems"])
    if role not in JUDGES:
        return []
    settings = project.render(role, f"{{{{ __{role}_settings }}}}", **values)
    return list(JUDGES[role](project.host, settings))


JUDGES: dict[str, Callable[[dict[str, Any], dict[str, Any]], list[dict[str, Any]]]] = {
    "docker_engine": lambda host, settings: docker_engine.engine_plan(host, settings)["problems"],
    "nvidia_container_toolkit": lambda host, settings: nvidia_container_toolkit.toolkit_plan(host, settings)[
        "problems"
    ],
    "nvidia_driver": lambda host, settings: nvidia_driver.driver_plan(host, settings)["problems"],
    "opensora_checkpoint": lambda _, settings: opensora_checkpoint.read(settings)["problems"],
    "opensora_image": lambda _, settings: opensora_image.judge_settings(settings),
    "site_trust": lambda host, settings: site_trust.site_trust_plan(host, settings)["problems"],
}


def service_plan(project: Project, values: dict[str, Any]) -> dict[str, Any]:
    settings = project.render("opensora_service", "{{ __opensora_service_settings }}", **values)
    instances = fill(values.get("opensora_service_instances", {}), project.text)
    host = read_host("healthy-with-engine")
    return opensora_service.opensora_service_plan(settings, host, instances, is_final=True, needs_image=True)


# --- what the values are written into, read again by its own reader


def stanzas(text: str) -> list[dict[str, str]]:
    """Read a file of apt in the form of deb822 as apt does: fields begin a line, blank lines part stanzas."""
    found: list[dict[str, str]] = [{}]
    name = ""
    # apt ends a line at a line feed alone.
    for line in text.split("\n"):
        if line.startswith("#"):
            continue
        if not line.strip():
            found.append({})
        elif line[0] in " \t":
            found[-1][name] += f"\n{line}"
        else:
            name, _, value = line.partition(":")
            assert name not in found[-1], f"{name} stands twice"
            found[-1][name] = value.strip()
    return [stanza for stanza in found if stanza]


def engine_source(project: Project, values: dict[str, Any]) -> object:
    url = project.render("docker_engine", "{{ docker_engine_repository_url }}", **values)
    return stanzas(render_source(Repository((url,), ("trixie",), ("stable",), (), ("deb",), "/k.gpg"), "comment"))


def toolkit_source(project: Project, values: dict[str, Any]) -> object:
    url = project.render("nvidia_container_toolkit", "{{ nvidia_container_toolkit_repository_url }}", **values)
    return stanzas(render_source(Repository((url,), ("/",), (), (), ("deb",), "/k.gpg"), "comment"))


def preferences(variable: str) -> Callable[[Project, dict[str, Any]], object]:
    def read(project: Project, values: dict[str, Any]) -> object:
        version = project.render("docker_engine", f"{{{{ {variable} }}}}", **values)
        return stanzas(render_preferences(["docker-ce"], version, "comment")) if version else []

    return read


def engine_packages(project: Project, values: dict[str, Any]) -> object:
    settings = project.render("docker_engine", "{{ __docker_engine_settings }}", **values)
    plan = docker_engine.engine_plan(project.host, settings)
    return no_options(plan["packages"] + plan["hold"])


def toolkit_packages(project: Project, values: dict[str, Any]) -> object:
    settings = project.render("nvidia_container_toolkit", "{{ __nvidia_container_toolkit_settings }}", **values)
    plan = nvidia_container_toolkit.toolkit_plan(project.host, settings)
    return no_options(plan["packages"] + plan["hold"])


def no_options(words: list[str]) -> list[str]:
    assert [word for word in words if word.startswith("-") or re.search(r"\s", word)] == []
    return words


def driver_plan(project: Project, values: dict[str, Any]) -> object:
    settings = project.render("nvidia_driver", "{{ __nvidia_driver_settings }}", **values)
    plan = nvidia_driver.driver_plan(project.host, settings)
    files = {file["path"]: file["text"].split("\n") for file in plan["files"]}
    return [no_options(plan["packages"] + plan["hold"]), files]


def driver_source(project: Project, values: dict[str, Any]) -> object:
    settings = project.render("nvidia_driver", "{{ __nvidia_driver_settings }}", **values)
    repository = nvidia_driver.driver_plan(project.host, settings)["repository"]
    source = Repository((repository["url"],), tuple(repository["suites"]), (), (), ("deb",), "/k.gpg")
    return stanzas(render_source(source, "comment"))


def apt_configuration(project: Project, values: dict[str, Any]) -> object:
    settings = project.render("site_trust", "{{ __site_trust_settings }}", **values)
    text = proxy_configuration(*(settings[name] for name in ("http_proxy", "https_proxy", "no_proxy")))
    with open("apt.conf", "w", encoding="utf-8") as file:  # noqa: PTH123 (in the folder of the test)
        file.write(text)
    dumped = subprocess.run(
        ["apt-config", "dump", "--no-empty"],  # noqa: S607
        env={"PATH": os.environ["PATH"], "APT_CONFIG": "apt.conf"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    plain = subprocess.run(
        ["apt-config", "dump", "--no-empty"],  # noqa: S607
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return sorted(set(dumped.split("\n")) - set(plain.split("\n")))


def mirror_source(project: Project, values: dict[str, Any]) -> object:
    settings = project.render("site_trust", "{{ __site_trust_settings }}", **values)
    url = settings["debian_mirror_url"] or settings["debian_security_mirror_url"]
    return stanzas(render_source(Repository((url,), ("trixie",), ("main",), (), ("deb",), "/k.gpg"), "comment"))


def certificates(project: Project, values: dict[str, Any]) -> object:
    return [entry["name"] for entry in fill(values["site_trust_ca_certificates"], project.text)]


def daemon_json(project: Project, values: dict[str, Any]) -> object:
    settings = project.render("docker_engine", "{{ __docker_engine_settings }}", **values)
    return json.loads(json.dumps(docker_engine.engine_config(settings, {})))


def interpreters(project: Project, values: dict[str, Any]) -> object:
    """Return the words of a shell where Ansible puts the path of an interpreter unquoted."""
    found = []
    for role, template in (
        ("docker_engine", "{{ docker_engine_sdk_directory }}/bin/python"),
        ("opensora_checkpoint", "{{ opensora_checkpoint_library_directory }}/bin/python"),
        ("docker_engine", "{{ docker_engine_socket }}"),
    ):
        text = project.render(role, template, **values)
        subprocess.run(["sh", "-c", f": {text}"], check=True)  # noqa: S603, S607 (in the folder of the test)
        found.append(shlex.split(text))
    assert [len(words) for words in found] == [1, 1, 1]
    return found


def arguments(project: Project, values: dict[str, Any]) -> object:
    """Return the words of commands that begin with a path of the user's."""
    found = [
        project.render("docker_engine", "{{ docker_engine_sdk_directory }}", **values),
        project.render("opensora_checkpoint", "{{ opensora_checkpoint_library_directory }}", **values),
    ]
    settings = project.render("nvidia_container_toolkit", "{{ __nvidia_container_toolkit_settings }}", **values)
    plan = nvidia_container_toolkit.toolkit_plan(read_host("toolkit-absent"), settings)
    assert all(word.startswith("/") for word in (*found, plan["cdi_path"]))
    return [*found, plan["cdi_path"]]


def read_dockerfile(project: Project, values: dict[str, Any]) -> object:
    text = project.render("opensora_image", "{{ __opensora_image_dockerfile }}", **values)
    found = dockerfile.read(text, {})
    return [
        [
            stage.name,
            stage.image,
            [
                [each.name, each.flags, [[word.text for word in command.words] for command in each.commands]]
                for each in stage.instructions
            ],
        ]
        for stage in found.stages
    ]


def locked_wheel(project: Project, values: dict[str, Any]) -> object:
    text = project.render("opensora_image", "{{ __opensora_image_rendered }}", **values)["flash-attention.txt"]
    assert text.endswith("\n")
    lines = text[:-1].split("\n")
    assert len(lines) == 1
    assert re.search(r" --hash=sha256:[0-9a-f]{64}$", lines[0])
    return lines


def context(project: Project, values: dict[str, Any]) -> object:
    values = fill(values, project.text)
    paths = [*values.get("opensora_image_context_files", {})]
    paths += [f"ca-certificates/{entry['name']}.crt" for entry in values.get("site_trust_ca_certificates", [])]
    for path in paths:
        check_context_path(path)
    return paths


def build(project: Project, values: dict[str, Any]) -> object:
    wish = project.render("opensora_image", "{{ __opensora_image_arguments }}", **values)
    command = buildx_arguments(
        docker="/usr/bin/docker",
        context=f"{wish['directory']}/context",
        tag=f"{wish['registry']}/{wish['name']}:key",
        target=wish["target"],
        platform=wish["platform"],
        labels={"org.opensora-site.revision": wish["revision"]},
        build_arguments={name: str(value) for name, value in wish["build_arguments"].items()},
        inherited_arguments=["http_proxy"],
        metadata_file=f"{wish['directory']}/metadata.json",
        secrets={name: f"/run/x/secret-{name}" for name in wish["build_secrets"]},
        cache_from=wish["cache_from"],
        cache_to=wish["cache_to"],
    )
    # By position: what is no option of ours is the value of the one before it.
    assert command[-1].startswith("/")
    return command


def compose(project: Project, values: dict[str, Any]) -> object:
    plan = service_plan(project, values)
    found = [yaml.safe_load(service["definition"]) for service in plan["services"]]
    for text in texts(found):
        assert re.search(r"(?<!\$)(?:\$\$)*\$(?!\$)", text) is None, "compose would replace a variable"
    return found


def unit(project: Project, values: dict[str, Any]) -> object:
    found = []
    for service in service_plan(project, values)["services"]:
        text = StartUnit(service["project"], f"{service['project']}-opensora-1", "/usr/bin/docker")._text
        found.append([line for line in text.split("\n") if "=" in line])
        assert [line.partition("=")[0] for line in found[-1]] == [
            "Description",
            "After",
            "Type",
            "ExecStart",
            "WantedBy",
        ]
    return found


ARTEFACTS: dict[str, Callable[[Project, dict[str, Any]], object]] = {
    "engine source": engine_source,
    "engine preferences": preferences("docker_engine_version"),
    "engine packages": engine_packages,
    "toolkit source": toolkit_source,
    "toolkit preferences": preferences("nvidia_container_toolkit_version"),
    "toolkit packages": toolkit_packages,
    "driver plan": driver_plan,
    "driver source": driver_source,
    "apt.conf": apt_configuration,
    "mirror source": mirror_source,
    "certificates": certificates,
    "daemon.json": daemon_json,
    "interpreters": interpreters,
    "arguments": arguments,
    "Dockerfile": read_dockerfile,
    "locked wheel": locked_wheel,
    "context": context,
    "build": build,
    "compose": compose,
    "unit": unit,
}


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in texts(item)]
    return [text for item in value for text in texts(item)] if isinstance(value, (list, tuple)) else []


def replaced(value: Any, old: str) -> Any:
    """Return data with a text in all its texts replaced by the harmless one, also where compose wants its $ doubled."""
    if isinstance(value, str):
        return value.replace(old.replace("$", "$$"), HARMLESS).replace(old, HARMLESS)
    if isinstance(value, dict):
        return {replaced(key, old): replaced(item, old) for key, item in value.items()}
    return [replaced(item, old) for item in value] if isinstance(value, (list, tuple)) else value


# --- the table


def shapes(name: str, option: dict[str, Any]) -> list[Any]:
    """Return the values in which a text can stand in a variable."""
    if option["type"] == "list" and option.get("elements") == "dict":
        return [[{"name": BLANK, "content": ""}]]
    if option["type"] == "list":
        return [[BLANK]]
    if name == "opensora_service_instances":
        return [{BLANK: {}}, {"a": {"command": [BLANK]}}]
    return [{BLANK: "x"}, {"NAME": BLANK}] if option["type"] == "dict" else [BLANK]


# What a check of the beginning or the end alone would let pass.
AROUND = (
    ("", ""),
    ("https://mirror.test/", ""),
    ("https://mirror.test/", ".whl"),
    ("/srv/", ""),
    ("1.2", ""),
    ("torch==1.", ""),
    ("a.", ""),
    ("type=local,src=/", ""),
    ("type=local,dest=/", ""),
    ("", IMAGE),
    (f"registry.test/a@{IMAGE}", ""),
)


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(MANIFEST))
    return str(path)


def together(name: str, manifest: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, values in TOGETHER.items():
        if name == key or (key.endswith("_") and name.startswith(key)):
            found |= {variable: manifest if value == "MANIFEST" else value for variable, value in values.items()}
    return found


@pytest.mark.parametrize("name", sorted(REACHES))
def test_hostile_values(name: str, project: Project, manifest: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    besides = together(name, manifest)
    harmful: list[str] = []
    for shape in shapes(name, OPTIONS[name][1]):
        for kind, hostile in HOSTILE.items():
            for before, after in AROUND:
                project.text = f"{before}{hostile}{after}"
                if not is_refused(project, name, {**besides, name: shape}):
                    harmful += harms(project, name, {**besides, name: shape}, hostile, f"{kind} {project.text[:60]!r}")
    assert not (tmp_path / "canary").exists()
    assert harmful == []


def is_refused(project: Project, name: str, values: dict[str, Any]) -> bool:
    """Return whether the preflight or the role refuses a value, by the name of its variable."""
    role, option = OPTIONS[name]
    value = fill(values[name], project.text)
    if ArgumentSpecValidator({name: option}).validate({name: value}).error_messages:
        return True
    if text_problems(name, value, is_secret=bool(option.get("no_log"))):
        return True
    errors = [problem for problem in judge(project, role, values) if problem["severity"] == "error"]
    return any(name in problem["message"] for problem in errors)


def harms(project: Project, name: str, values: dict[str, Any], hostile: str, title: str) -> list[str]:
    """Return what an accepted value makes of the artefacts besides standing in them."""
    found = []
    for artefact in REACHES[name]:
        accepted = project.text
        try:
            with_hostile = ARTEFACTS[artefact](project, values)
            project.text = accepted.replace(hostile, HARMLESS)
            if replaced(with_hostile, hostile) != replaced(ARTEFACTS[artefact](project, values), hostile):
                found.append(f"{title} changes {artefact}")
        except (AssertionError, ValueError, KeyError, subprocess.CalledProcessError) as error:
            found.append(f"{title} in {artefact}: {error!r}")
        finally:
            project.text = accepted
    return found


@pytest.mark.parametrize("role", ROLES)
def test_a_template_in_a_value_that_is_none_of_the_project_stays_text(
    role: str, project: Project, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [name for name in REACHES if OPTIONS[name][0] == role and OPTIONS[name][1]["type"] in ("str", "path")]
    for name in names:
        project.text = BLANK
        assert project.render(role, f"{{{{ {name} }}}}", **{name: HOSTILE["template"]}) == HOSTILE["template"]
    assert not (tmp_path / "canary").exists()


LOGIN = "http://somebody:hidden-word@proxy.test:3128"


@pytest.mark.parametrize("role", ["docker_engine", "opensora_checkpoint", "opensora_image", "site_trust"])
@pytest.mark.parametrize("name", ["site_trust_http_proxy", "site_trust_https_proxy"])
def test_a_role_without_the_preflight_takes_no_proxy_with_a_login(
    role: str, name: str, project: Project, manifest: str
) -> None:
    project.text = LOGIN
    problems = judge(project, role, {**together("opensora_checkpoint_", manifest), name: BLANK})
    assert [problem["code"] for problem in problems if name in problem["message"]] == ["variable.login_in_address"]
    assert "hidden-word" not in str(problems)
