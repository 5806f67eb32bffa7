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
        if self.code in ("network", "certificate", "rate_limited"):
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
            r"|cannot allocate memory|\(SIGKILL\)|\b\d+ killed\b|exit status:? (?:137|-9)\b"
        ),
    ),
    (
        "hash_mismatch",
        "a download does not have the hash that is locked",
        "Take the file from the source it was locked against, or lock again after checking what changed.",
        (
            r"hash mismatch for|do not match the hashes|hash sum mismatch|expected sha256|failed to verify hash"
            r"|unexpected digest|failed size validation|hashes do not match|layer verification failed"
            r"|unexpected commit digest|invalid tar header|(?:flate|gzip): (?:corrupt input|invalid checksum)"
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
        r"detected CUDA version .* mismatches|torch \S+ is built for CUDA",
    ),
    (
        "abi_mismatch",
        "a compiled package was built for another PyTorch or C++ library",
        "Build it from source against the installed PyTorch, or take a wheel for this PyTorch, CUDA and C++ ABI.",
        r"undefined symbol: _Z|version `(?:GLIBC|GLIBCXX|CXXABI)_[0-9.]+' not found",
    ),
    (
        "compiler_unsupported",
        "the CUDA compiler does not work with this C++ compiler",
        "Take a base image whose distribution fits its CUDA version.",
        r"unsupported GNU version|unsupported clang version",
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
            r"|could not find .?nvcc|No such file or directory: '\S*nvcc'|No CMAKE_CUDA_COMPILER could be found"
            r"|failed to find nvcc"
        ),
    ),
    (
        "missing_tool",
        "a compiler, a build tool, a header or a library is missing in the stage",
        "Add the package that has it to opensora_image_build_packages (or opensora_image_runtime_packages at the end).",
        (
            r"fatal error: \S+\.h(?:pp|h)?: No such file or directory|fatal error: '\S+\.h(?:pp)?' file not found"
            r"|cannot find -l\w+|was not found in the pkg-config search path|^(?!--).*could not find \w+ \(missing"
            r"|command '\S*(?:gcc|g\+\+|cc|c\+\+|clang)' failed: no such file"
            r"|unable to execute '\S+': no such file|No CMAKE_CXX?_COMPILER could be found"
            r"|No such file or directory: '(?:ninja|cmake|git|gcc|g\+\+|make|cc|c\+\+)'"
            r"|\b(?:gcc|g\+\+|cc|make|cmake|ninja|git|curl|wget): (?:(?:command )?not found|No such file or directory)"
        ),
    ),
    (
        "python_mismatch",
        "a package is not for this Python or this processor",
        "Choose opensora_image_python_version, the wheel and the lock for the same Python.",
        (
            r"requires a different Python|is not a supported wheel on this platform"
            r"|current Python version \(\S+\) does not satisfy|but you're using CPython"
        ),
    ),
    (
        "externally_managed",
        "a step installs into the distribution's Python, which refuses that",
        "Install into a virtual environment in your Dockerfile.",
        r"externally-managed-environment",
    ),
    (
        "platform",
        "an image or a program is for another processor",
        "Set opensora_image_platform to what the host is, and take base images that exist for it.",
        r"exec format error|no match for platform in manifest",
    ),
    (
        "secret_missing",
        "a step needs a secret that the build was not given",
        "Add the id that the message names to opensora_image_build_secrets.",
        r"secret \S+: not found|could not find secret",
    ),
    (
        "context_missing",
        "the Dockerfile reads a file that is not in the build context",
        "Add it to opensora_image_context_files, or correct its name.",
        (
            r"failed to (?:compute cache key|calculate checksum of ref)\b.*not found|copy failed: file not found"
            r"|^error: .*\"/[^\"]*\": not found"
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
            r"|unable to get local issuer certificate|certificate has expired|certificate is not yet valid"
            r"|x509: certificate is valid for"
        ),
    ),
    (
        "package_signature",
        "a package repository's signature can't be verified",
        "Check the repository's key in the base image, the mirror that copies it, and the clock of the host.",
        (
            r"NO_PUBKEY|EXPKEYSIG|signatures couldn't be verified|signatures were invalid|repository '.*' is not signed"
            r"|release file for \S+ (?:is not valid yet|is expired)|at least one invalid signature"
        ),
    ),
    (
        "rate_limited",
        "a server limits how often it may be asked",
        "Wait, log in (opensora_image_registry_username, or the secret netrc), or use a mirror of the site.",
        r"\b429\b.*too many requests|toomanyrequests|too many requests.*\b429\b|pull rate limit|error: 429\b",
    ),
    (
        "access_denied",
        "a server refused access",
        (
            "Check the address, and the login: opensora_image_registry_username for a registry, the secret netrc of "
            "opensora_image_build_secrets for git, mirrors and indexes."
        ),
        (
            r"pull access denied|insufficient_scope|authentication required|denied: requested access"
            r"|\b40[13]:?\s+(?:client error: )?(?:forbidden|unauthorized)|authorization failed"
            r"|no basic auth credentials"
            r"|failed to authorize|could not read (?:username|password) for|authentication failed for"
            r"|requested URL returned error: 40[13]|client error \(40[13]|unauthorized: |access denied"
        ),
    ),
    (
        "reference_missing",
        "a commit, branch or base image does not exist",
        "Correct the reference; a commit must be reachable in the repository, a tag must exist in the registry.",
        (
            r"not our ref|couldn'?t find remote ref|remote branch \S+ not found|manifest unknown"
            r"|failed to resolve source metadata .*not found|manifest for \S+ not found"
            r"|repository not found|repository '\S+' not found|reference is not a tree"
        ),
    ),
    (
        "download_missing",
        "a server does not have a file that was asked for",
        "Check the address; a mirror may be in the middle of an update, and a vendor may have removed the file.",
        r"\b404:?\s+(?:client error: )?not found|client error \(404|requested URL returned error: 404",
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
            r"|service unavailable|internal server error|server error \(50\d|requested URL returned error: 50\d"
            r"|gnutls_handshake\(\) failed|tls connect error|ssl_error_syscall|unexpected eof|RPC failed; curl"
            r"|early eof"
            r"|remote end hung up|server misbehaving|incompleteread|context deadline exceeded|timed out after \d+ m"
            r"|request timed out|operation too slow|could not connect to"
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
            r"|requirements are unsatisfiable|unmet dependencies|you have held broken packages"
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
