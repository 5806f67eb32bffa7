"""Every example of the documentation works: run as far as that can't harm, read by what reads it, or compared.

A block of a kind that has no check makes a test fail. Output is marked ``text``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jmespath
import pytest
import yaml
from ansible.cli.playbook import PlaybookCLI
from ansible.module_utils.opensora.checkpoint_manifest import read_manifest
from ansible.module_utils.opensora.dockerfile_findings import SEVERITIES
from ansible.module_utils.opensora.dockerfile_lint import lint
from ansible.module_utils.opensora.dockerfile_state import Build
from ansible.module_utils.opensora.generation_table import read_requests, read_table
from ansible.module_utils.opensora.plain_data import plain
from ansible.parsing.splitter import parse_kv

from tests.unit.documentation.documents import (
    DOCUMENTS,
    EXAMPLES,
    ROOT,
    Example,
    examples_of,
    heading_anchors,
    links_of,
)
from tests.unit.documentation.shell import commands_of
from tests.unit.documentation.variables import faults, is_placeholder, playbook_options, role_options

if TYPE_CHECKING:
    from collections.abc import Callable

PLAYBOOKS = ["site.yml", *(path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("playbooks/*.yml")))]
CODES = set(
    re.findall(
        r"[\"'{]([a-z_]+\.[a-z_]+)[\"']",
        "\n".join(
            path.read_text()
            for folder in ("module_utils/opensora", "library", "plugins")
            for path in (ROOT / folder).rglob("*.py")
        ),
    )
)


# --- commands: each gets the words that bash made of it, and the project that the commands before it left


def check_run(words: list[str], project: Path) -> list[str]:
    """Return what is wrong with a call of ./run."""
    if not words:
        return []
    subcommand, *rest = words
    if subcommand not in run_subcommands():
        return [f"./run has no subcommand {subcommand}"]
    if subcommand == "exec":
        return check_command(rest, project)
    if subcommand == "release":
        return [f"{version}: no version" for version in rest if not re.fullmatch(r"\d+\.\d+\.\d+|VERSION", version)]
    if subcommand == "molecule":
        names = {path.parent.name for path in ROOT.glob("molecule/*/molecule.yml")} | {"hosts", "NAME"}
        return [f"there is no scenario {name}" for name in rest[:1] or ["(none)"] if name not in names]
    return []


@cache
def run_subcommands() -> set[str]:
    """Return the subcommands that ./run says it has."""
    usage = subprocess.run([ROOT / "run", "help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^  ([a-z-]+) ", usage, re.MULTILINE))


@cache
def listing(*words: str) -> tuple[int, str]:
    """Return what ansible-playbook says about hosts and tasks that it would work on, and how it ended."""
    result = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", *words, "--list-hosts", "--list-tags"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout + result.stderr


def parse_playbook_command(words: list[str]) -> Any:
    """Return the arguments of ansible-playbook as it reads them."""
    command = PlaybookCLI(["ansible-playbook", *words])
    command.init_parser()
    return command.parser.parse_args(words)


def extra_variables(texts: list[str]) -> dict[str, Any]:
    """Return the variables of the options -e, as Ansible reads them."""
    variables: dict[str, Any] = {}
    for text in texts:
        if text.startswith("{"):
            variables.update(yaml.safe_load(text))
        elif not text.startswith("@"):
            variables.update(plain(parse_kv(text, check_raw=False)))
    return variables


def check_ansible_playbook(words: list[str], project: Path) -> list[str]:
    """Return what is wrong with a call of ansible-playbook: its hosts, its tags, its variables."""
    arguments = parse_playbook_command(words)
    wrong = [f"{playbook}: there is no such playbook" for playbook in arguments.args if not (ROOT / playbook).is_file()]
    if wrong:
        return wrong
    known = {name for playbook in arguments.args for name in playbook_options(playbook)}
    for name, value in extra_variables(arguments.extra_vars).items():
        wrong += faults(name, value, known)
    if wrong:
        return wrong
    selection = []
    for inventory in arguments.inventory or []:
        selection += ["-i", str(inventory_of(project, inventory))]
    if arguments.subset and not is_placeholder(arguments.subset):
        selection += ["--limit", arguments.subset]
    code, output = listing(*selection, *arguments.args)
    if code or "WARNING" in output:
        wrong.append(output)
    tags = set(re.findall(r"[\w-]+", " ".join(re.findall(r"TASK TAGS: \[(.*?)\]", output))))
    return wrong + [f"no task has the tag {tag}" for tag in arguments.tags if tag not in tags]


def inventory_of(project: Path, name: str) -> Path:
    """Return the inventory that a command names, or what other examples have made of it: a copy, or a file."""
    if name == "inventory/prod":
        return ROOT / "inventory/example"
    if not (project / name).exists():
        texts = [example.text for example in EXAMPLES if example.kind == "yaml" and is_inventory(example)]
        (project / name).write_text("\n".join(texts))
    return ROOT / name if (ROOT / name).exists() else project / name


def check_ansible(words: list[str], project: Path) -> list[str]:
    """Return what is wrong with a call of ansible: the hosts and the module are looked up."""
    if words == ["--version"]:
        return []
    module = words[words.index("-m") + 1]
    for command in (["ansible", *words, "--list-hosts"], ["ansible-doc", "-t", "module", "-s", module]):
        result = subprocess.run(
            [Path(sys.executable).parent / command[0], *command[1:]],
            cwd=project,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode or "WARNING" in result.stderr:
            return [result.stdout + result.stderr]
    return []


def check_ansible_doc(words: list[str], project: Path) -> list[str]:
    """Return what is wrong with a call of ansible-doc."""
    kind, name = words[words.index("-t") + 1], words[-1]
    known = name == "NAME" or (ROOT / f"library/{name}.py").is_file()
    return [] if kind == "module" and known else [f"{name}: there is no such module"]


def check_files(words: list[str], project: Path) -> list[str]:
    """Return which files of a command are not there."""
    return [
        f"{word}: there is no such file" for word in words if not word.startswith("-") and not (project / word).exists()
    ]


def check_python(words: list[str], project: Path) -> list[str]:
    """Return what is wrong with a call of Python: the script is there, compiles, and knows the options."""
    if words[:2] == ["-m", "venv"]:
        return []
    script, options = ROOT / words[0], [word for word in words if word.startswith("--")]
    if not script.is_file():
        return [f"{words[0]}: there is no such script"]
    text = script.read_text()
    compile(text, words[0], "exec")
    return [f"{words[0]} has no option {option}" for option in options if f'"{option}"' not in text]


def check_docker(words: list[str], project: Path) -> list[str]:
    """Return what is wrong with a call of docker: only containers of the demo are named."""
    verb, *rest = [word for word in words if not word.startswith("-")]
    if verb != "exec":
        return [f"the test does not know docker {verb}"]
    inventory = yaml.safe_load((ROOT / "inventory/demo/hosts.yml").read_text())["test_hosts"]
    hosts = [host.split(".")[0] for group in inventory["children"].values() for host in group["hosts"]]
    names = {f"opensora-site-{inventory['vars']['test_site']}-{host}" for host in hosts}
    return [] if rest[0] in names else [f"{rest[0]}: there is no such container, only {sorted(names)}"]


def check_uv(words: list[str], project: Path) -> list[str]:
    """Return what uv says when it is called without network, with no requirements in the files."""
    for word in words:
        if word.endswith(".in"):
            (project / word).write_text("")
    command = [Path(sys.executable).parent / "uv", *words, "--offline"]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    return [result.stderr] if result.returncode else []


def check_jq(words: list[str], project: Path) -> list[str]:
    """Return which names of a jq program the report that it reads does not have."""
    program, report = [word for word in words if not word.startswith("-")]
    sources = {"doctor/report.json": "plugins/action/opensora_doctor_report.py module_utils/opensora/doctor_report.py"}
    text = "\n".join((ROOT / path).read_text() for path in sources[report].split())
    names = set(re.findall(r"\.([a-z_]+)", program)) - {"key", "value"}
    return [f"{report} has no {name}" for name in sorted(names) if f'"{name}"' not in text]


def check_archive(words: list[str], project: Path) -> list[str]:
    """Return what is wrong with a command about the files of a release: they are called as ./run release calls them."""
    names = [word for word in words if not word.startswith("-")]
    wanted = re.compile(r"SHA256SUMS|opensora-site-\d+\.\d+\.\d+(\.tar\.gz|\.cdx\.json)")
    return [f"{name}: a release has no such file" for name in names if not wanted.fullmatch(name)]


def check_pip(words: list[str], project: Path) -> list[str]:
    """Return what is wrong with a call of pip."""
    return [] if words[0] == "install" and len(words) > 1 else [f"the test does not know pip {words[0]}"]


def check_pre_commit(words: list[str], project: Path) -> list[str]:
    """Return what is wrong with a call of pre-commit: its hooks call what is there."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    entries = [fault for hook in hooks for fault in check_command(hook["entry"].split(), project)]
    return entries if words == ["install"] else [f"the test does not know pre-commit {words}"]


