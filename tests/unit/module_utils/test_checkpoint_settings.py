# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
from ansible.module_utils.opensora.checkpoint_settings import required_urls, setting_problems

GOOD = {
    "repository": "o/n",
    "revision": "0" * 40,
    "files": [{"path": "a", "size": 1, "sha256": "a" * 64}],
}
WISH = {
    "source": "mirror",
    "manifest": "/m.json",
    "mirror_url": "https://mirror.example.org/w",
    "endpoint": "https://hub.example.org",
    "token": "",
}
VARIABLE = "opensora_checkpoint_mirror_url"


@pytest.mark.parametrize(
    ("different", "manifest", "code", "says"),
    [
        ({}, GOOD, "", ""),
        ({"source": "hub"}, GOOD, "", ""),
        ({"source": "none"}, GOOD, "", ""),
        ({"source": "none", "manifest": ""}, None, "", ""),
        # What is of no use is not looked at.
        ({"source": "hub", "mirror_url": "nonsense"}, GOOD, "", ""),
        ({"manifest": ""}, None, "checkpoint.no_manifest", "opensora_checkpoint_source is 'mirror'"),
        ({}, {**GOOD, "files": []}, "variable.invalid", "opensora_checkpoint_manifest /m.json: files is []"),
        ({"mirror_url": ""}, GOOD, "variable.invalid", f"{VARIABLE} is '', allowed is an http"),
        ({"mirror_url": "ftp://mirror/w"}, GOOD, "variable.invalid", f"{VARIABLE} is 'ftp://mirror/w'"),
        ({"mirror_url": "https://[x/"}, GOOD, "variable.invalid", f"{VARIABLE} is 'https://[x/'"),
        ({"mirror_url": "https://a:99999/"}, GOOD, "variable.invalid", f"{VARIABLE} is 'https://a:99999/'"),
        ({"mirror_url": "https://me:geheim@mirror/"}, GOOD, "variable.invalid", "a token goes into"),
        ({"mirror_url": "https://mirror/?key=geheim"}, GOOD, "variable.invalid", "a token goes into"),
        ({"source": "hub", "endpoint": "hub"}, GOOD, "variable.invalid", "opensora_checkpoint_endpoint is 'hub'"),
        ({"mirror_url": "http://mirror/", "token": "t"}, GOOD, "checkpoint.token_in_the_clear", "can read"),
        ({"mirror_url": "http://mirror/"}, GOOD, "", ""),
        ({"mirror_url": "http://127.0.0.1/", "token": "t"}, GOOD, "", ""),
    ],
)
def test_settings(different, manifest, code, says):
    problems = setting_problems({**WISH, **different}, manifest)
    assert [problem.code for problem in problems] == ([code] if code else [])
    assert all(says in problem.message and "geheim" not in problem.message for problem in problems)


@pytest.mark.parametrize(
    ("different", "problems", "urls"),
    [
        ({}, [], [(VARIABLE, "https://mirror.example.org/w/")]),
        ({"source": "hub"}, [], [("opensora_checkpoint_endpoint", "https://hub.example.org/")]),
        ({"source": "none"}, [], []),
        ({}, [{"code": "variable.invalid"}], []),
        ({}, [{"code": "checkpoint.no_room"}], [(VARIABLE, "https://mirror.example.org/w/")]),
    ],
)
def test_the_server_has_to_answer(different, problems, urls):
    found = required_urls({**WISH, **different}, problems)
    assert [(entry["variable"], entry["url"]) for entry in found] == urls
