"""Every Python package that the project installs is locked by hash: on the control node, on hosts and in the image."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ansible.module_utils.opensora import dockerfile

from tests.unit.security.conftest import ROOT, Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Inputs of the locks, which install nothing themselves.
INPUTS = {"roles/opensora_image/files/requirements/current-overrides.txt"}
LOCKS = sorted(
    path
    for folder in ("requirements", "roles")
    for path in (ROOT / folder).rglob("*.txt")
    if path.relative_to(ROOT).as_posix() not in INPUTS and path.name != "site-authorities.txt"
)
SCRIPTS = [
    *(ROOT / name for name in ("run", ".ci/run")),
    *(path for path in (ROOT / "scripts").iterdir() if path.is_file()),
    *(ROOT / ".github/workflows").glob("*.yml"),
    *(ROOT / "molecule/resources/images").rglob("*.sh"),
    *(path for path in (ROOT / "roles/opensora_image/files/context").iterdir() if path.is_file()),
]
INSTALLS = re.compile(r"\b(?:pip3?|uv pip)\b(?:\s+-\S+)*\s+(?:install|download|wheel)\b")


def requirements(text: str) -> Iterator[str]:
    """Yield each requirement of a locked file with what belongs to it, in one line."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line.strip()


def unlocked(text: str) -> list[str]:
    return [
        line[:60]
        for line in requirements(text)
        if not re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[a-z0-9,_-]+\])?==[^\s;]+", line)
        or not re.search(r"\s--hash=sha256:[0-9a-f]{64}(?:\s|$)", line)
    ]


def test_the_locks_are_found() -> None:
    names = {path.name for path in LOCKS}
    assert {"runtime.txt", "test.txt", "collections.txt", "docker-sdk-requirements.txt", "hub-library.txt"} <= names
    assert {"uv.txt", "build-tools.txt", "current.txt", "current-torch.txt", "upstream-torch-dependencies.txt"} <= names


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_line_of_a_lock_has_hashes(path: Path) -> None:
    assert list(requirements(path.read_text())) != []
    assert unlocked(path.read_text()) == []


def test_a_line_without_hash_would_be_found() -> None:
    digest = f"--hash=sha256:{'a' * 64}"
    text = (
        f"a==1 \\\n    {digest}\nb==1\nc>=1 {digest}\n-r other.txt\nd==1 --hash=md5:1\ne @ https://x/e.whl {digest}\n"
    )
    assert [line.split()[0] for line in unlocked(text)] == ["b==1", "c>=1", "-r", "d==1", "e"]


def commands_of(path: Path) -> list[str]:
    """Return the lines of a script that install packages, comments left out."""
    lines = path.read_text().replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if not line.lstrip().startswith("#") and INSTALLS.search(line)]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_scripts_install_by_hash(path: Path) -> None:
    assert [line for line in commands_of(path) if "--require-hashes" not in line] == []


def test_the_control_node_is_set_up_by_hash() -> None:
    assert len(commands_of(ROOT / "run")) == 2


def tasks(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every task of a file of tasks or plays, blocks gone through."""
    for item in value if isinstance(value, list) else []:
        yield item
        for key in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks", "handlers"):
            yield from tasks(item.get(key))


def test_hosts_install_by_hash_and_only_what_is_built() -> None:
    found = []
    for path in [*(ROOT / "roles").glob("*/tasks/*.yml"), *(ROOT / "playbooks").glob("*.yml")]:
        for task in tasks(yaml.safe_load(path.read_text())):
            assert "ansible.builtin.pip" not in task, f"{path}: the module pip takes no hashes"
            words = (task.get("ansible.builtin.command") or {}).get("argv") or []
            if "pip" in words and "install" in words:
                found.append((path.parent.parent.name, "--require-hashes" in words, "--only-binary=:all:" in words))
    assert found == [("docker_engine", True, True), ("opensora_checkpoint", True, True)]


WISHES = [
    {"opensora_image_stack": stack, "opensora_image_flash_attention": flash, "opensora_image_torch_locked": locked}
    for stack, flash, locked in itertools.product(
        ("current", "upstream"), ("sdpa", "wheel", "source", "index", "none"), (True, False)
    )
]


@pytest.mark.parametrize("wish", WISHES, ids=lambda wish: " ".join(str(value) for value in wish.values()))
def test_the_image_installs_by_hash(project: Project, wish: dict[str, Any]) -> None:
    text = project.render("opensora_image", "{{ __opensora_image_dockerfile }}", **wish)
    assert not re.search(r"curl .*\|\s*(?:ba)?sh|--trusted-host|--allow-unauthenticated|--no-check-certificate", text)
    installs = []
    for stage in dockerfile.read(text, {}).stages:
        for instruction in stage.instructions:
            for command in instruction.commands:
                words = [word.text for word in command.words]
                if "install" in words and any(
                    word.endswith(("pip", "/uv")) for word in words[: words.index("install")]
                ):
                    installs.append(words)
    assert len(installs) >= 6
    unhashed = [words for words in installs if "--require-hashes" not in words]
    from_sources = [words for words in unhashed if words[-1].startswith("/tmp/") and is_offline(words)]
    by_version = [words for words in unhashed if words not in from_sources]
    is_own_build = not wish["opensora_image_torch_locked"]
    accelerators = wish["opensora_image_stack"] == "upstream"
    is_own_wheel = wish["opensora_image_flash_attention"] == "index"
    assert len(by_version) == is_own_build + accelerators + is_own_wheel, by_version
    assert all(re.search(r"==", " ".join(words)) for words in by_version)


@pytest.mark.parametrize(
    ("wish", "line"),
    [
        ({"opensora_image_flash_attention": "source"}, "flash-attn==2.7.4.post1 --hash=sha256:"),
        (
            {
                "opensora_image_flash_attention": "wheel",
                "opensora_image_flash_attention_wheel_url": "https://x.test/flash_attn-2-py3-none-any.whl",
            },
            "flash-attn @ https://x.test/flash_attn-2-py3-none-any.whl --hash=sha256:",
        ),
    ],
)
def test_flash_attention_is_locked_in_a_line_of_its_own(project: Project, wish: dict[str, Any], line: str) -> None:
    text = project.render("opensora_image", "{{ __opensora_image_rendered }}", **wish)["flash-attention.txt"]
    assert re.fullmatch(rf"{re.escape(line)}[0-9a-f]{{64}}\n", text)


def is_offline(words: list[str]) -> bool:
    return "--no-deps" in words and "--no-build-isolation" in words and not any("index" in word for word in words)