def nothing_to_look_up(words: list[str], project: Path) -> list[str]:
    """Return that a command which only bash has to understand is right."""
    return []


CHECKS: dict[str, Callable[[list[str], Path], list[str]]] = {
    "./run": check_run,
    "ansible": check_ansible,
    "ansible-doc": check_ansible_doc,
    "ansible-playbook": check_ansible_playbook,
    "cp": check_files,
    "docker": check_docker,
    "editor": check_files,
    "git": nothing_to_look_up,
    "journalctl": nothing_to_look_up,
    "jq": check_jq,
    "pip": check_pip,
    "pre-commit": check_pre_commit,
    "python": check_python,
    "sha256sum": check_archive,
    "tar": check_archive,
    "python3": check_python,
    "uv": check_uv,
}


def check_command(words: list[str], project: Path) -> list[str]:
    """Return what is wrong with a command."""
    if words[0] not in CHECKS:
        return [f"{words[0]}: the test does not know this command"]
    return CHECKS[words[0]](words[1:], project)


def check_script(text: str, place: Path) -> list[str]:
    """Return what is wrong with the commands of a script."""
    try:
        commands, project = commands_of(text, [name for name in CHECKS if name != "./run"], place)
    except ValueError as error:
        return [str(error)]
    wrong = [] if commands else ["no command is called"]
    for words in commands:
        wrong += check_command(words, project)
    return wrong


