# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import re

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

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


def test_host_with_the_image_needs_no_room(root):
    settings = yaml.safe_load((root / "roles/opensora_image/defaults/main.yml").read_text())
    settings["docker_engine_data_root"] = ""
    host = {"disk": [{"path": "/", "mount": "/", "free_bytes": 1, "free_inodes": 1}]}
    judge = FILTERS["opensora_image_host_problems"]
    assert judge(host, settings, {"local_build_keys": ["k"]}, "k") == []
    assert len(judge(host, settings, {"local_build_keys": ["k"]}, "other")) == 2
    assert len(judge(host, settings, {}, "")) == 2


@pytest.fixture(params=["source", "wheel", "index", "none"])
def dockerfile(request, root):
    """The rendered Dockerfile, for each way to Flash Attention."""
    variables = yaml.safe_load((root / "roles/opensora_image/defaults/main.yml").read_text())
    variables["opensora_image_flash_attention"] = request.param
    variables["__opensora_image_sources"] = {"git": {"application": {"commit": "1" * 40}}}
    template = (root / "roles/opensora_image/templates/Dockerfile.j2").read_text()
    return Templar(loader=DataLoader(), variables=variables).template(trust_as_template(template))


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
    assert order == ["system", "python", "torch", "accelerators", "requirements", "application", "runtime"]
    assert stages(dockerfile)["runtime"][0] == "${RUNTIME_BASE_IMAGE}"


def test_what_the_guide_got_wrong_is_not_there(dockerfile):
    assert not dockerfile.lower().startswith("# syntax")
    assert "extra-index-url" not in dockerfile
    assert "PYTORCH_" not in dockerfile
    assert "COPY --from=requirements /opt/venv /opt/venv" in dockerfile
    assert "USER ${RUNTIME_UID}:${RUNTIME_GID}" in dockerfile
    # An unquoted bound would be taken for a redirect by the shell.
    assert not re.search(r"^(?!#).*[a-z]>=", dockerfile, re.MULTILINE)


def test_every_stage_after_torch_proves_that_torch_is_still_the_same(dockerfile):
    for name in ("torch", "accelerators", "requirements", "application", "runtime"):
        text = " ".join(stages(dockerfile)[name][1])
        assert "verify_stage.py --pin torch==2.4.0" in text or "--pin torch==2.4.0" in text, name
        assert "--cuda 12.1" in text, name


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
    local = [step for step in asking if re.search(r" /tmp/(application|tensornvme)", step)]
    for step in asking:
        assert ("--mount=type=secret,id=netrc" in step) != (step in local), step
    assert "required" not in dockerfile
