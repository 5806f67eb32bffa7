# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Name the cause of a failed image build from what it printed.

Order is meaning: a compiler that was killed also prints "failed building wheel", and a full disk also breaks a
download. The first rule that matches names the cause, so the rules go from the root to the symptom. What no rule
knows stays unknown: a wrong cause costs more than none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.opensora.problems import Layer


@dataclass(frozen=True)
class FailureCause:
    """Why a build failed.

    Attributes:
        code: Stable name, such as ``memory_killed``; ``unknown`` when no rule matched.
        title: The cause in a few words.
        advice: What to do next.
        evidence: The line that shows it; empty when unknown.
    """

    code: str
    title: str
    advice: str
    evidence: str = ""

    @property
    def layer(self) -> Layer:
        """The layer that is broken."""
        if self.code == "disk_full":
            return "disk"
        if self.code in ("network", "certificate"):
            return "network"
        return "engine" if self.code in ("builder", "engine_lost") else "image"

    def as_dict(self) -> dict[str, Any]:
        """Return the cause as plain data for a module result."""
        return {"code": self.code, "title": self.title, "advice": self.advice, "evidence": self.evidence}


UNKNOWN = FailureCause(
    "unknown", "the cause is not one that is known", "Read the lines above and the log file on the host."
)

_RULES: tuple[tuple[str, str, str, str], ...] = (
    (
        "disk_full",
        "the disk is full",
        (
            "Free space or inodes on the engine's data root, or move it with docker_engine_data_root. "
            "`docker buildx prune` frees the build cache."
        ),
        r"no space left on device|\bENOSPC\b|disk quota exceeded",
    ),
    (
        "memory_killed",
        "a process was killed because memory ran out",
        "Lower opensora_image_max_jobs (a compile job of Flash Attention takes 8 to 9 GB), or take a prebuilt wheel.",
        (
            r"killed signal terminated program|died due to signal 9|signal: killed|exit code: 137\b"
            r"|\boom-?kill|out of memory: killed|^\s*killed\s*$|virtual memory exhausted|\bstd::bad_alloc\b"
            r"|cannot allocate memory"
        ),
    ),
    (
        "hash_mismatch",
        "a download does not have the hash that is locked",
        "Take the file from the source it was locked against, or lock again after checking what changed.",
        (
            r"hash mismatch for|do not match the hashes|hash sum mismatch|expected sha256|failed to verify hash"
            r"|unexpected digest|failed size validation"
        ),
    ),
    (
        "stage_check",
        "what a stage installed is not what was asked for",
        "The line names what is missing or was replaced; correct the lock or the pin that it names.",
        r"stage check failed",
    ),
    (
        "cuda_mismatch",
        "the compiler's CUDA is not the one that PyTorch was built with",
        "Choose a base image whose CUDA version fits the PyTorch index, or a prebuilt wheel.",
        r"detected CUDA version .* mismatches",
    ),
    (
        "unsupported_architecture",
        "the compiler or PyTorch has no code for one of the GPU architectures",
        "Take the architecture out of opensora_image_cuda_architectures, or a base image and PyTorch that know it.",
        r"unsupported gpu architecture|unknown CUDA arch|no kernel image is available",
    ),
    (
        "no_compiler",
        "the base image has no CUDA compiler",
        "Use a -devel base image, or prebuilt wheels.",
        (
            r"CUDA_HOME environment variable is not set|nvcc was not found|nvcc: (?:command )?not found"
            r"|could not find .?nvcc|No such file or directory: '\S*nvcc'"
        ),
    ),
    (
        "build_isolation",
        "a package was built in isolation from the module it needs",
        "Install that package with --no-build-isolation, after the module that is missing.",
        r"No module named '?(?:torch|packaging|psutil|ninja|setuptools|wheel|numpy|pkg_resources)'?",
    ),
    (
        "certificate",
        "a server's certificate is not trusted",
        "Add the certificate authority of the site to site_trust_ca_certificates.",
        (
            r"certificate signed by unknown authority|certificate verify failed|server certificate verification failed"
            r"|invalid peer certificate|self[- ]signed certificate|certificate verification failed"
            r"|unable to get local issuer certificate"
        ),
    ),
    (
        "access_denied",
        "a server refused access",
        "Check the address, and the login of root on the host (`docker login`) where the registry wants one.",
        (
            r"pull access denied|insufficient_scope|authentication required|denied: requested access"
            r"|\b40[13] (?:forbidden|unauthorized)|authorization failed"
        ),
    ),
    (
        "reference_missing",
        "a commit, branch or base image does not exist",
        "Correct the reference; a commit must be reachable in the repository, a tag must exist in the registry.",
        (
            r"not our ref|couldn'?t find remote ref|remote branch \S+ not found|manifest unknown"
            r"|failed to resolve source metadata .*not found|manifest for \S+ not found"
        ),
    ),
    (
        "network",
        "a server could not be reached",
        "Check names, proxy (site_trust_http_proxy) and mirror addresses from inside a container on the host.",
        (
            r"could not resolve|temporary failure (?:in name resolution|resolving)|name or service not known"
            r"|no such host"
            r"|connection refused|connection timed out|connection reset|network is unreachable|no route to host"
            r"|i/o timeout|handshake timeout|tls handshake|unable to connect to|error sending request|failed to fetch"
            r"|read timed out|operation timed out|max retries exceeded|dns error|bad gateway|gateway time-?out"
            r"|service unavailable"
        ),
    ),
    (
        "package_missing",
        "a package does not exist where it was looked for",
        "Check the package's name and version, and that the mirror or index carries it for this platform.",
        (
            r"unable to locate package|has no installation candidate|no matching distribution found"
            r"|was not found in the package registry|there is no version of|has no wheels with a matching"
            r"|version .* for .* was not found"
        ),
    ),
    (
        "requirement_conflict",
        "requirements contradict each other",
        "The lines above name the two sides; change one of the pins and lock again.",
        (
            r"ResolutionImpossible|no solution found when resolving|conflicting dependencies"
            r"|requirements are unsatisfiable|unmet dependencies"
        ),
    ),
    (
        "dockerfile",
        "the Dockerfile can't be read",
        "Correct the line that the message names.",
        (
            r"dockerfile parse error|unknown instruction|failed to read dockerfile|target stage .* could not be found"
            r"|failed to process \".*\""
        ),
    ),
    (
        "builder",
        "the engine has no usable builder",
        "Install the buildx plugin of the engine's source and check `docker buildx ls`.",
        (
            r"unknown command: docker buildx|'buildx' is not a docker command|unknown flag: --progress"
            r"|option requires buildkit|no builder .* found"
        ),
    ),
    (
        "engine_lost",
        "the engine went away during the build",
        "Look at `journalctl -u docker`; run again, finished steps come from the cache.",
        r"cannot connect to the docker daemon|closing transport|error reading from server: EOF|graceful_?stop",
    ),
)
# A missing module is the fault of an isolated build only where a package was being built.
_ONLY_WITH = {
    "build_isolation": re.compile(
        r"build_wheel|build_meta|build backend|requirements to build|requires_for_build|egg_info|setup\.py"
        r"|failed to build|building wheel",
        re.IGNORECASE,
    )
}
# Retries that succeeded further up are no cause: only the end of the output is judged.
_JUDGED_LINES = 80
_COMPILED = tuple((code, title, advice, re.compile(pattern, re.IGNORECASE)) for code, title, advice, pattern in _RULES)


