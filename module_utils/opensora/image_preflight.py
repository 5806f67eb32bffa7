# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Judge the wish for an image before anything is changed: the settings alone, then against the host."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ansible.module_utils.opensora.build_cache import cache_setting_problems
from ansible.module_utils.opensora.compute_capability import kernel_problems
from ansible.module_utils.opensora.cuda_requirement import satisfies
from ansible.module_utils.opensora.disk_space import disk_problems
from ansible.module_utils.opensora.git_remote import is_full_commit
from ansible.module_utils.opensora.image_reference import parse_image_reference
from ansible.module_utils.opensora.private_folder import secret_problems
from ansible.module_utils.opensora.problems import Problem, invalid_value
from ansible.module_utils.opensora.value_syntax import (
    PACKAGE,
    PYTHON_MODULE,
    PYTHON_PIN,
    PYTHON_VERSION,
    address_problems,
    begins_with_login,
    holds_login,
    login_problem,
    path_problems,
    proxy_problems,
    shortened,
)

DEFAULT_DATA_ROOT = "/var/lib/docker"
_ADDRESSES = {
    "opensora_image_repository": True,
    "opensora_image_tensornvme_repository": False,
    "opensora_image_torch_index_url": False,
    "opensora_image_python_index_url": False,
    "opensora_image_apt_mirror_url": False,
    "opensora_image_apt_security_mirror_url": False,
}
_PATTERNS = {
    "opensora_image_user": (r"[1-9][0-9]{0,9}:[1-9][0-9]{0,9}", "UID:GID in numbers, not root, such as 10001:10001"),
    "opensora_image_python_version": (r"3\.[0-9]{1,2}", "a Python version of two numbers, such as 3.10"),
    "opensora_image_platform": (r"linux/(amd64|arm64)", "linux/amd64 or linux/arm64"),
    "opensora_image_git_reference": (
        r"(?!.*\.\.)(?!-)[A-Za-z0-9][A-Za-z0-9._/+-]*(?<!/)",
        "a branch, a tag or a full commit id",
    ),
    "opensora_image_flash_attention_version": (PYTHON_VERSION, "a version such as 2.7.4.post1"),
    "opensora_image_torch_cuda": (r"([0-9]{1,2}\.[0-9]{1,2})?", 'a CUDA version such as "12.8", or empty'),
    "opensora_image_target": (r"([A-Za-z0-9][A-Za-z0-9._-]*)?", "the name or the number of a stage, or empty"),
}
# Each entry becomes a word of a step of the Dockerfile.
_WORDS = {
    "opensora_image_build_packages": (PACKAGE, "names of packages, such as git"),
    "opensora_image_runtime_packages": (PACKAGE, "names of packages, such as gcc"),
    "opensora_image_verified_imports": (PYTHON_MODULE, "names of Python modules, such as opensora.utils"),
}
_FOLDERS = ("opensora_image_directory", "opensora_image_log_directory", "opensora_image_share_directory")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ARCHITECTURE = re.compile(r"[0-9]{1,2}\.[0-9](\+PTX)?")
_ARGUMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|PRIVATE_KEY|API_?KEY", re.IGNORECASE)


def setting_problems(settings: Mapping[str, Any]) -> list[Problem]:
    """Return every value that can't be right, whatever host it is for.

    Args:
        settings: The role's public variables by their full names.
    """
    problems = [
        *_address_problems(settings),
        *_image_problems(settings),
        *_list_problems(settings),
        *_lock_problems(settings),
        *_argument_problems(settings),
        *proxy_problems(settings.get("__opensora_image_proxies") or {}),
        *(problem for name in _FOLDERS for problem in path_problems(name, settings[name])),
        *cache_setting_problems("opensora_image_cache_from", "from", settings["opensora_image_cache_from"]),
        *cache_setting_problems("opensora_image_cache_to", "to", settings["opensora_image_cache_to"]),
        *secret_problems("opensora_image_build_secrets", settings["opensora_image_build_secrets"]),
    ]
    if settings["opensora_image_registry_username"] and not settings["opensora_image_registry"]:
        problems.append(invalid_value("opensora_image_registry", "", "the registry that the login is for"))
    if int(settings["opensora_image_keep"]) < 1:
        problems.append(
            invalid_value("opensora_image_keep", settings["opensora_image_keep"], "1 or more: the previous image")
        )
    problems += [
        invalid_value(name, settings[name], allowed)
        for name, (pattern, allowed) in _PATTERNS.items()
        if not re.fullmatch(pattern, str(settings[name]))
    ]
    commit = str(settings["opensora_image_tensornvme_commit"])
    if settings["opensora_image_tensornvme_repository"] and not is_full_commit(commit):
        problems.append(invalid_value("opensora_image_tensornvme_commit", commit, "a full commit id of 40 digits"))
    if settings["opensora_image_flash_attention"] in ("source", "wheel") and not _SHA256.fullmatch(
        str(settings["opensora_image_flash_attention_sha256"])
    ):
        value = settings["opensora_image_flash_attention_sha256"]
        problems.append(
            invalid_value("opensora_image_flash_attention_sha256", value, "the 64 hexadecimal digits of the file")
        )
    wheel = str(settings["opensora_image_flash_attention_wheel_url"])
    if settings["opensora_image_flash_attention"] == "wheel":
        name, allowed = "opensora_image_flash_attention_wheel_url", "the address of a .whl file that fits"
        found = address_problems(name, wheel, allowed)
        problems += found or ([] if wheel.endswith(".whl") else [invalid_value(name, wheel, allowed)])
    return problems


