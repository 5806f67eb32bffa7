# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Filters of playbooks/generate.yml: what is asked for, who makes it, and what became of it.

They run on the control node, where the tables, the pictures and the fetched videos are; what they decide by stands in
module_utils.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

# Ansible finds the project's module_utils for modules only; plugins have to be told where they are.
_MODULE_UTILS = str(Path(__file__).resolve().parents[2] / "module_utils")
if _MODULE_UTILS not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_MODULE_UTILS)

from ansible.module_utils.opensora import generation_outcome  # noqa: E402
from ansible.module_utils.opensora.environment_profiles import PROFILES  # noqa: E402 -- needs the path above
from ansible.module_utils.opensora.generation import (  # noqa: E402
    Execution,
    Request,
    file_stem,
    invalid_value,
    read_execution,
    read_request,
    resolve_processes,
)
from ansible.module_utils.opensora.generation_picture import picture_suffix, refused_picture  # noqa: E402
from ansible.module_utils.opensora.generation_share import Assignment, Renderer, share  # noqa: E402
from ansible.module_utils.opensora.generation_table import decode_table, read_requests, read_table  # noqa: E402
from ansible.module_utils.opensora.host_table import render_table  # noqa: E402
from ansible.module_utils.opensora.plain_data import plain  # noqa: E402
from ansible.module_utils.opensora.problems import Problem, describe  # noqa: E402
from ansible.module_utils.opensora.service_instances import read_instances  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

# Further names that somebody who knows the application may type.
OTHER_NAMES = {
    "offload": "offload_model",
    "ref": "image",
    "resolution": "config",
    "aspect": "aspect_ratio",
    "frames": "num_frames",
    "csv": "prompts",
    "nproc_per_node": "processes",
}
# Short ones are left out: a variable of an inventory may well be called like them.
_SIMILARITY = 0.85
_SHORTEST = 6
_LEFT_OUT_HEADERS = ("host left out", "because")


def opensora_generation_misspelt(names: Sequence[str], options: Sequence[str]) -> str:
    """Return which variables look like misspelt options, as text; empty when none does.

    Args:
        names: Names of all variables.
        options: Names of the options.
    """
    lines = []
    for name in sorted(str(name) for name in names):
        if name in options or name.startswith(("ansible_", "opensora_", "__")):
            continue
        near = difflib.get_close_matches(name, [o for o in options if len(o) >= _SHORTEST], 1, _SIMILARITY)
        meant = OTHER_NAMES.get(name) or (near[0] if near else "")
        if meant:
            lines.append(f"the variable {name} means nothing here; did you mean -e {meant}=...?")
    return "\n".join(lines)