def classify_failure(lines: Sequence[str], exit_code: int | None = None) -> FailureCause:
    """Return why a build failed.

    Args:
        lines: What the failing step and the builder printed, oldest first.
        exit_code: Exit status of the failing step, when it is known.
    """
    judged = lines[-_JUDGED_LINES:]
    for code, title, advice, pattern in _COMPILED:
        if code in _ONLY_WITH and not any(_ONLY_WITH[code].search(line) for line in judged):
            continue
        # The last match: retries print the same trouble several times, and the end is closest to the failure.
        for line in reversed(judged):
            if pattern.search(line):
                return FailureCause(code, title, advice, line.strip())
    if exit_code == 137:  # noqa: PLR2004 (128 + SIGKILL)
        _, title, advice, _ = next(rule for rule in _COMPILED if rule[0] == "memory_killed")
        return FailureCause("memory_killed", title, advice, "exit code: 137")
    return UNKNOWN


SHOWN_LINES = 40


def failure_message(step: str, exit_code: int | None, cause: FailureCause, lines: Sequence[str], log: str) -> str:
    """Return what a person needs to know of a failed build, the most useful first.

    Args:
        step: Short title of the failing step; empty when no step failed.
        exit_code: Exit status of the step, when it is known.
        cause: Why it failed.
        lines: What the step and the builder printed, oldest first.
        log: Path of the whole log on the host.
    """
    where = f"in the step '{step}'" if step else "before its first step"
    status = f" (exit code {exit_code})" if exit_code is not None else ""
    text = [f"The image build failed {where}{status}: {cause.title}."]
    if cause.evidence:
        text.append(f"Evidence: {cause.evidence}")
    text += [f"Next: {cause.advice}", f"Whole log on the host: {log}"]
    if lines:
        shown = lines[-SHOWN_LINES:]
        text += [f"The last {len(shown)} lines:", *(f"  {line}" for line in shown)]
    return "\n".join(text)
