# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest


@pytest.fixture
def context(root):
    return root / "roles/opensora_image/files/context"


def run(script, *arguments, **environment):
    found = subprocess.run(  # noqa: S603 (scripts of this project)
        [sys.executable, str(script), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return found.returncode, found.stdout + found.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--import", "json"], 0, "checked: import json"),
        (["--import", "json:loads"], 0, "checked: import json:loads"),
        (["--import", "json:nothing"], 1, "stage check failed: json has no nothing"),
        (["--import", "no_such_module"], 1, "stage check failed: import no_such_module: ModuleNotFoundError"),
        (["--pin", "no-such-package==1"], 1, "no-such-package is not installed, wanted is 1"),
        (["--pin", "pytest==0.1"], 1, "wanted is 0.1: another package replaced it"),
        (["--pin", f"pytest=={pytest.__version__}"], 0, f"checked: pytest {pytest.__version__}"),
    ],
)
def test_verify_stage(context, arguments, status, says):
    found, output = run(context / "verify_stage.py", *arguments)
    assert found == status
    assert says in output


@pytest.mark.parametrize(
    ("lines", "status", "says"),
    [
        ("pytest>=1 # a comment\n\n# one more\n--hash\nno-such ; python_version < '3'\n", 0, "all 1 requirements"),
        ("pytest<1\nno-such>=2\n", 1, "pytest<1 is wanted"),
        ("pytest<1\nno-such>=2\n", 1, "no-such>=2 is not installed"),
        ("x @ https://example.org/x.whl\n", 1, "x@ https://example.org/x.whl is not installed"),
    ],
)
def test_verify_requirements(context, tmp_path, lines, status, says):
    (tmp_path / "requirements.txt").write_text(lines)
    found, output = run(context / "verify_stage.py", "--requirements", str(tmp_path / "requirements.txt"))
    assert found == status, output
    assert says.replace("x@ ", "x @ ") in output or says in output


@pytest.fixture
def container(tmp_path):
    """Modules and folders as the image has them."""
    modules = tmp_path / "modules"
    (modules / "torch").mkdir(parents=True)
    (modules / "opensora.py").write_text("")
    (modules / "torch/__init__.py").write_text("from . import cuda\n")
    (modules / "torch/cuda.py").write_text("def is_available(): return True\ndef device_count(): return 2\n")
    (tmp_path / "samples").mkdir()
    return tmp_path


def health(context, container, **environment):
    return run(
        context / "healthcheck.py",
        PYTHONPATH=str(container / "modules"),
        OPENSORA_SAMPLES_DIRECTORY=str(container / "samples"),
        **environment,
    )


@pytest.mark.parametrize(
    ("expected", "status", "says"),
    [
        ("2", 0, "2 GPUs"),
        ("", 0, "GPUs not checked"),
        ("3", 1, "unhealthy: gpus: 2 GPUs are visible, 3 are expected"),
        ("two", 1, "OPENSORA_EXPECTED_GPUS is 'two'"),
    ],
)
def test_health_of_the_gpus(context, container, expected, status, says):
    found, output = health(context, container, OPENSORA_EXPECTED_GPUS=expected)
    assert found == status
    assert says in output


def test_health_without_driver(context, container):
    (container / "modules/torch/cuda.py").write_text("def is_available(): return False\ndef device_count(): return 0\n")
    found, output = health(context, container, OPENSORA_EXPECTED_GPUS="2")
    assert found == 1
    assert "torch.cuda.is_available() is False" in output


def test_health_without_application_or_samples(context, container):
    (container / "modules/opensora.py").write_text("import nothing_of_that_name\n")
    assert "unhealthy: application: import opensora: ModuleNotFoundError" in health(context, container)[1]
    (container / "samples").rmdir()
    assert "unhealthy: samples: user" in health(context, container)[1]


@pytest.mark.parametrize("name", ["open-sora-2.0-python3.10.txt", "build-tools.txt", "uv.txt"])
def test_locks_are_exact_hashed_and_name_no_index(root, name):
    text = (root / "roles/opensora_image/files/requirements" / name).read_text()
    packages = re.findall(r"^([a-z0-9][a-z0-9._-]*)(\S*) \\$", text, re.MULTILINE)
    assert packages
    assert all(version.startswith("==") for _, version in packages)
    assert "index-url" not in text
    blocks = re.split(r"^(?=[a-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
    assert all("--hash=sha256:" in block for block in blocks if block.strip())
    names = {package for package, _ in packages}
    assert not names & {"torch", "torchvision", "triton", "xformers"}
    assert not [package for package in names if package.startswith("nvidia-")]
