# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import re
import sys

import pytest
from ansible.errors import AnsibleFilterError
from ansible.module_utils.opensora.build_key import BUILD_KEY_LABEL

from plugins.filter.opensora_image import FilterModule

FILTERS = FilterModule().filters()
BUILD = {
    "dockerfile": "FROM x\n",
    "context": {},
    "build_arguments": {"JOBS": 2},
    "base_images": {},
    "revision": "",
    "target": "",
    "platform": "linux/amd64",
}


def test_key_takes_numbers_for_texts():
    key = FILTERS["opensora_image_build_key"]
    assert key(BUILD) == key({**BUILD, "build_arguments": {"JOBS": "2"}})


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(AnsibleFilterError, match=r"none\.txt"):
        FILTERS["opensora_image_text"](str(tmp_path / "none.txt"))


def test_host_with_the_image_needs_no_room(image_defaults):
    settings = {**image_defaults, "docker_engine_data_root": ""}
    host = {"disk": [{"path": "/", "mount": "/", "free_bytes": 1, "free_inodes": 1}], "engine": {}}
    judge = FILTERS["opensora_image_judged"]
    assert judge(host, settings, {"local_build_keys": ["k"]}, "k") == {"problems": [], "known": {}}
    assert len(judge(host, settings, {"local_build_keys": ["k"]}, "other")["problems"]) == 2
    assert len(judge(host, settings, {}, "")["problems"]) == 2


IMAGE = {
    "Id": "sha256:1",
    "Created": 1,
    "Labels": {BUILD_KEY_LABEL: "k"},
    "RepoTags": ["opensora:k"],
    "RepoDigests": ["registry.test/opensora@sha256:" + "2" * 64],
}


@pytest.mark.parametrize(
    ("changes", "engine", "key", "reference"),
    [
        ({}, {"started_at": "now"}, "k", "sha256:1"),
        ({"opensora_image_registry": "registry.test"}, {"started_at": "now"}, "k", IMAGE["RepoDigests"][0]),
        # The registry may lack it, which only a look finds out.
        ({"opensora_image_registry": "other.test"}, {"started_at": "now"}, "k", None),
        ({}, {"started_at": "now"}, "other", None),
        ({}, {"started_at": "now"}, "", None),
        ({}, {"started_at": None}, "k", None),
    ],
)
def test_an_image_that_was_found_need_not_be_looked_for(image_defaults, changes, engine, key, reference):
    settings = {**image_defaults, "docker_engine_data_root": "", "opensora_image_name": "opensora", **changes}
    sources = {"local_build_keys": ["k"], "local_images": [IMAGE], "compressions": ["zstd"]}
    known = FILTERS["opensora_image_judged"]({"disk": [], "engine": engine}, settings, sources, key)["known"]
    assert known.get("reference") == reference
    if reference:
        assert (known["action"], known["build_key"], known["engine_started_at"]) == ("none", "k", "now")
        assert known["compressions"] == ["zstd"]


OWN = {
    "text": "FROM ubuntu:22.04\nRUN pip install torch>=2.4.0\n",
    "context": {},
    "build_arguments": {"JOBS": 2},
    "asked_arguments": ["JOBS"],
    "has_own_files": False,
    "target": "",
    "ignored_findings": ["torch_not_pinned", "root_user"],
}


def test_a_dockerfile_of_the_user_is_judged():
    problems = FILTERS["opensora_image_dockerfile_problems"]("own/Dockerfile", OWN)
    assert [problem["code"] for problem in problems] == ["dockerfile.argument_unused", "dockerfile.unquoted_bound"]
    assert problems[1]["message"].startswith("own/Dockerfile:2: torch>=2.4.0 is not quoted")


def test_a_control_node_without_the_readers_says_what_it_needs(monkeypatch):
    monkeypatch.setattr(sys.modules[FilterModule.__module__], "_MISSING", "tree_sitter")
    with pytest.raises(AnsibleFilterError, match=r"own/Dockerfile.*tree_sitter.*requirements/runtime\.txt"):
        FILTERS["opensora_image_dockerfile_problems"]("own/Dockerfile", OWN)


