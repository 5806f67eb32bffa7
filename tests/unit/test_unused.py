"""Nothing is kept that nobody uses: code, filters, variables, results of tasks, files of the tests."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from vulture import Vulture

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("site.yml", "playbooks", "roles", "plugins", "library", "module_utils")
EVERYTHING = (*PRODUCT, "molecule", "inventory", "tests", "benchmarks", "scripts", "run")
STAND_IN_PACKAGES = ("molecule/resources/stand-ins/*/packages/*", "molecule/resources/stand-ins/*/repository/*")

# Names in Python that are there for others. An entry that nothing needs is an error as well.
CALLED_BY_OTHERS = {
    "Ansible": {
        *("ActionModule", "DOCUMENTATION", "FilterModule", "RETURN", "async_val", "filters"),
        *("CallbackModule", "CALLBACK_NAME", "CALLBACK_TYPE", "CALLBACK_VERSION"),
        *("CALLBACK_NEEDS_ENABLED", "is_conditional", "v2_playbook_on_play_start", "v2_playbook_on_task_start"),
        *("v2_playbook_on_handler_task_start",),
        *("v2_runner_on_failed", "v2_runner_on_unreachable", "v2_playbook_on_stats"),
    },
    "http.server, urllib and html.parser": {
        *("address_string", "close_connection", "daemon_threads", "do_HEAD", "do_POST", "do_PUT", "handle_data"),
        *("handle_endtag", "handle_startendtag", "handle_starttag", "handler_order", "log_message", "protocol_version"),
    },
    "pytest, by its name or as an argument that brings something about": {
        *("no_cloud_init", "own_environment", "pytest_collection_modifyitems", "quick_polls"),
    },
    "tarfile, zipfile": {"external_attr", "mtime"},
    "PyTorch, and the application": {"_flash_attn_backward", "_flash_attn_forward", "forward"},
    "argument of what a test stands in for": {"expected_size", "library_name", "quiet", "sudoable"},
    "asdict, which the state of the weights is written with": {"ctime_ns", "inode", "mtime_ns"},
    "the figures of benchmarks, by the name of the field": {"mirror_processor_seconds", "moved_bytes", "rescued"},
}

# Variables that roles hand over to whoever includes them, or that come from outside.
HANDED_OVER = {
    "opensora_service_result": "to a playbook of the site's own, as its README says",
}


# --- Python


def unused_python(folders: tuple[str, ...], excluded: tuple[str, ...] = ()) -> dict[str, str]:
    """Return names that no Python code uses and no template reads as an attribute, with where they are."""
    finder = Vulture()
    finder.scavenge(
        [str(ROOT / folder) for folder in folders], exclude=[f"*{pattern}*" for pattern in (*excluded, "/.")]
    )
    read = set(re.findall(r"\.(\w+)", text_of(("site.yml", "playbooks", "roles"), (".yml", ".j2"))))
    return {
        item.name: f"{Path(item.filename).relative_to(ROOT)}:{item.first_lineno} {item.typ} {item.name}"
        for item in finder.get_unused_code(min_confidence=60)
        if item.name not in read
    }


@cache
def text_of(places: tuple[str, ...], suffixes: tuple[str, ...] = ("",)) -> str:
    """Return the text of all files below some places."""
    texts = []
    for place in places:
        paths = [ROOT / place] if (ROOT / place).is_file() else sorted((ROOT / place).rglob("*"))
        texts += [
            path.read_text(encoding="utf-8", errors="replace")
            for path in paths
            if path.is_file() and path.name.endswith(suffixes) and "__pycache__" not in path.parts
        ]
    return "\n".join(texts)


def test_product_has_no_code_that_only_tests_use() -> None:
    names = {name for names in CALLED_BY_OTHERS.values() for name in names}
    found = unused_python(("module_utils/opensora", "library", "plugins", "scripts", "roles", "benchmarks"))
    assert [place for name, place in found.items() if name not in names] == []


def test_tests_have_no_code_that_nobody_uses() -> None:
    names = {name for names in CALLED_BY_OTHERS.values() for name in names}
    folders = ("module_utils/opensora", "library", "plugins", "scripts", "roles", "benchmarks", "tests", "molecule")
    found = unused_python(folders, STAND_IN_PACKAGES)
    assert [place for name, place in found.items() if name not in names] == []
    product = unused_python(("module_utils/opensora", "library", "plugins", "scripts", "roles", "benchmarks"))
    assert sorted(names - found.keys() - product.keys()) == [], "entries that nothing needs any more"


def test_every_module_of_module_utils_is_imported() -> None:
    names = {path.stem for path in (ROOT / "module_utils/opensora").glob("*.py")} - {"__init__"}
    package = "ansible.module_utils.opensora"
    imported = set()
    for path in (path for folder in ("library", "plugins", "module_utils") for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == package:
                imported.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}."):
                imported.add(str(node.module).rsplit(".", 1)[-1])
    assert sorted(names - imported) == []


@pytest.mark.parametrize("path", sorted((ROOT / "plugins/filter").glob("*.py")), ids=lambda path: path.stem)
def test_every_filter_is_used(path: Path) -> None:
    namespace: dict[str, Any] = {"__file__": str(path), "__name__": path.stem}
    exec(compile(path.read_text(), path, "exec"), namespace)  # noqa: S102  the project's own
    text = text_of(("site.yml", "playbooks", "roles"), (".yml", ".j2"))
    names = namespace["FilterModule"]().filters()
    assert names
    assert [name for name in names if not re.search(rf"\|\s*{name}\b|map\('{name}'", text)] == []


@pytest.mark.parametrize("kind", ["library", "plugins/action"])
def test_every_module_and_action_is_used(kind: str) -> None:
    used = {key for task in tasks_below(("playbooks", "roles")) for key in task}
    names = {path.stem for path in (ROOT / kind).glob("*.py")}
    assert names
    assert sorted(names - used) == []


# --- variables


def tasks_below(places: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield every task, block, handler and play of the YAML files below some places."""
    for place in places:
        paths = [ROOT / place] if (ROOT / place).is_file() else sorted((ROOT / place).rglob("*.yml"))
        for path in paths:
            if "stand-ins" not in path.parts:
                data = yaml.load(path.read_text(), Loader=TolerantLoader)  # noqa: S506  it is a SafeLoader
                yield from mappings_of(data if isinstance(data, list) else [])


