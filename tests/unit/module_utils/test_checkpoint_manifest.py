# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import hashlib

import pytest
from ansible.module_utils.opensora.checkpoint_manifest import (
    ListedFile,
    Manifest,
    ManifestFile,
    folder_files,
    git_object_id,
    hub_listing,
    is_safe_path,
    read_manifest,
    wanted_paths,
)

DIGEST = "a" * 64
COMMIT = "0123456789abcdef0123456789abcdef01234567"
GOOD = {
    "repository": "hpcai-tech/Open-Sora-v2",
    "revision": COMMIT,
    "files": [{"path": "google/t5-v1_1-xxl/config.json", "size": 0, "sha256": "A" * 64}],
}


def entry(**different):
    return {**GOOD, "files": [{"path": "a", "size": 1, "sha256": DIGEST, **different}]}


def without(key, data):
    return {name: value for name, value in data.items() if name != key}


def test_a_manifest_is_read():
    manifest, problems = read_manifest(GOOD, "m")
    assert problems == []
    assert manifest == Manifest(
        "hpcai-tech/Open-Sora-v2", COMMIT, (ManifestFile("google/t5-v1_1-xxl/config.json", 0, DIGEST),)
    )
    assert read_manifest(manifest.as_dict(), "m")[0] == manifest


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(None, ["m is None, allowed is a mapping"], id="nothing"),
        pytest.param([GOOD], ["allowed is a mapping with the keys repository, revision, files"], id="list"),
        pytest.param(without("revision", GOOD), ["m lacks revision"], id="no revision"),
        pytest.param({**GOOD, "revison": 1}, ["a key of m is 'revison', allowed is one of"], id="misspelled"),
        pytest.param({**GOOD, "repository": "Open-Sora-v2"}, ["m: repository is 'Open-Sora-v2'"], id="no owner"),
        pytest.param({**GOOD, "repository": "a/../b"}, ["m: repository is 'a/../b'"], id="repository traversal"),
        pytest.param({**GOOD, "revision": "main"}, ["m: revision is 'main', allowed is a full commit"], id="branch"),
        pytest.param({**GOOD, "revision": 1234567}, ["m: revision is 1234567"], id="number"),
        pytest.param({**GOOD, "files": []}, ["m: files is [], allowed is a list"], id="no files"),
        pytest.param({**GOOD, "files": "a"}, ["m: files is 'a'"], id="text"),
        pytest.param({**GOOD, "files": ["a"]}, ["m: files[0] is 'a', allowed is a mapping"], id="path only"),
        pytest.param(entry(path="../a"), ["m: files[0].path is '../a'"], id="above"),
        pytest.param(entry(path="/etc/passwd"), ["m: files[0].path is '/etc/passwd'"], id="absolute"),
        pytest.param(entry(path=".opensora-checkpoint/state.json"), ["m: files[0].path"], id="own state"),
        pytest.param(entry(size="1"), ["m: files[0].size is '1', allowed is a whole number"], id="size text"),
        pytest.param(entry(size=-1), ["m: files[0].size is -1"], id="negative"),
        pytest.param(entry(size=True), ["m: files[0].size is True"], id="truth"),
        pytest.param(entry(size=1.5), ["m: files[0].size is 1.5"], id="fraction"),
        pytest.param(entry(sha256="a" * 63), ["m: files[0].sha256 is 'aaa"], id="short digest"),
        pytest.param(entry(sha256="g" * 64), ["m: files[0].sha256 is 'ggg"], id="no digits"),
        pytest.param(entry(sha256=int("1" * 64)), ["m: files[0].sha256 is 111"], id="digest number"),
        pytest.param(entry(sha1="b"), ["a key of m: files[0] is 'sha1'"], id="other digest"),
        pytest.param(
            {**GOOD, "files": [{"path": "a", "size": -1}]},
            ["m: files[0] lacks sha256", "m: files[0].size is -1"],
            id="every fault at once",
        ),
        pytest.param(
            {**GOOD, "files": entry()["files"] * 2}, ["m: files is 'a', allowed is each path once"], id="twice"
        ),
        pytest.param(
            {**GOOD, "files": [*entry()["files"], *entry(path="a/b")["files"]]},
            ["m: files is 'a/b', allowed is no path below a, which is a file"],
            id="file and folder",
        ),
    ],
)
def test_a_fault_is_named_with_its_place(data, says):
    manifest, problems = read_manifest(data, "m")
    assert manifest is None
    assert len(problems) == len(says)
    for problem, text in zip(problems, says):
        assert text in problem.message


@pytest.mark.parametrize(
    ("path", "is_safe"),
    [
        ("a", True),
        ("a/b c/ü.bin", True),
        ("..a/b..", True),
        ("", False),
        ("a//b", False),
        ("a/", False),
        ("./a", False),
        ("a/./b", False),
        ("a/..", False),
        ("a\\..\\b", False),
        ("a\nb", False),
        ("a\0b", False),
        ("a" * 1025, False),
        (7, False),
    ],
)
def test_paths(path, is_safe):
    assert is_safe_path(path) is is_safe


def test_the_digest_is_of_what_it_says():
    first, _ = read_manifest(GOOD, "m")
    same, _ = read_manifest({**GOOD, "files": [{**GOOD["files"][0], "sha256": DIGEST}]}, "m")
    other, _ = read_manifest({**GOOD, "revision": "f" * 40}, "m")
    assert first.digest == same.digest != other.digest


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ([], ["a/b.bin", "flux1-dev.safetensors", "t5.bin"]),
        (["flux1-dev.safetensors"], ["a/b.bin", "t5.bin"]),
        (["*.bin"], ["flux1-dev.safetensors"]),
        (["a/*", "nothing"], ["flux1-dev.safetensors", "t5.bin"]),
    ],
)
def test_patterns_leave_files_out(exclude, left):
    assert wanted_paths(["t5.bin", "a/b.bin", "flux1-dev.safetensors"], exclude) == left


def test_a_folder_becomes_files(tmp_path):
    for path in ("b.bin", "a/c.bin", ".cache/huggingface/b.lock", ".gitattributes", "x.tmp"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    files = folder_files(tmp_path, ["*.tmp"])
    assert [file.path for file in files] == [".gitattributes", "a/c.bin", "b.bin"]
    assert files[2] == ManifestFile("b.bin", 5, hashlib.sha256(b"b.bin").hexdigest())


def test_the_hub_lists_files():
    answer = {
        "sha": COMMIT,
        "siblings": [
            {"rfilename": "config.json", "size": 3, "blobId": "b" * 40},
            {"rfilename": "w.safetensors", "size": 9, "blobId": "c" * 40, "lfs": {"sha256": DIGEST, "size": 9}},
            {"rfilename": "flux.safetensors", "size": 9, "lfs": {"sha256": DIGEST, "size": 9}},
        ],
    }
    assert hub_listing(answer, ["flux*"]) == (
        COMMIT,
        [ListedFile("config.json", 3, "", "b" * 40), ListedFile("w.safetensors", 9, DIGEST, "c" * 40)],
    )


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"error": "x"}, "names no commit"),
        ({"sha": COMMIT}, "names no commit and no files"),
        ({"sha": COMMIT, "siblings": [{"rfilename": "a"}]}, "no size for a"),
    ],
)
def test_another_answer_is_refused(answer, says):
    with pytest.raises(ValueError, match=says):
        hub_listing(answer, [])


def test_git_names_a_content():
    # What `printf abc | git hash-object --stdin` prints.
    assert git_object_id(b"abc") == "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f"