# --- blocks, by their language


def check_yaml(example: Example, place: Path) -> list[str]:
    """Return what is wrong with YAML: an inventory, a playbook, a manifest, or variables of roles."""
    data = yaml.safe_load(example.text)
    if isinstance(data, list):
        return check_playbook(example.text, place)
    if "files" in data and "repository" in data:
        digest = str(0) * 64
        manifest = yaml.safe_load(example.text.replace('"..."', f'"{digest}"'))
        return [problem.message for problem in read_manifest(manifest, "manifest")[1]]
    if is_inventory(example):
        return check_inventory(example.text, place)
    return [fault for name, value in data.items() for fault in faults(name, value)]


def is_inventory(example: Example) -> bool:
    """Return whether a YAML example is an inventory."""
    try:
        data = yaml.safe_load(example.text)
    except yaml.YAMLError:
        return False  # the check of the block itself tells it
    return isinstance(data, dict) and any(isinstance(group, dict) and "hosts" in group for group in data.values())


def check_playbook(text: str, place: Path) -> list[str]:
    """Return what ansible-playbook says about the syntax of a playbook."""
    path = place / "example.yml"
    path.write_text(text)
    code, output = listing("-i", "inventory/example", str(path))
    wrong = [] if code == 0 and "WARNING" not in output else [output]
    return wrong + [
        fault
        for play in yaml.safe_load(text)
        for task in play.get("tasks", [])
        for name, value in (task.get("vars") or {}).items()
        for fault in faults(name, value)
    ]