def _address_problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    for name, required in _ADDRESSES.items():
        value = str(settings[name])
        if not value and not required:
            continue
        if holds_login(value):
            yield Problem(
                layer="configuration",
                code="variable.secret_in_image",
                severity="error",
                message=f"{name} carries a login for {_host_of(value)}; build arguments stay in the image's history",
                next_action="Use an address without a login, and give the login as the secret netrc of "
                "opensora_image_build_secrets.",
            )
        else:
            yield from address_problems(name, value, "an http or https address" + ("" if required else ", or empty"))


def _host_of(address: str) -> str:
    return re.sub(r"^[^/]*//[^/\s]*@([A-Za-z0-9.-]*).*$", r"\1", address, flags=re.DOTALL) or "a server"


def _image_problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    for name in ("opensora_image_base", "opensora_image_runtime_base"):
        value, digest = str(settings[name]), str(settings[f"{name}_digest"])
        try:
            reference = parse_image_reference(value)
            if reference.digest and digest and reference.digest != digest:
                yield invalid_value(f"{name}_digest", digest, f"the digest that {name} itself carries, or empty")
        except ValueError as error:
            yield invalid_value(name, value, f"an image reference such as registry.example/name:tag ({error})")
        if digest and not (digest.startswith("sha256:") and _SHA256.fullmatch(digest[7:])):
            yield invalid_value(f"{name}_digest", digest, "sha256: and 64 hexadecimal digits, or empty")
    for name, example in (("opensora_image_name", "opensora"), ("opensora_image_registry", "registry.example/site")):
        value = str(settings[name])
        if name == "opensora_image_registry" and not value:
            continue
        if begins_with_login(value):
            yield login_problem(name)
            continue
        path = value if name == "opensora_image_name" else f"{value}/image"
        try:
            reference = parse_image_reference(path)
            wrong = bool(reference.tag or reference.digest) or "://" in value
        except ValueError:
            wrong = True
        if wrong:
            yield invalid_value(name, value, f"a name without tag and digest, such as {example}")


def _list_problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    for name in ("opensora_image_torch_packages", "opensora_image_accelerator_packages"):
        for entry in settings[name]:
            if not PYTHON_PIN.fullmatch(str(entry)):
                yield invalid_value(name, str(entry), "exact pins such as torch==2.4.0")
    for name in ("opensora_image_cuda_architectures", "opensora_image_torch_architectures"):
        for entry in settings[name]:
            if not _ARCHITECTURE.fullmatch(str(entry)):
                yield invalid_value(name, str(entry), 'compute capabilities such as "9.0"')
    for name, (pattern, allowed) in _WORDS.items():
        for entry in settings[name]:
            if not pattern.fullmatch(str(entry)):
                yield invalid_value(name, shortened(str(entry)), allowed)


def _argument_problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    for argument, value in settings["opensora_image_build_arguments"].items():
        if not _ARGUMENT_NAME.fullmatch(str(argument)):
            yield invalid_value("opensora_image_build_arguments", str(argument), "names of letters, digits and _")
        elif _SECRET_NAME.search(str(argument)) or holds_login(str(value)):
            yield Problem(
                layer="configuration",
                code="variable.secret_in_image",
                severity="error",
                message=f"opensora_image_build_arguments has {argument}, which looks like a secret; build arguments "
                "are kept in the image's history",
                next_action="Give it as opensora_image_build_secrets where a step of the build needs it, and to the "
                "service's environment where the service does.",
            )