@pytest.fixture(params=["sdpa", "source", "wheel", "index", "none"])
def dockerfile(request, render_dockerfile):
    """The rendered Dockerfile, for each way to Flash Attention."""
    return render_dockerfile(opensora_image_flash_attention=request.param)


def test_the_role_s_own_dockerfile_is_right(dockerfile, image_defaults):
    context = [
        "build-tools.txt",
        "changed_files.py",
        "fetch_source.sh",
        "flash-attention.txt",
        "healthcheck.py",
        "requirements.txt",
        "torch.txt",
        "torch-dependencies.txt",
        "uv.txt",
    ]
    context += [f"flash-attention-sdpa/{name}" for name in ("pyproject.toml", "flash_attn/__init__.py")]
    context += ["ca-certificates/site-authorities.txt", "install_system_packages.sh", "verify_stage.py"]
    arguments = dict.fromkeys(re.findall(r"^ARG ([A-Z_]+)$", dockerfile, re.MULTILINE), "1")
    arguments["BASE_IMAGE"] = image_defaults["opensora_image_base"]
    arguments["RUNTIME_BASE_IMAGE"] = image_defaults["opensora_image_runtime_base"]
    arguments["TORCH_INDEX_URL"] = image_defaults["opensora_image_torch_index_url"]
    build = {
        "text": dockerfile,
        "context": dict.fromkeys(context, ""),
        "build_arguments": arguments,
        "asked_arguments": list(arguments),
        "has_own_files": False,
        "target": "",
        "ignored_findings": [],
    }
    assert FILTERS["opensora_image_dockerfile_problems"]("Dockerfile", build) == []


def stages(text):
    """Yield name, parent and lines of each stage."""
    found = {}
    name = ""
    for line in text.replace("\\\n", " ").splitlines():
        match = re.match(r"FROM (\S+) AS (\S+)", line)
        if match:
            name = match[2]
            found[name] = (match[1], [])
        elif name:
            found[name][1].append(line)
    return found


def test_every_build_argument_is_declared_in_its_stage(dockerfile):
    for name, (_, lines) in stages(dockerfile).items():
        declared = set()
        for line in lines:
            declared |= set(re.findall(r"^ARG ([A-Z_]+)", line))
            used = set(re.findall(r"\$\{([A-Z_]+)", line)) - {"PATH"}
            assert used <= declared, f"{name}: {used - declared} in {line}"


def test_stages_stand_from_slow_to_fast(dockerfile):
    order = [name for name in stages(dockerfile) if not name.startswith("source-")]
    assert order == ["build", "installer", "system", "torch", "accelerators", "requirements", "application", "runtime"]


def test_compilers_stay_in_the_build_and_pytorch_is_written_once(dockerfile):
    parents = {name: parent for name, (parent, _) in stages(dockerfile).items()}
    assert parents["build"] == "${BASE_IMAGE}"
    assert [parents[name] for name in ("runtime", "torch", "system")] == ["torch", "system", "${RUNTIME_BASE_IMAGE}"]
    assert {parents[name] for name in ("accelerators", "requirements", "application")} == {"installer"}
    # Its settings would else be those of every container.
    assert not re.search(r"^ENV .*UV_", dockerfile, re.MULTILINE)


def test_what_the_guide_got_wrong_is_not_there(dockerfile):
    assert not dockerfile.lower().startswith("# syntax")
    assert "extra-index-url" not in dockerfile
    assert "PYTORCH_" not in dockerfile
    assert "USER ${RUNTIME_UID}:${RUNTIME_GID}" in dockerfile
    # An unquoted bound would be taken for a redirect by the shell.
    assert not re.search(r"^(?!#).*[a-z]>=", dockerfile, re.MULTILINE)


def test_what_changes_least_is_the_lowest_layer(dockerfile):
    copies = re.findall(r"^COPY --from=(\S+) \S+ (\S+)$", dockerfile[dockerfile.index("AS runtime") :], re.MULTILINE)
    assert [source for source, _ in copies] == ["accelerators", "requirements", "application", "application"]
    assert copies[0][1].rstrip("/") == copies[1][1].rstrip("/") == "/opt/venv"