def check_inventory(text: str, place: Path) -> list[str]:
    """Return what is wrong with an inventory: ansible-inventory reads it, and its variables are known."""
    path = place / "hosts.yml"
    path.write_text(text)
    command = [Path(sys.executable).parent / "ansible-inventory", "-i", path, "--list"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    if result.returncode or "WARNING" in result.stderr:
        return [result.stdout + result.stderr]
    return [
        fault
        for variables in json.loads(result.stdout)["_meta"]["hostvars"].values()
        for name, value in variables.items()
        if not name.startswith("ansible_")
        for fault in faults(name, value)
    ]


def check_csv(example: Example, place: Path) -> list[str]:
    """Return what is wrong with a table of prompts."""
    rows, problems = read_table(example.text, "prompts.csv")
    requests, more = read_requests(rows, "prompts.csv", {}, lambda cell: ("0" * 64, ""))
    assert len(requests) + len(problems) + len(more) > 0
    return [problem.message for problem in [*problems, *more]]


def check_cron(example: Example, place: Path) -> list[str]:
    """Return what is wrong with lines of a crontab."""
    wrong = []
    for number, line in enumerate(example.text.splitlines()):
        match = re.fullmatch(r"((?:[\d*/,-]+ ){5})(?:cd /opt/opensora-site && )?(\S.*)", line)
        (place / str(number)).mkdir()
        wrong += check_script(match.group(2), place / str(number)) if match else [f"no line of a crontab: {line}"]
    return wrong


def check_dockerfile(example: Example, place: Path) -> list[str]:
    """Return the errors that the role itself would find in a Dockerfile."""
    found = lint(example.text, "Dockerfile", Build(context={}, given={}))
    return [problem.message for problem in found if problem.severity == "error"]


def check_json(example: Example, place: Path) -> list[str]:
    """Return what is wrong with JSON."""
    json.loads(example.text)
    return []


def check_python_code(example: Example, place: Path) -> list[str]:
    """Return what is wrong with Python."""
    compile(example.text, str(example), "exec")
    return []


def check_text(example: Example, place: Path) -> list[str]:
    """Return what is wrong with output: commands belong into a block of their own, and its codes have to be there."""
    commands = [
        line for line in example.text.splitlines() if re.match(r"(\$ |\./run |ansible-playbook |docker )", line)
    ]
    codes = re.findall(r"\(([a-z_]+\.[a-z_]+)\)", example.text)
    unknown = [code for code in codes if code not in CODES and code.partition(".")[2] not in SEVERITIES]
    return [f"a command is marked as text: {line}" for line in commands] + [
        f"no problem has the code {c}" for c in unknown
    ]


BLOCKS: dict[str, Callable[[Example, Path], list[str]]] = {
    "cron": check_cron,
    "csv": check_csv,
    "dockerfile": check_dockerfile,
    "json": check_json,
    "python": check_python_code,
    "sh": lambda example, place: check_script(example.text, place),
    "text": check_text,
    "yaml": check_yaml,
}


# --- code within a sentence


def check_inline(example: Example, place: Path) -> list[str]:
    """Return what is wrong with code within a sentence: a command, options, a variable with its value, or a path."""
    text = example.text
    words = text.split()
    command = re.fullmatch(r"(?:[A-Z_]+=\w+ )?(\S+)( .*)?", text)
    if command and (command.group(1) == "./run" or (command.group(1) in WHOLE and command.group(2))):
        return check_script(text, place)
    if words[:1] == ["-e"]:
        known = {name for playbook in PLAYBOOKS for name in playbook_options(playbook)}
        values = extra_variables(parse_playbook_command(["site.yml", *words]).extra_vars)
        return [fault for name, value in values.items() for fault in faults(name, value, known)]
    variable = re.fullmatch(r"(\w+): (\S.*)", text)
    if variable and variable.group(1) in role_options():
        return faults(variable.group(1), yaml.safe_load(variable.group(2)))
    if text.startswith('"['):
        jmespath.compile(yaml.safe_load(text))
    if re.fullmatch(rf"(?:{'|'.join(TOP)})/[\w./*-]+", text) and not is_yours(text):
        return [] if list(ROOT.glob(text.rstrip("/"))) else [f"{text}: there is no such path"]
    return []


# Programs of which a sentence shows a whole command; of others it may speak by name.
WHOLE = ("ansible", "ansible-doc", "ansible-playbook", "cp", "python3")
TOP = (".ci", "benchmarks", "docs", "inventory", "library", "module_utils", "molecule", "playbooks", "plugins")
TOP += ("requirements", "roles", "scripts", "tests")


def is_yours(path: str) -> bool:
    """Return whether a path stands for one that the reader makes."""
    return path.startswith("inventory/prod") or bool(
        re.search(r"(?<![A-Za-z])[A-Z]{2,}(?![A-Za-z])", path.replace("README", ""))
    )


# --- the tests

OF_BLOCKS = [example for example in EXAMPLES if example.kind != "inline"]
OF_SENTENCES = [example for example in EXAMPLES if example.kind == "inline"]


@pytest.mark.parametrize("example", OF_BLOCKS, ids=str)
def test_block(example: Example, tmp_path: Path) -> None:
    assert example.kind in BLOCKS, f"{example} is marked {example.kind!r}, which has no check"
    assert BLOCKS[example.kind](example, tmp_path) == []


def test_code_within_sentences(tmp_path: Path) -> None:
    wrong = {}
    for number, example in enumerate(OF_SENTENCES):
        place = tmp_path / str(number)
        place.mkdir()
        found = check_inline(example, place)
        if found:
            wrong[f"{example}: {example.text}"] = found
    assert wrong == {}


def test_the_examples_are_found() -> None:
    kinds = Counter(example.kind for example in EXAMPLES)
    assert kinds["sh"] > 20
    assert kinds["yaml"] > 10
    assert kinds["inline"] > 500
    assert {example.path for example in OF_BLOCKS} >= {"README.md", "docs/generate.md", "playbooks/doctor.yml"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links(path: Path) -> None:
    broken = []
    for link in links_of(path):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        there = (path.parent / target) if target else path
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in heading_anchors(there)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("folder", ["example", "demo"])
def test_inventory(folder: str, tmp_path: Path) -> None:
    """The inventories that people start from hold only variables that exist, with values that the roles accept."""
    wrong = []
    for path in sorted((ROOT / "inventory" / folder).rglob("*.yml")):
        variables = yaml.safe_load(path.read_text())
        if path.parent.name in ("group_vars", "host_vars") and path.stem != "test_hosts":
            names = [name for name in variables if not name.startswith(("ansible_", "test_", "__"))]
            wrong += [
                fault for name in names if "{{" not in str(variables[name]) for fault in faults(name, variables[name])
            ]
            wrong += [f"{name}: there is no such variable" for name in names if name not in role_options()]
    assert wrong == []


WRONG = {
    "sh": [
        "./run tset",
        "./run exec ansible-playbook -i inventory/prod site.yaml",
        "ansible-playbook -i inventory/prod site.yml -e nvidia_driver_sourc=vendor",
        "ansible-playbook -i inventory/prod site.yml -e nvidia_driver_source=maker",
        "ansible-playbook -i inventory/prod site.yml --limit gpu77",
        "ansible-playbook -i inventory/prod site.yml --tags nvidia_drivers",
        "ansible-playbook -i inventory/prod playbooks/generate.yml -e prompt='raining, sea'",
        "ansible-playbook -i inventory/prod playbooks/generate.yml -e prompt=sea -e num_frames=50",
        "rm -rf /srv",
        "if true; then ./run test",
        "cp -r inventory/exampel inventory/prod",
        "docker exec opensora-site-gpu01 bash",
        "python3 benchmarks/image/image.py --rouns 2",
        "uv pip compile --generate-hash requirements.in",
        "jq '.hosts[].first_brokn' doctor/report.json",
        "tar -xzf opensora-site.tgz",
        "./run release 1.2",
    ],
    "yaml": [
        "nvidia_driver_source: maker",
        "nvidia_driver_sourc: vendor",
        "opensora_hosts: {hosts: {gpu01: {nvidia_driver_source: maker}}}",
        "- hosts: all\n  tasks:\n    - ansible.builtin.import_role: {nam: site_trust}",
        "repository: x\nfiles: []",
    ],
    "csv": ["prompt,sed\nsea,1"],
    "cron": ["*/5 * * * ./run exec true"],
    "dockerfile": ["FROM debian:13\nRUN pip install torch>=2.4.0"],
    "text": ["./run test", "broken (driver.loaded_difers)"],
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in WRONG.items() for text in texts])
def test_a_wrong_example_is_found(kind: str, text: str, tmp_path: Path) -> None:
    assert BLOCKS[kind](Example("docs/wrong.md", 1, kind, text), tmp_path) != []


@pytest.mark.parametrize(
    "text",
    ["./run tset", "-e nvidia_driver_sourc=vendor", "nvidia_driver_source: maker", "playbooks/sight.yml"],
)
def test_wrong_code_within_a_sentence_is_found(text: str, tmp_path: Path) -> None:
    assert check_inline(Example("docs/wrong.md", 1, "inline", text), tmp_path) != []


def test_an_indented_block_has_to_be_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "page.md"
    document.write_text("Output:\n\n    gpu01 | 3/8 done\n\n```ruby\nputs 1\n```\n")
    monkeypatch.setattr("tests.unit.documentation.documents.ROOT", tmp_path)
    output, ruby = [example for example in examples_of(document) if example.kind != "inline"]
    assert check_script(output.text, tmp_path) != []
    assert ruby.kind not in BLOCKS