def _lock_problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    locked = settings["__opensora_image_locked_packages"]
    wanted = [str(entry) for entry in settings["opensora_image_torch_packages"]]
    are_pins = all(PYTHON_PIN.fullmatch(entry) for entry in wanted)
    if settings["opensora_image_torch_locked"] and are_pins and sorted(wanted) != sorted(locked):
        yield invalid_value(
            "opensora_image_torch_packages",
            ", ".join(wanted),
            f"what the lock of the stack {settings['opensora_image_stack']} has ({', '.join(locked)}), or "
            "opensora_image_torch_locked: false",
        )


def pinned_sources(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sources of an image when every one of them is pinned by content, else an empty dict.

    Args:
        settings: The role's public variables by their full names.
    """
    digests = {}
    for key, name in (("base", "opensora_image_base"), ("runtime_base", "opensora_image_runtime_base")):
        reference = parse_image_reference(str(settings[name]))
        digests[key] = (reference, str(settings[f"{name}_digest"]) or reference.digest)
    commit = str(settings["opensora_image_git_reference"])
    if not is_full_commit(commit) or not all(digest for _, digest in digests.values()):
        return {}
    return {
        "git": {"application": {"commit": commit}},
        "images": {
            key: {"reference": str(reference), "digest": digest, "pinned": str(reference.pinned(str(digest)))}
            for key, (reference, digest) in digests.items()
        },
    }


def unread_problems(settings: Mapping[str, Any], unread: Collection[str]) -> list[Problem]:
    """Return the problem of code that would be compiled for the cards of some hosts of a site only.

    Args:
        settings: The role's public variables by their full names.
        unread: Hosts of the inventory whose cards are not known in this run.
    """
    compiles = settings["opensora_image_flash_attention"] == "source" and not settings["opensora_image_dockerfile"]
    if not compiles or settings["opensora_image_cuda_architectures"] or not unread:
        return []
    return [
        Problem(
            layer="configuration",
            code="image.architectures_unknown",
            severity="error",
            message="Flash Attention is compiled for the cards of all hosts, and this run has not read "
            f"{', '.join(sorted(unread))}",
            next_action='Name them in opensora_image_cuda_architectures, such as ["8.0", "9.0"], or run without '
            "--limit. opensora_image_flash_attention: sdpa compiles nothing.",
        )
    ]


def host_problems(
    host: Mapping[str, Any], settings: Mapping[str, Any], sources: Mapping[str, Any], missing: bool
) -> list[Problem]:
    """Return what speaks against building or running the image on a host.

    Args:
        host: The fact ``gpu_host``.
        settings: The role's public variables by their full names.
        sources: What opensora_sources_info found.
        missing: Whether the host still has to build or pull the image. One that has it needs no room for it.
    """
    problems = []
    if missing:
        engine = host.get("engine") or {}
        root = str(engine.get("data_root") or settings["docker_engine_data_root"] or DEFAULT_DATA_ROOT)
        problems += disk_problems(
            root,
            host.get("disk") or [],
            int(settings["opensora_image_minimum_free_bytes"]),
            int(settings["opensora_image_minimum_free_inodes"]),
        )
    problems += _driver_problems(host, sources)
    if not settings["opensora_image_dockerfile"]:
        torch = str(next(iter(settings["opensora_image_torch_packages"]), "PyTorch"))
        problems += kernel_problems(host, settings["opensora_image_torch_architectures"], torch)
    return problems


def _driver_problems(host: Mapping[str, Any], sources: Mapping[str, Any]) -> Iterator[Problem]:
    driver = host.get("driver") or {}
    version = driver.get("loaded") or driver.get("on_disk") or driver.get("installed")
    image = (sources.get("images") or {}).get("runtime_base") or {}
    requirement = str((image.get("environment") or {}).get("NVIDIA_REQUIRE_CUDA") or "")
    if not requirement or not version or satisfies(requirement, driver.get("cuda_max"), version) is not False:
        return
    yield Problem(
        layer="userspace",
        code="driver.too_old_for_image",
        severity="error",
        message=f"driver {version} (CUDA up to {driver.get('cuda_max')}) is too old for {image.get('reference')}, "
        f"which asks for {requirement.split(maxsplit=1)[0]}",
        next_action="Install a newer driver branch, or choose an image for an older CUDA by opensora_image_stack "
        "(upstream asks for 12.2) or opensora_image_runtime_base.",
        evidence=(f"NVIDIA_REQUIRE_CUDA={requirement}",),
    )


def is_missing(key: str, local_keys: Collection[str]) -> bool:
    """Return whether a host still needs the image of a build key; an unknown key counts as missing."""
    return not key or key not in local_keys