class TolerantLoader(yaml.SafeLoader):
    """Reads tags such as !vault and !unsafe as what they stand before."""


TolerantLoader.add_multi_constructor("!", lambda loader, suffix, node: str(node.value))


def mappings_of(entries: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield tasks and plays, and those inside them."""
    for entry in entries:
        if isinstance(entry, dict):
            yield entry
            for part in ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always"):
                yield from mappings_of(entry.get(part) or [])


def names_made_by(task: dict[str, Any]) -> Iterator[str]:
    """Yield the variables that a task makes besides its own: results, facts and loop variables."""
    if "register" in task:
        yield task["register"]
    yield from (task.get("ansible.builtin.set_fact") or {}).keys() - {"cacheable"}
    yield from (task.get("loop_control") or {}).get("loop_var", "").split()


def test_every_result_fact_and_variable_of_a_task_is_used() -> None:
    tasks = list(tasks_below(("site.yml", "playbooks", "roles", "molecule")))
    # A mapping that several plays share by an anchor stands in its file once.
    shared = {id(task["vars"]): task["vars"] for task in tasks if isinstance(task.get("vars"), dict)}
    made = Counter(name for task in tasks for name in names_made_by(task))
    made.update(name for names in shared.values() for name in names)
    found = mentions(EVERYTHING)
    assert len(made) > 100
    assert [
        name for name, count in made.items() if found[name] <= count and re.fullmatch(r"(?!ansible_)\w+", name)
    ] == []


@cache
def mentions(places: tuple[str, ...]) -> Counter[str]:
    """Return how often each name stands in the files below some places, but for comments and documentation."""
    text = re.sub(r"^\s*#.*$", "", text_of(places, (".yml", ".j2", ".py", "run", ".sh")), flags=re.MULTILINE)
    return Counter(re.findall(r"\w+", text))


@pytest.mark.parametrize("role", sorted(path for path in (ROOT / "roles").iterdir()), ids=lambda path: path.name)
def test_every_variable_of_a_role_is_used(role: Path) -> None:
    """It stands in the argument specs and where it gets its value; a use is a further place in the product."""
    found = mentions(PRODUCT)
    unused = []
    for file, stands in (("defaults/main.yml", 2), ("vars/main.yml", 1)):
        text = (role / file).read_text() if (role / file).is_file() else "{}"
        specs = (role / "meta/argument_specs.yml").read_text()
        for name in yaml.safe_load(text) or {}:
            own = stands + len(re.findall(rf"\b{name}\b", re.sub(rf"^ +{name}:.*$", "", specs, flags=re.MULTILINE)))
            # The action opensora_decisions makes its name of the role's.
            if found[name] <= own and name not in HANDED_OVER and name != f"__{role.name}_decision":
                unused.append(name)
    assert unused == []


# --- files

# What molecule and Ansible look for by themselves.
STANDARD_FILES = {"molecule.yml", "converge.yml", "verify.yml", "prepare.yml", "hosts.yml", ".gitignore", "README.md"}
# Names that say nothing, so that finding them somewhere shows nothing.
GENERIC = {"files", "group_vars", "host_vars", "images", "inventory", "playbooks", "repository", "resources", "tasks"}
GENERIC |= {"packages", "stand-ins", "src", "vars", "DEBIAN", "usr", "etc", "lib", "bin", "main.yml", "molecule"}


def is_used(path: Path, top: Path, text: str) -> bool:
    """Return whether a file, or a folder that it is in, is named somewhere."""
    names = [path.name, path.stem, *(part for part in path.relative_to(top).parent.parts)]
    if any(name not in GENERIC and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) for name in names):
        return True
    # Or its name is made of a template, such as restart_{{ what }}.yml, and of a word that is somewhere.
    for before, after in re.findall(r"([\w-]*)\{\{[^}]+\}\}([\w.-]*\.yml)", text):
        rest = re.fullmatch(rf"{re.escape(before)}([\w-]+){re.escape(after)}", path.name)
        if rest and re.search(rf"\b{rest.group(1)}\b", text):
            return True
    return False


def test_every_file_of_the_scenarios_is_used() -> None:
    unused = []
    for scenario in sorted(path for path in (ROOT / "molecule").iterdir() if path.is_dir()):
        text = text_of(
            (f"molecule/{scenario.name}", "molecule/resources", "inventory", "run"),
            (".yml", ".py", ".sh", "run", "Dockerfile", ".service", ".json", "-setup", "-init"),
        )
        hosts = text_of((f"molecule/{scenario.name}",), ("hosts.yml",)) + text_of(
            ("molecule/inventory",), ("hosts.yml",)
        )
        for path in sorted(scenario.rglob("*")):
            if (
                not path.is_file()
                or path.name in STANDARD_FILES
                or "__pycache__" in path.parts
                or ".cache" in path.parts
            ):
                continue
            if {"group_vars", "host_vars"} & set(path.parts):
                group = path.parts[
                    max(path.parts.index(part) for part in ("group_vars", "host_vars") if part in path.parts) + 1
                ]
                if group == "all" or re.search(rf"\b{Path(group).stem}:", hosts):
                    continue
            own = path.read_text(errors="replace")
            if not is_used(path, scenario, text.replace(own, "")):
                unused.append(path.relative_to(ROOT).as_posix())
    assert unused == []


@pytest.mark.parametrize("folder", sorted((ROOT / "tests/fixtures").iterdir()), ids=lambda path: path.name)
def test_every_fixture_is_used(folder: Path) -> None:
    """By its name, or because a test goes through the whole folder."""
    text = text_of(("tests/unit",), (".py",))
    swept = {
        path.name
        for path in folder.iterdir()
        if re.search(rf'fixtures/{folder.name}/{path.name}"|"{path.name}"\)\.iterdir', text)
    }
    unused = [
        path.relative_to(ROOT).as_posix()
        for path in sorted(folder.iterdir())
        if path.name not in swept | {"README.md"} and not is_used(path, folder, text)
    ]
    assert unused == []
