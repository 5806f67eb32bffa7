"""What is wrong with apt's sources; where apt is at hand, it has to agree."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.opensora.apt_source_conflicts import find_missing_components, find_source_problems
from ansible.module_utils.opensora.apt_sources import parse_sources, unreadable_lines

if TYPE_CHECKING:
    from pathlib import Path

TRIXIE = {"id": "debian", "repository_id": "debian", "codename": "trixie", "deb_arch": "amd64", "name": "Debian 13"}
BOOKWORM = {**TRIXIE, "codename": "bookworm", "name": "Debian 12"}
NOBLE = {"id": "ubuntu", "repository_id": "ubuntu", "codename": "noble", "deb_arch": "arm64", "name": "Ubuntu 24.04"}
MINT = {"id": "linuxmint", "repository_id": "ubuntu", "codename": "noble", "deb_arch": "amd64", "name": "Linux Mint 22"}
UNKNOWN = {"id": None, "repository_id": None, "codename": None, "deb_arch": None}

V = "https://vendor.test/debian"
A, B = "[signed-by=/a.gpg]", "[signed-by=/b.gpg]"
CUDA = "https://developer.download.nvidia.com/compute/cuda/repos"
DOCKER = "https://download.docker.com/linux"


def stanza(key: str, uri: str = V, suites: str = "trixie", more: str = "Components: stable\n") -> str:
    return f"Types: deb\nURIs: {uri}\nSuites: {suites}\n{more}{f'Signed-By: {key}' if key else ''}\n"


def problems(files: dict[str, str], system: dict[str, Any], folder: str = "/etc/apt/sources.list.d") -> list[Any]:
    paths = {f"{folder}/{name}": text for name, text in files.items()}
    entries = [entry.as_dict() for path, text in paths.items() for entry in parse_sources(path, text)]
    lines = [line.as_dict() for path, text in paths.items() for line in unreadable_lines(path, text)]
    return find_source_problems(entries, system, lines)


def apt_reads(files: dict[str, str], folder: Path) -> bool:
    """Let the real apt read the sources, without any network."""
    for name in ("etc/apt/sources.list.d", "etc/apt/apt.conf.d", "var/lib/apt/lists/partial", "var/cache/apt/archives"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    for name, text in files.items():
        (folder / "etc/apt/sources.list.d" / name).write_text(text)
    options = (f"Dir={folder}", f"Dir::State::Status={folder}/status", "APT::Architecture=amd64")
    words = [word for option in options for word in ("-o", option)]
    command = ["/usr/bin/apt-get", *words, "indextargets"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603  all words are ours


STOPS = [
    ({"a.list": f"deb {A} {V} trixie stable\n", "b.list": f"deb {B} {V}/ trixie stable\n"}, True),
    ({"a.list": f"deb {A} {V} trixie stable\n", "b.sources": stanza("/b.gpg")}, True),
    ({"a.list": f"deb {A} {V} trixie stable\n", "b.sources": stanza("/a.gpg")}, False),
    ({"a.list": f"deb {A} {V} trixie stable\n", "b.list": f"deb {V} trixie stable\n"}, True),
    ({"a.list": f"deb {V} trixie stable\n", "b.list": f"deb {A} {V} trixie stable\n"}, False),
    ({"a.list": f"deb {A} {V} trixie stable\n", "b.list": f"deb-src {B} {V} trixie stable\n"}, True),
    ({"a.list": f"deb {A} {V} trixie stable\n", "b.list": f"deb {B} {V} bookworm stable\n"}, False),
    ({"a.list": f"deb {A} {V}/$(ARCH) /\n", "b.sources": stanza("/b.gpg", f"{V}/amd64", "/", "")}, True),
    ({"a.list": f"deb {A} {V} trixie stable\n", "b.sources": "Enabled: no\n" + stanza("/b.gpg")}, False),
    ({"a.list": f"deb {A} {V} trixie a\n", "b.sources": stanza("/b.gpg", suites="x trixie")}, True),
    ({"a.list": f"deb [signed-by=/a.gpg,/b.gpg] {V} trixie a\n", "b.sources": stanza("/a.gpg /b.gpg")}, False),
    ({"a.list": f"deb [signed-by=/a.gpg,/b.gpg] {V} trixie a\n", "b.sources": stanza("/b.gpg /a.gpg")}, True),
    ({"a.list": "<!DOCTYPE html>\n<p>404</p>\n"}, True),
    ({"a.sources": "<!DOCTYPE html>\n<p>404</p>\n"}, True),
    ({"a.list": "# Unsupported distribution!\n# Check the page\n"}, False),
    ({"a.list": "deb https://vendor.test\n"}, True),
    ({"a.list": "deb https://vendor.test trixie\n"}, True),
    ({"a.list": "deb https://vendor.test ./\n"}, False),
    ({"a.sources": "Types: deb\nURIs: https://vendor.test\n"}, True),
    ({"a.sources": "Types: deb\nEnabled: no\nURIs: https://vendor.test\n"}, False),
    ({"a.sources": stanza("", more="")}, True),
    ({"a.sources": "# only a comment\n\n" + stanza("/a.gpg")}, False),
]


@pytest.mark.parametrize(("files", "stops"), STOPS)
def test_what_apt_stops_at(files: dict[str, str], stops: bool) -> None:
    assert any(problem.severity == "error" for problem in problems(files, TRIXIE)) is stops


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="asks the real apt, which this system lacks")
@pytest.mark.parametrize(("files", "stops"), STOPS)
def test_apt_agrees(files: dict[str, str], stops: bool, tmp_path: Path) -> None:
    assert apt_reads(files, tmp_path) is not stops


def test_a_conflict_names_every_entry_once() -> None:
    files = {
        "a.list": f"# mine\ndeb {A} {V} trixie stable\n",
        "b.sources": "# x\n\n# y\n" + stanza("/b.gpg", suites="trixie trixie"),
    }
    (problem,) = problems(files, TRIXIE)
    assert (problem.layer, problem.code) == ("packages", "apt.conflicting_entries")
    assert problem.evidence == (
        "/etc/apt/sources.list.d/a.list, line 2: Signed-By /a.gpg",
        "/etc/apt/sources.list.d/b.sources, stanza at line 4: Signed-By /b.gpg",
    )
    assert "package_manager_repair_sources" in problem.next_action


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"a.list": f"deb {A} {V} trixie stable\n", "b.list": f"deb {A} {V}/ trixie stable\n"}, True),
        ({"a.list": f"deb {A} {V} trixie stable\n", "b.list": f"deb {A} {V} trixie test\n"}, False),
        ({"a.list": f"deb {A} {V} trixie stable\n", "b.list": f"deb-src {A} {V} trixie stable\n"}, False),
        (
            {
                "a.list": f"deb [arch=amd64 signed-by=/a.gpg] {V} trixie stable\n",
                "b.list": f"deb [arch=arm64 signed-by=/a.gpg] {V} trixie stable\n",
            },
            False,
        ),
    ],
)
def test_duplicates_are_a_warning(files: dict[str, str], found: bool) -> None:
    seen = [(problem.code, problem.severity) for problem in problems(files, TRIXIE)]
    assert seen == ([("apt.duplicate_entries", "warning")] if found else [])


@pytest.mark.parametrize(
    ("entry", "system", "expected"),
    [
        # The toolkit: the repositories of single distributions are given up, those of all serve.
        ("https://nvidia.github.io/nvidia-docker/debian10/$(ARCH) /", TRIXIE, ("apt.dead_repository", "error")),
        ("https://nvidia.github.io/libnvidia-container/ubuntu18.04/amd64 /", MINT, ("apt.dead_repository", "error")),
        (
            "https://nvidia.github.io/libnvidia-container/stable/ubuntu18.04/amd64 /",
            MINT,
            ("apt.dead_repository", "error"),
        ),
        ("https://nvidia.github.io/nvidia-container-runtime/debian10/a /", TRIXIE, ("apt.dead_repository", "error")),
        ("https://nvidia.github.io/libnvidia-container/stable/deb/$(ARCH) /", TRIXIE, None),
        ("https://mirror.test/nvidia-docker/ /", TRIXIE, None),  # a mirror has names of its own
        # Docker: distribution and codename are both the host's, a derivative's are those of its packages.
        (f"{DOCKER}/debian trixie stable", TRIXIE, None),
        (f"{DOCKER}/ubuntu trixie stable", TRIXIE, ("apt.wrong_release", "error")),
        (f"{DOCKER}/ubuntu noble stable", TRIXIE, ("apt.wrong_release", "error")),
        (f"{DOCKER}/debian NA stable", TRIXIE, ("apt.wrong_release", "error")),
        (f"{DOCKER}/debian bookworm stable", TRIXIE, ("apt.wrong_release", "warning")),
        (f"{DOCKER}/ubuntu noble stable", MINT, None),
        (f"{DOCKER}/ubuntu wilma stable", MINT, ("apt.wrong_release", "error")),
        (f"{DOCKER}/debian trixie stable", UNKNOWN, None),
        ("https://mirror.test/docker/linux/ubuntu noble stable", TRIXIE, ("apt.wrong_release", "error")),
        # The CUDA repository: the folder has the major version only, the machine is NVIDIA's word, the key is the new.
        (f"{CUDA}/debian12/x86_64/ /", BOOKWORM, ("apt.key_not_named", "warning")),
        (f"{CUDA}/debian125/x86_64/ /", BOOKWORM, ("apt.wrong_release", "error")),
        (f"{CUDA}/debian12.5/x86_64/ /", BOOKWORM, ("apt.wrong_release", "error")),
        (f"{CUDA}/ubuntu2404/x86_64/ /", BOOKWORM, ("apt.wrong_release", "error")),
        (f"{CUDA}/debian12/x86_64/ /", TRIXIE, ("apt.wrong_release", "warning")),
        (f"{CUDA}/ubuntu2404/x86_64/ /", NOBLE, ("apt.wrong_release", "error")),
        (f"{CUDA}/ubuntu2404/sbsa/ /", NOBLE, ("apt.key_not_named", "warning")),
        ("https://mirror.test/cuda/repos/debian12/x86_64/ /", BOOKWORM, None),
        (f"{CUDA}/debian12/x86_64/ /", UNKNOWN, ("apt.key_not_named", "warning")),
    ],
)
def test_an_entry_by_itself(entry: str, system: dict[str, Any], expected: tuple[str, str] | None) -> None:
    seen = [(problem.code, problem.severity) for problem in problems({"x.list": f"deb {entry}\n"}, system)]
    assert seen == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("folder", "key", "expected"),
    [
        ("debian12", "/usr/share/keyrings/7fa2af80.gpg", "apt.old_key"),
        ("debian12", "AE09FE4BBD223A84B2CCFCE3F60F4B3D7FA2AF80", "apt.old_key"),
        ("debian12", "/etc/apt/keyrings/3bf863cc.pub", None),
        ("debian12", "/usr/share/keyrings/cuda-archive-keyring.gpg", None),
        ("debian13", "/etc/apt/keyrings/3bf863cc.pub", "apt.wrong_key"),
        ("debian13", "02182E60104FCDC26EAE1B8597A5D4CB8793F200", None),
        ("debian12", "/etc/apt/keyrings/8793F200.pub", "apt.wrong_key"),
    ],
)
def test_the_key_that_an_entry_names(folder: str, key: str, expected: str | None) -> None:
    system = TRIXIE if folder == "debian13" else BOOKWORM
    text = stanza(key, f"{CUDA}/{folder}/x86_64/", "/", "")
    assert [problem.code for problem in problems({"cuda.sources": text}, system)] == ([expected] if expected else [])


def test_a_disabled_entry_is_nobodys_problem() -> None:
    files = {"a.sources": "Enabled: no\n" + stanza("", f"{CUDA}/debian125/x86_64/", "/", "")}
    assert problems(files, BOOKWORM) == []


@pytest.mark.parametrize(
    ("text", "severity"), [("# Unsupported distribution!\n", "warning"), ("<html>\n<p>\n", "error")]
)
def test_what_a_server_wrote_instead_of_a_list(text: str, severity: str) -> None:
    (problem,) = problems({"nvidia-docker.list": text}, TRIXIE)
    assert (problem.code, problem.severity) == ("apt.dead_repository", severity)
    assert problem.evidence[0] == f"/etc/apt/sources.list.d/nvidia-docker.list, line 1: {text.splitlines()[0]}"


def test_components_of_the_distribution() -> None:
    line = "deb http://mirror.test/debian trixie {}\n"
    sources = [entry.as_dict() for entry in parse_sources("/etc/apt/sources.list", line.format("main contrib"))]
    (problem,) = find_missing_components(sources, TRIXIE, ["contrib", "non-free"])
    assert (problem.code, problem.severity) == ("apt.components_missing", "warning")
    assert problem.evidence == ("/etc/apt/sources.list, line 1: lacks non-free",)
    assert find_missing_components(sources, TRIXIE, ["contrib"]) == []
    assert find_missing_components([], TRIXIE, ["contrib"]) == []
