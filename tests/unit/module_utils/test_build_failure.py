# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.build_failure import UNKNOWN, classify_failure, failure_message

# What the tools really print, one line a cause.
LINES = [
    ("disk_full", "write /var/lib/docker/tmp/x: no space left on device"),
    ("disk_full", "OSError: [Errno 28] No space left on device"),
    ("memory_killed", "c++: fatal error: Killed signal terminated program cc1plus"),
    ("memory_killed", "nvcc error   : 'cicc' died due to signal 9 (Kill signal)"),
    ("memory_killed", "Killed"),
    ("memory_killed", 'process "/bin/sh -c x" did not complete successfully: exit code: 137'),
    ("hash_mismatch", "  x Failed to download `av==13.1.0`: Hash mismatch for `av==13.1.0`"),
    ("hash_mismatch", "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."),
    ("hash_mismatch", "E: Failed to fetch http://mirror/x  Hash Sum mismatch"),
    ("stage_check", "stage check failed: torch is 2.6.0, wanted is 2.4.0: another package replaced it"),
    ("cuda_mismatch", "The detected CUDA version (11.8) mismatches the version that was used to compile PyTorch"),
    ("unsupported_architecture", "nvcc fatal   : Unsupported gpu architecture 'compute_120'"),
    ("unsupported_architecture", "ValueError: Unknown CUDA arch (12.0) or GPU not supported"),
    ("no_compiler", "OSError: CUDA_HOME environment variable is not set. Please set it to your CUDA install root."),
    ("certificate", "tls: failed to verify certificate: x509: certificate signed by unknown authority"),
    ("certificate", "fatal: unable to access 'https://x/': server certificate verification failed. CAfile: none"),
    ("certificate", "  Caused by: invalid peer certificate: UnknownIssuer"),
    ("access_denied", "ERROR: pull access denied, repository does not exist or may require authorization"),
    ("reference_missing", "fatal: remote error: upload-pack: not our ref 0000"),
    ("reference_missing", "ERROR: failed to resolve source metadata for docker.io/x:1: docker.io/x:1: not found"),
    ("network", "fatal: unable to access 'https://x/': Could not resolve host: x"),
    ("network", "W: Failed to fetch http://x/InRelease  Temporary failure resolving 'x'"),
    ("network", "dial tcp 10.0.0.1:443: i/o timeout"),
    ("network", "error sending request for url (https://x/simple/av/)"),
    ("package_missing", "E: Unable to locate package libaio1"),
    ("package_missing", "ERROR: No matching distribution found for torch==2.4.0"),
    ("package_missing", "  Because torch was not found in the package registry"),
    ("requirement_conflict", "ERROR: ResolutionImpossible: for help visit ..."),
    ("requirement_conflict", "  x No solution found when resolving dependencies:"),
    ("dockerfile", "ERROR: dockerfile parse error on line 2: unknown instruction: RUNN"),
    ("builder", "docker: 'buildx' is not a docker command."),
    ("builder", "docker: unknown command: docker buildx"),
    ("engine_lost", "ERROR: Cannot connect to the Docker daemon at unix:///var/run/docker.sock."),
]  # fmt: skip


@pytest.mark.parametrize(("code", "line"), LINES)
def test_cause(code, line):
    cause = classify_failure(["a step", line, "the end"])
    assert cause.code == code
    assert cause.evidence == line.strip()
    assert cause.title
    assert cause.advice
    assert cause.layer


@pytest.mark.parametrize(
    "context",
    [
        "  x Getting requirements to build wheel did not run successfully.",
        "  cause: Call to `setuptools.build_meta.build_wheel` failed (exit status: 1)",
        "ERROR: Failed to build 'flash-attn' when getting requirements to build wheel",
    ],
)
def test_missing_module_in_an_isolated_build(context):
    cause = classify_failure([context, "ModuleNotFoundError: No module named 'torch'"])
    assert cause.code == "build_isolation"


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Traceback (most recent call last):", "ModuleNotFoundError: No module named 'torch'"],
        ["error: something nobody has seen"],
        ["make: *** [Makefile:2: all] Error 1"],
        ["killed the old process 12"],
    ],
)
def test_unknown_stays_unknown(lines):
    assert classify_failure(lines) == UNKNOWN


def test_the_root_wins_over_its_symptoms():
    lines = [
        "building wheel",
        "No module named 'torch'",
        "Killed",
        "No matching distribution found for x",
        "no space left on device",
    ]
    assert classify_failure(lines).code == "disk_full"


def test_a_retry_long_ago_is_no_cause():
    assert classify_failure(["Connection timed out"] + ["compiling"] * 100) == UNKNOWN


def test_the_exit_code_alone_tells_a_kill():
    assert classify_failure(["compiling"], 137).code == "memory_killed"
    assert classify_failure(["compiling"], 1) == UNKNOWN


def test_message_has_step_cause_advice_log_and_last_lines():
    lines = [f"line {number}" for number in range(60)] + ["Killed"]
    text = failure_message("torch: pip", 1, classify_failure(lines), lines, "/var/log/x.log")
    assert text.startswith("The image build failed in the step 'torch: pip' (exit code 1): a process was killed")
    assert "Evidence: Killed" in text
    assert "/var/log/x.log" in text
    assert "  line 21" in text
    assert "  line 20" not in text
