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
    # memory, as ninja, a shell, uv and distutils say it
    ("memory_killed", "/bin/sh: line 1: 20517 Killed                  /usr/local/cuda/bin/nvcc -c flash_fwd.cu"),
    ("memory_killed", "  x Failed to build: call to `setuptools.build_meta` failed (signal: 9 (SIGKILL))"),
    ("memory_killed", "subprocess.CalledProcessError: Command 'ninja -v' returned non-zero exit status -9."),
    ("memory_killed", "g++: error: vfork: Cannot allocate memory"),
    # hashes
    ("hash_mismatch", "    Hashes do not match: expected sha256:aa, computed sha256:bb"),
    ("hash_mismatch", "filesystem layer verification failed for digest sha256:aa"),
    ("hash_mismatch", "failed to register layer: archive/tar: invalid tar header"),
    ("hash_mismatch", "failed to register layer: flate: corrupt input before offset 5000"),
    # CUDA and C++
    ("cuda_mismatch", "stage: torch 2.6.0+cu124 is built for CUDA 12.4, wanted is 12.1"),
    ("abi_mismatch", "ImportError: /opt/venv/lib/x.so: undefined symbol: _ZN3c104cuda14ExchangeDeviceEa"),
    ("abi_mismatch", "ImportError: /lib/libm.so.6: version `GLIBC_2.38' not found (required by /opt/venv/lib/y.so)"),
    ("compiler_unsupported", "#error -- unsupported GNU version! gcc versions later than 12 are not supported!"),
    ("no_compiler", "CMake Error at CMakeLists.txt:3 (project): No CMAKE_CUDA_COMPILER could be found."),
    ("unsupported_architecture", "RuntimeError: CUDA error: no kernel image is available for execution on the device"),
    # tools and headers
    ("missing_tool", "csrc/aio.cpp:3:10: fatal error: libaio.h: No such file or directory"),
    ("missing_tool", "psutil/arch/linux.c:9:10: fatal error: Python.h: No such file or directory"),
    ("missing_tool", "/usr/bin/ld: cannot find -lcudart: No such file or directory"),
    ("missing_tool", "error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory"),
    ("missing_tool", "FileNotFoundError: [Errno 2] No such file or directory: 'cmake'"),
    ("missing_tool", "/bin/sh: 1: ninja: not found"),
    ("missing_tool", "CMake Error: Could not find OpenSSL (missing: OPENSSL_LIBRARIES)"),
    ("missing_tool", "Package 'libaio', required by 'virtual:world', was not found in the pkg-config search path"),
    # Python and processor
    ("python_mismatch", "ERROR: Package 'opensora' requires a different Python: 3.9.2 not in '>=3.10'"),
    ("python_mismatch", "ERROR: flash_attn-2.7.4-cp311-linux_x86_64.whl is not a supported wheel on this platform."),
    ("python_mismatch", "  hint: wheels are for CPython 3.11 (`cp311`), but you're using CPython 3.10 (`cp310`)"),
    ("python_mismatch", "  Because the current Python version (3.9.2) does not satisfy Python>=3.10, we conclude"),
    ("externally_managed", "error: externally-managed-environment"),
    ("platform", "exec /bin/sh: exec format error"),
    ("platform", "ERROR: no match for platform in manifest: not found"),
    # BuildKit
    ("secret_missing", "ERROR: failed to solve: secret pip-token: not found"),
    ("context_missing", 'failed to compute cache key: failed to calculate checksum of ref a::b: "/a.txt": not found'),
    ("dockerfile", "ERROR: target stage runtim could not be found"),
    # registries
    ("access_denied", "failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized"),
    ("access_denied", "denied: requested access to the resource is denied"),
    ("access_denied", 'Head "https://registry.example/v2/x/manifests/1": no basic auth credentials'),
    ("rate_limited", "toomanyrequests: You have reached your unauthenticated pull rate limit."),
    ("rate_limited", "unexpected status from HEAD request to https://x/v2/: 429 Too Many Requests"),
    ("rate_limited", "error: The requested URL returned error: 429"),
    # git
    ("access_denied", "fatal: could not read Username for 'https://git.example': terminal prompts disabled"),
    ("access_denied", "fatal: Authentication failed for 'https://git.example/a.git/'"),
    ("reference_missing", "fatal: repository 'https://git.example/a.git/' not found"),
    ("network", "error: RPC failed; curl 92 HTTP/2 stream 5 was not closed cleanly: CANCEL (err 8)"),
    ("network", "fatal: the remote end hung up unexpectedly"),
    ("network", "fatal: unable to access 'https://x/': gnutls_handshake() failed: The TLS connection was terminated"),
    ("network", "fatal: unable to access 'https://x/': The requested URL returned error: 503"),
    # apt
    ("package_signature", "W: GPG error: https://x trixie InRelease: NO_PUBKEY A4B469963BF863CC"),
    ("package_signature", "E: The repository 'https://x trixie Release' is not signed."),
    ("package_signature", "E: Release file for https://x/InRelease is not valid yet (invalid for another 3h)."),
    ("download_missing", "E: Failed to fetch http://x/pool/g/gcc_12.deb  404  Not Found [IP: 10.0.0.1 80]"),
    ("access_denied", "E: Failed to fetch https://x/pool/g/gcc_12.deb  401  Unauthorized [IP: 10.0.0.1 443]"),
    ("requirement_conflict", "E: Unable to correct problems, you have held broken packages."),
    # pip and uv
    ("network", "pip._vendor.urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool(host='x'): Read timed out."),
    ("network", "ERROR: HTTP error 502 while getting x: 502 Server Error: Bad Gateway for url: https://x/"),
    ("network", "  Caused by: HTTP status server error (503 Service Unavailable) for url (https://x/simple/av/)"),
    ("network", "  Caused by: dns error: failed to lookup address information: Name or service not known"),
    ("network", "dial tcp: lookup registry.example on 10.0.0.53:53: server misbehaving"),
    ("network", "failed to do request: Get https://x/v2/: context deadline exceeded"),
    ("network", 'failed to do request: Get "https://x/v2/": net/http: TLS handshake timeout'),
    ("download_missing", "ERROR: HTTP error 404 while getting x: 404 Client Error: Not Found for url: https://x/f.whl"),
    ("certificate", "ssl.SSLCertVerificationError: certificate verify failed: certificate has expired (_ssl.c:1006)"),
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
        ["-- Could NOT find OpenMP (missing: OpenMP_C_FLAGS)", "-- Configuring done"],
        ["requirement already satisfied: torch==2.4.0", "error: subprocess exited with code 1"],
        ["copied 404 files", "429 tests passed"],
        ["warning: secret service is not running"],
        ["Cloning into 'git'...", "done."],
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
