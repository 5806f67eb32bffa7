# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.python_installation import Installation, file_requirements, installation, requirement
from ansible.module_utils.opensora.shell_script import Script


def read(text: str) -> Installation | None:
    """Return what the one command of a script installs."""
    (command,) = Script(text, ((0, 1),)).commands
    return installation(command)


@pytest.mark.parametrize(
    ("text", "tool", "names"),
    [
        ("pip install torch==2.4.0 Flash_Attn", "pip", ["torch", "flash-attn"]),
        ("pip3.10 --no-cache-dir install -q -U torch", "pip", ["torch"]),
        ("/opt/venv/bin/pip install torch[all]", "pip", ["torch"]),
        ("${VENV}/bin/pip install torch", "pip", ["torch"]),
        ("python3.10 -u -m pip install torch", "pip", ["torch"]),
        ("$PYTHON -m pip install torch", "pip", ["torch"]),
        ("uv pip install --python 3.10 torch", "uv", ["torch"]),
        ("uv pip install -n torch", "uv", ["torch"]),
        ("python -m uv pip install torch", "uv", ["torch"]),
        ("conda install -y -c pytorch -n base pytorch::pytorch=2.4.0", "conda", ["pytorch"]),
        ("micromamba create -n x -f env.yml python=3.10", "conda", ["python"]),
        ("pip install -i https://x/y --timeout 9 --extra-index-url=https://z torch", "pip", ["torch"]),
        ('pip install ${INDEX:+--index-url "${INDEX}"} torch', "pip", ["torch"]),
        ("pip install -e ./apex", "pip", ["apex"]),
    ],
)
def test_what_is_installed(text: str, tool: str, names: list[str]) -> None:
    found = read(text)
    assert found is not None
    assert (found.tool, [one.name for one in found.requirements]) == (tool, names)
    assert found.is_complete


@pytest.mark.parametrize(
    "text",
    [
        "pip list",
        "pip uninstall torch",
        "apt-get install torch",
        "python -c pip",
        "python x.py -m pip install y",
        "uv sync",
    ],
)
def test_what_installs_nothing(text: str) -> None:
    assert read(text) is None


@pytest.mark.parametrize("text", ["pip install $PACKAGES", "cat list | xargs pip install", "pip install $(cat list)"])
def test_what_can_not_be_read_is_not_everything(text: str) -> None:
    commands = Script(text, ((0, 1),)).commands
    found = [one for one in map(installation, commands) if one]
    assert [one.is_complete for one in found] == [False]


def test_options_by_their_long_name() -> None:
    found = read("pip install -ra.txt -r b.txt -c c.txt -f https://x --no-build-isolation --no-binary=:all: torch")
    assert found is not None
    assert found.files == ("a.txt", "b.txt")
    assert found.values("--constraint") == ("c.txt",)
    assert found.values("--find-links") == ("https://x",)
    assert found.values("--no-build-isolation") == ("",)
    assert found.values("--no-binary") == (":all:",)
    assert found.values("--upgrade") == ()


@pytest.mark.parametrize(
    ("text", "name", "is_exact", "local", "is_wheel"),
    [
        ("torch", "torch", False, "", False),
        ("torch>=2.4.0", "torch", False, "", False),
        ("torch==2.4.*", "torch", False, "", False),
        ("torch==2.4.0,<3", "torch", False, "", False),
        ("torch~=2.4.0", "torch", False, "", False),
        ("torch==2.4.0", "torch", True, "", False),
        ("torch == 2.4.0+cu121", "torch", True, "cu121", False),
        ("torch==${TORCH}+cu121", "torch", True, "cu121", False),
        ("torch===2.4.0", "torch", True, "", False),
        ("torch==2.4.0; python_version<'3.12'", "torch", True, "", False),
        ("flash-attn @ https://x/flash_attn-2.7.whl#sha256=1", "flash-attn", True, "", True),
        ("https://x/flash_attn-2.7-cp310.whl", "flash-attn", True, "", True),
        ("./wheels/flash_attn-2.7-cp310.whl", "flash-attn", True, "", True),
        ("git+https://github.com/Dao-AILab/flash-attention.git@v2.7", "flash-attention", True, "", False),
        ("git+ssh://git@github.com/NVIDIA/apex", "apex", True, "", False),
        ("git+https://github.com/x/y.git#egg=apex&subdirectory=z", "apex", True, "", False),
        ("git+https://github.com/x/y.git#subdirectory=csrc/apex", "apex", True, "", False),
        (".", "", True, "", False),
        ("../apex/[cuda]", "apex", True, "", False),
    ],
)
def test_requirements(text: str, name: str, is_exact: bool, local: str, is_wheel: bool) -> None:
    found = requirement(text, 1)
    assert (found.name, found.is_exact, found.local_version, found.is_wheel) == (name, is_exact, local, is_wheel)


@pytest.mark.parametrize(
    ("text", "is_exact"),
    [
        ("pytorch=2.4.0", True),
        ("pytorch==2.4.0", True),
        ("pytorch=2.4.0=py3.10_cuda12.1*", True),
        ("pytorch=2", False),
        ("'pytorch>=2'", False),
    ],
)
def test_exact_versions_of_conda(text: str, is_exact: bool) -> None:
    found = read(f"conda install {text}")
    assert found is not None
    assert [(one.name, one.is_exact) for one in found.requirements] == [("pytorch", is_exact)]


def test_a_requirement_file() -> None:
    text = "# all\n--extra-index-url https://x\n-r other.txt\ntorch==2.4.0 \\\n    --hash=sha256:1\n"
    text += "numpy>=1  # why\n\n./apex\n"
    found, options = file_requirements(text, 7)
    assert [(one.name, one.line) for one in found] == [("torch", 7), ("numpy", 7), ("apex", 7)]
    assert options == {"--extra-index-url": ["https://x"], "--requirement": ["other.txt"]}