def test_every_stage_after_torch_proves_that_torch_is_still_the_same(dockerfile):
    for name in ("torch", "accelerators", "requirements", "application", "runtime"):
        text = " ".join(stages(dockerfile)[name][1])
        assert re.search(r"verify_stage[.]py .*--pin torch==", text), name
        assert re.search(r"--cuda [0-9]+[.][0-9]", text), name


def test_a_step_mounts_no_more_than_it_reads(dockerfile):
    assert "target=/context " not in dockerfile
    for line in dockerfile.replace("\\\n", " ").splitlines():
        if line.startswith("RUN"):
            mounted = set(re.findall(r"target=/context/(\S+)", line))
            assert set(re.findall(r" /context/(\S+)", line)) == mounted


def test_ids_of_secrets_are_part_of_the_key_and_values_are_not():
    key = FILTERS["opensora_image_build_key"]
    assert key(BUILD) == key({**BUILD, "build_secrets": []})
    assert key(BUILD) != key({**BUILD, "build_secrets": ["netrc"]})


def test_a_file_that_can_not_be_read_is_named_with_its_variable(image_defaults, tmp_path):
    (tmp_path / "lock.txt").write_text("x==1")
    (tmp_path / "binary").write_bytes(b"\xff")
    files = {"opensora_image_requirements_file": str(tmp_path / "lock.txt"), "opensora_image_installer_file": ""}
    judge = FILTERS["opensora_image_setting_problems"]
    wish = {**image_defaults, "docker_engine_data_root": ""}
    assert judge({**wish, "__opensora_image_local_files": files}) == []
    for name in ("missing.txt", "binary"):
        found = judge({**wish, "__opensora_image_local_files": {**files, "opensora_image_dockerfile": tmp_path / name}})
        assert [problem["code"] for problem in found] == ["variable.invalid"]
        assert "opensora_image_dockerfile" in found[0]["message"]
        assert name in found[0]["message"]


def asked(name, action, key="k", **more):
    answer = {"build_key": key, "action": action, "compressions": ["zstd", "gzip"]}
    return {"inventory_hostname": name, "__opensora_image_asked": answer, "__opensora_image_shares": True, **more}


def test_assignment():
    assign = FILTERS["opensora_image_assignment"]
    hosts = [asked("a", "build"), asked("b", "build"), asked("c", "build", "other")]
    names = ["a", "b", "c"]
    found = [assign(hosts, name, names, "", False) for name in names]
    assert [entry["task"] for entry in found] == ["build", "receive", "build"]
    assert found[1] == {"task": "receive", "source": "a", "fetcher": "b"}
    assert assign(hosts, "b", names, "registry.example", False)["task"] == "pull"
    provided = [asked("a", "build", __opensora_image_provided={"id": "x"}), asked("b", "build")]
    assert assign(provided, "b", ["b"], "", False) == {"task": "receive", "source": "a", "fetcher": "b"}


def test_compression_that_all_hosts_know():
    hosts = [{"compressions": ["zstd", "gzip"]}, {"compressions": ["gzip"]}]
    assert FILTERS["opensora_image_compression"](hosts) == "gzip"
    assert FILTERS["opensora_image_compression"](hosts[:1]) == "zstd"


def test_logins_reach_every_step_that_downloads(dockerfile):
    """A step that asks a server without the site's logins would fail on a private mirror."""
    steps = [line for line in dockerfile.replace("\\\n", " ").splitlines() if line.startswith("RUN ")]
    asking = [step for step in steps if re.search(r"fetch_source|install_system_packages|pip install|-index", step)]
    assert len(asking) > 6
    local = [step for step in asking if re.search(r" /tmp/(application|tensornvme|flash-attention)", step)]
    for step in asking:
        assert ("--mount=type=secret,id=netrc" in step) != (step in local), step
    assert "required" not in dockerfile