def opensora_generation_requests(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the wanted videos, the pictures that they begin with, and what is wrong, as text.

    Args:
        options: As typed: prompt or prompts (a file), image (a file), config, seed, num_frames, aspect_ratio.
    """
    typed = {name: value for name, value in plain(options).items() if value not in ("", None)}
    pictures: dict[str, str] = {}
    problems: list[Problem] = []
    defaults: dict[str, object] = {
        name: typed[name] for name in ("config", "seed", "num_frames", "aspect_ratio") if name in typed
    }

    def picture(file: Path) -> tuple[str, str]:
        digest, path, wrong = _read_picture(file)
        if digest:
            pictures[digest] = path
        return digest, wrong

    if "image" in typed:
        defaults["picture"], wrong = picture(Path(str(typed["image"])).expanduser())
        if wrong:
            problems.append(invalid_value("image", typed["image"], f"a file with a picture; this one {wrong}"))
    requests: list[Request] = []
    if ("prompt" in typed) == ("prompts" in typed):
        shown = typed.get("prompt") and "both"
        problems.append(
            invalid_value("prompt", shown or "", "a text (-e prompt=...), or a table of them (-e prompts=FILE.csv)")
        )
    elif "prompt" in typed:
        request, found = read_request({**defaults, "prompt": typed["prompt"]})
        requests, problems = [request] if request else [], problems + found
    else:
        path = Path(str(typed["prompts"])).expanduser()
        requests, found = _read_table_file(path, defaults, lambda cell: picture(path.parent / Path(cell).expanduser()))
        problems += found
    return {
        "requests": [asdict(request) for request in requests],
        "pictures": pictures,
        "errors": "\n".join(describe(problem.as_dict()) for problem in problems),
    }


def opensora_generation_service(
    settings: Mapping[str, Any], instances: object, name: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the service of a host that makes the videos and how it makes them, and what is wrong with that, as text.

    Args:
        settings: Variables of the role without their prefix.
        instances: ``opensora_service_instances``.
        name: Name of the service; empty where the host has only one.
        options: As typed: offload_model, processes, at_once.
    """
    services, problems = read_instances(plain(settings), plain(instances))
    found = [service for service in services if not name or service.name == name]
    if not problems and len(found) != 1:
        names = ", ".join(service.name for service in services)
        problems = [invalid_value("service", name, f"one of this host's services: {names}")]
    if problems:
        return {"errors": "\n".join(describe(problem.as_dict()) for problem in problems)}
    service = found[0]
    typed = plain(options)
    if typed.get("offload_model") in ("", None):
        profile = PROFILES[str(service.settings["environment_profile"])].generation
        typed["offload_model"] = next((s.value for s in profile if s.name == "offload_model"), "")
    execution, problems = read_execution(typed)
    return {
        "project": service.project,
        "directory": service.settings["directory"],
        "execution": asdict(execution) if execution else {},
        "errors": "\n".join(describe(problem.as_dict()) for problem in problems),
    }


def opensora_generation_share(
    hostvars: Mapping[str, Any],
    hosts: Sequence[str],
    requests: Sequence[Mapping[str, Any]],
    samples: str,
    *,
    each_host: bool,
    again: bool,
) -> dict[str, Any]:
    """Return who makes which video, which hosts can't make any and why, and what is wrong, as text.

    Args:
        hostvars: Variables of all hosts.
        hosts: Hosts of the run.
        requests: The wanted videos.
        samples: Folder of the control node for fetched videos.
        each_host: Whether every host makes every video.
        again: Whether to make what is there already.
    """
    renderers, left_out = [], {}
    for host in map(str, hosts):
        variables = hostvars[host]
        service = plain(variables.get("__opensora_service_generation_service") or {})
        info = plain(variables.get("__opensora_service_generation_info") or {})
        reasons = [describe(problem) for problem in info.get("problems") or []]
        if service.get("errors") or reasons:
            left_out[host] = service.get("errors") or "\n".join(reasons)
        elif not info.get("renderer"):
            left_out[host] = str(info.get("msg") or "it does not answer")
        else:
            renderers.append(_renderer(host, info, service))
    wanted = [Request(**request) for request in plain(requests)]
    if not renderers:
        return {"assignments": [], "left_out": left_out, "errors": "No host can make videos.\n" + _reasons(left_out)}
    found = _stored(Path(samples))
    hosts_of: dict[str, list[str]] = {}
    for host, identifier in sorted(found):
        hosts_of.setdefault(identifier, []).append(host)
    assignments = share(wanted, renderers, hosts_of, each_host=each_host, again=again)
    return {
        "assignments": [{**asdict(a), "stem": file_stem(a.request, a.identifier)} for a in assignments],
        "left_out": left_out,
        "errors": _refused_processes(assignments, renderers),
    }


def opensora_generation_outcome(
    hostvars: Mapping[str, Any], shared: Mapping[str, Any], samples: str, *, is_check: bool
) -> dict[str, Any]:
    """Return the table of all videos, and by host why some are missing.

    Args:
        hostvars: Variables of all hosts.
        shared: What ``opensora_generation_share`` returned.
        samples: Folder of the control node for fetched videos.
        is_check: Whether nothing was done.
    """
    data = plain(shared)
    assignments = [
        Assignment(Request(**a["request"]), a["host"], a["identifier"], a["action"]) for a in data["assignments"]
    ]
    results, refusals = {}, {}
    for host in dict.fromkeys(assignment.host for assignment in assignments):
        result = plain(hostvars[host].get("__opensora_service_generation") or {})
        results[host] = {entry["id"]: entry for entry in result.get("results") or []}
        refusals[host] = "" if "results" in result else str(result.get("msg") or "")
    # Whether what came is what the host described is read again, from the files.
    asked = {(a.host, a.identifier) for a in assignments if a.action != "stored"} if not is_check else set()
    stored = _stored(Path(samples), asked)
    found = generation_outcome.outcomes(assignments, results, stored, refusals, is_check=is_check)
    table = render_table([generation_outcome.row(outcome) for outcome in found], generation_outcome.HEADERS)
    left_out = [(host, text.splitlines()[0]) for host, text in data["left_out"].items()]
    if left_out:
        table += "\n\n" + render_table(left_out, _LEFT_OUT_HEADERS)
    errors = {
        host: text
        for host in results
        if (text := generation_outcome.failure_text([outcome for outcome in found if outcome.assignment.host == host]))
    }
    return {"table": table, "errors": errors}


def _renderer(host: str, info: Mapping[str, Any], service: Mapping[str, Any]) -> Renderer:
    made_with = info["renderer"]
    return Renderer(
        host,
        made_with["identity"],
        tuple(made_with["gpus"]),
        Execution(**service["execution"]),
        frozenset(info.get("finished") or ()),
        frozenset(info.get("begun") or ()),
    )


def _refused_processes(assignments: Sequence[Assignment], renderers: Sequence[Renderer]) -> str:
    """Return what is wrong with the number of processes, before anything is begun."""
    by_name = {renderer.name: renderer for renderer in renderers}
    lines: dict[str, None] = {}
    for assignment in assignments:
        if assignment.action == "render":
            renderer = by_name[assignment.host]
            _, problems = resolve_processes(assignment.request.config, renderer.execution.processes, len(renderer.gpus))
            for problem in problems:
                lines[f"{assignment.host}: {describe(problem.as_dict())}"] = None
    return "\n".join(lines)


def _reasons(left_out: Mapping[str, str]) -> str:
    return "\n".join(f"{host}: {text}" for host, text in left_out.items())


def _read_table_file(
    path: Path, defaults: Mapping[str, object], picture: Callable[[str], tuple[str, str]]
) -> tuple[list[Request], list[Problem]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        return [], [invalid_value("prompts", str(path), f"a file of this machine: {error.strerror}")]
    text, problems = decode_table(content, path.name)
    if problems:
        return [], problems
    rows, problems = read_table(text, path.name)
    requests, found = read_requests(rows, path.name, defaults, picture)
    return requests, problems + found


def _read_picture(path: Path) -> tuple[str, str, str]:
    """Return digest and path of a picture, and what is wrong with it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return "", "", f"can't be read: {error.strerror}"
    wrong = refused_picture(content)
    return ("", "", wrong) if wrong else (hashlib.sha256(content).hexdigest(), str(path.resolve()), "")


def opensora_generation_picture_name(digest: str, path: str) -> str:
    """Return the name by which a picture is known on a host: its digest, with the suffix of its type.

    Args:
        digest: Its sha256.
        path: Where it is on the control node.
    """
    with Path(path).open("rb") as file:
        return f"{digest}{picture_suffix(file.read(16)) or ''}"


def _stored(
    samples: Path, verified: Collection[tuple[str, str]] = ()
) -> dict[tuple[str, str], tuple[str, dict[str, Any]]]:
    """Return the videos on the control node: host and identifier -> file below the folder, and record.

    Args:
        samples: The folder.
        verified: Those of which the content is compared with the record, not only the length.
    """
    found: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}
    for path in sorted(samples.glob("*/*.json")):
        video = path.with_suffix(".mp4")
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            key = (path.parent.name, str(record["id"]))
            is_whole = video.stat().st_size == record["video"]["bytes"]
            if is_whole and key in verified:
                is_whole = hashlib.sha256(video.read_bytes()).hexdigest() == record["video"]["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if is_whole:
            found[key] = (str(video.relative_to(samples)), record)
    return found


class FilterModule:
    """The filters by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters."""
        return {
            "opensora_generation_misspelt": opensora_generation_misspelt,
            "opensora_generation_requests": opensora_generation_requests,
            "opensora_generation_service": opensora_generation_service,
            "opensora_generation_share": opensora_generation_share,
            "opensora_generation_outcome": opensora_generation_outcome,
            "opensora_generation_picture_name": opensora_generation_picture_name,
        }
