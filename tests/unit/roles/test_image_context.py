# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import filecmp
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata

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


@pytest.mark.parametrize(
    "name",
    [
        "upstream.txt",
        "current.txt",
        "upstream-torch-dependencies.txt",
        "current-torch-dependencies.txt",
        "build-tools.txt",
        "uv.txt",
    ],
)
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


@pytest.mark.parametrize("stack", ["upstream", "current"])
def test_lock_of_torch_has_exactly_the_pins_of_its_stack(root, image_stacks, stack):
    text = (root / f"roles/opensora_image/files/requirements/{stack}-torch.txt").read_text()
    assert "index-url" not in text
    locked = set(re.findall(r"^([a-z0-9-]+==[^\s\\;]+)", text, re.MULTILINE))
    assert set(image_stacks[stack]["torch_packages"]) <= locked
    assert {re.split("==", pin)[0].split("-")[0] for pin in locked} == {"torch", "torchvision", "triton", "nvidia"}
    # No package twice: what PyTorch's index gives is not installed again from another one.
    others = "".join(
        (root / f"roles/opensora_image/files/requirements/{name}.txt").read_text()
        for name in (stack, f"{stack}-torch-dependencies")
    )
    names = re.findall(r"^([a-z0-9][a-z0-9._-]*)==", others, re.MULTILINE)
    assert not {pin.split("==")[0] for pin in locked} & set(names)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that makes packages with their requirements findable, and nothing else."""

    def install(**packages):
        for name, (version, *requires) in packages.items():
            folder = tmp_path / f"{name}-{version}.dist-info"
            folder.mkdir()
            lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {text}" for text in requires)]
            (folder / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines, ""]))

        found = list(metadata.distributions(path=[str(tmp_path)]))
        versions = {package.metadata["Name"]: package.version for package in found}

        def version(name):
            if name not in versions:
                raise metadata.PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr(metadata, "distributions", lambda: found)
        monkeypatch.setattr(metadata, "version", version)

    return install


@pytest.fixture
def stage(root):
    """The module that runs inside the build."""
    specification = importlib.util.spec_from_file_location(
        "verify_stage", root / "roles/opensora_image/files/context/verify_stage.py"
    )
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_packages_that_contradict_one_another(stage, installed, capsys):
    installed(torch=("2.10.0",), colossalai=("0.5.0", "torch<=2.5.1", 'missing; extra == "x"'))
    with pytest.raises(SystemExit, match=r"colossalai requires torch<=2.5.1, 2.10.0 is installed"):
        stage.check_consistency([])
    stage.check_consistency(["ColossalAI torch"])
    assert "accepted, the imports decide" in capsys.readouterr().out


def test_a_requirement_that_is_missing_is_never_accepted_for_another(stage, installed):
    installed(a=("1", "b>=2"))
    with pytest.raises(SystemExit, match="a requires b>=2, is not installed"):
        stage.check_consistency(["a c"])


def test_a_pin_stands_above_the_applications_own_list(stage, installed, tmp_path, capsys):
    installed(torch=("2.10.0",), av=("12.0",))
    wanted = tmp_path / "requirements.txt"
    wanted.write_text("torch==2.4.0\n")
    stage.check_requirements(wanted, ["torch==2.10.0"])
    assert "the pin 2.10.0 stands in for it" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"torch==2[.]4[.]0 is wanted, 2[.]10[.]0 is installed"):
        stage.check_requirements(wanted, [])
    wanted.write_text("av==13.1.0\n")
    with pytest.raises(SystemExit, match=r"av==13[.]1[.]0 is wanted"):
        stage.check_requirements(wanted, ["torch==2.10.0"])


def test_the_cuda_version_is_read_without_an_import(context, tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "torch/version.py").write_text("__version__ = '2.4.0+cu121'\ncuda = '12.1'\n")
    script, path = context / "verify_stage.py", {"PYTHONPATH": str(tmp_path)}
    assert run(script, "--cuda", "12.1", **path) == (0, "checked: torch 2.4.0+cu121 for CUDA 12.1\n")
    found, output = run(script, "--cuda", "12.8", **path)
    assert found == 1
    assert "is built for CUDA 12.1, wanted is 12.8" in output


@pytest.fixture
def states(tmp_path):
    """Two states of a folder, the latter with changes of every kind."""
    before, after = tmp_path / "before", tmp_path / "after"
    for name in ("kept.py", "changed.py", "gone/deep/file.py", "half/gone.py", "half/kept.py"):
        (before / name).parent.mkdir(parents=True, exist_ok=True)
        (before / name).write_text("1")
    (before / "python").symlink_to("/usr/bin/python3")
    (before / "moved").symlink_to("kept.py")
    shutil.copytree(before, after, symlinks=True)
    for path in before.rglob("*"):
        os.utime(path, ns=(10**18, 10**18), follow_symlinks=False)
    for path in after.rglob("*"):
        os.utime(path, ns=(10**18, 10**18), follow_symlinks=False)
    (after / "changed.py").write_text("2")
    shutil.rmtree(after / "gone")
    (after / "half/gone.py").unlink()
    (after / "new/empty").mkdir(parents=True)
    (after / "new/script").write_text("x")
    (after / "new/script").chmod(0o755)
    (after / "moved").unlink()
    (after / "moved").symlink_to("changed.py")
    (after / "folder").symlink_to("new")
    return before, after, tmp_path / "changes"


def test_what_a_step_changed(context, states):
    _, after, target = states
    found, output = run(context / "changed_files.py", *map(str, states))
    assert found == 0
    assert output == f"4 files of {after} are new or changed, 2 are gone\n"
    changed = {str(path.relative_to(target)) for path in target.rglob("*")}
    assert changed == {".removed-changes", "changed.py", "folder", "moved", "new", "new/empty", "new/script"}
    assert (target / ".removed-changes").read_text() == "gone\nhalf/gone.py\n"
    # The bytecode beside a file is valid for its time only.
    assert (target / "new/script").stat().st_mtime_ns == (after / "new/script").stat().st_mtime_ns
    assert (target / "new/script").stat().st_mode & 0o777 == 0o755
    # Another step may add to the same folder.
    assert run(context / "changed_files.py", *map(str, states))[0] == 0


def test_former_state_and_changes_give_the_new_state(context, states):
    """Done as the Dockerfile does it: the changes over the former state, then what is gone."""
    before, after, target = states
    run(context / "changed_files.py", *map(str, states))
    shell = 'cp -a "$2/." "$1/" && cd "$1" && cat .removed-* | xargs -r -d "\\n" rm -rf -- && rm .removed-*'
    subprocess.run(["sh", "-c", shell, "sh", before, target], check=True)  # noqa: S603, S607 (a fixed line)
    compared = filecmp.dircmp(before, after)
    assert not compared.left_only + compared.right_only + compared.diff_files
    assert {path.name for path in before.rglob("*")} == {path.name for path in after.rglob("*")}
    assert (before / "moved").readlink() == (after / "moved").readlink()
