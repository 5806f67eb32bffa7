"""What values of an inventory may look like before they reach a file or a command."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.value_syntax import (
    PACKAGE,
    PYTHON_MODULE,
    PYTHON_PIN,
    address_problems,
    has_login,
    path_problems,
    text_faults,
)
from ansible.module_utils.opensora.variables import text_problems

CLEAN = ""
REFUSED = "variable.invalid"
LOGIN = "variable.login_in_address"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("http://mirror", CLEAN),
        ("https://mirror.test:8443/debian/", CLEAN),
        ("https://[fd00::1]:8443/x", CLEAN),
        ("https://10.0.0.1/a/b%2Bc/~d/@scope/x.whl?a=b&c=d#e", CLEAN),
        ("https://mirror.test/stable/deb/$(ARCH)", CLEAN),
        ("", REFUSED),
        ("mirror.test/x", REFUSED),
        ("ftp://mirror.test/x", REFUSED),
        ("file:///etc/shadow", REFUSED),
        ("ext::sh -c whoami", REFUSED),
        ("--upload-pack=x", REFUSED),
        ("https://", REFUSED),
        ("https://-mirror/x", REFUSED),
        ("https://mirror/a b", REFUSED),
        ("https://mirror/x\nTrusted: yes", REFUSED),
        ("https://mirror/x\n", REFUSED),
        ('http://mirror";APT::Update::Pre-Invoke {"id";};//', REFUSED),
        ("https://mirror/$(id)", REFUSED),
        ("https://mirror/`id`", REFUSED),
        ("https://mirror/;id", REFUSED),
        ("https://mirror/x\u2028y", REFUSED),
        ("https://mirror/\0", REFUSED),
        ("https://mirror/" + "a" * 3000, REFUSED),
        ("https://name:geheim@mirror/x", LOGIN),
        ("http://geheim@mirror/x", LOGIN),
        ("name:geheim@mirror:3128", LOGIN),
    ],
)
def test_addresses(value: str, code: str) -> None:
    problems = address_problems("some_url", value, fields={"$(ARCH)": "amd64"})
    assert [problem.code for problem in problems] == ([code] if code else [])
    assert all("some_url" in problem.message and "geheim" not in str(problem.as_dict()) for problem in problems)
    assert all(len(problem.message) < 500 for problem in problems)


def test_a_field_is_allowed_only_where_it_is_known() -> None:
    assert address_problems("some_url", "https://mirror/$(ARCH)") != []


@pytest.mark.parametrize(
    ("value", "plain", "is_fine"),
    [
        ("/srv/opensora", True, True),
        ("/srv/my videos/ä", False, True),
        ("/srv/my videos", True, False),
        ("/srv/$(id)", True, False),
        ("/srv/$(id)", False, True),
        ("/", False, False),
        ("//", False, False),
        ("", False, False),
        ("srv", False, False),
        ("--help", False, False),
        ("/srv/../etc", False, False),
        ("/srv/..", False, False),
        ("/srv/a\nb", False, False),
        ("/srv/a\0b", False, False),
        ("/srv/a\u2029b", False, False),
        ("/" + "a" * 5000, False, False),
    ],
)
def test_paths(value: str, plain: bool, is_fine: bool) -> None:
    problems = path_problems("some_directory", value, plain=plain)
    assert (problems == []) == is_fine
    assert all("some_directory" in problem.message for problem in problems)


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (
            PACKAGE,
            ["g++", "libaio1", "gcc-13", "libc6:amd64", "git=1:2.39.5-0+deb12u2", "linux-headers-6.12.48+deb13-amd64"],
            ["", "-oDebug=1", "--purge", "a b", "a;b", "a\nb", "$(id)", "`id`", "a'b", "../a", "a=", "a=-x", "é"],
        ),
        (
            PYTHON_PIN,
            ["torch==2.4.0", "a_b==1!2.0.post1+cu121"],
            ["torch", "torch>=1", "torch==", "torch==$(id)", "torch==1;id", "torch==1'", "torch==1\n", "torch==`id`"],
        ),
        (PYTHON_MODULE, ["a", "a.b_c", "a:b"], ["", "a b", "a;b", "-c", "a.", "a\n", "$(id)", "a'", "1a"]),
    ],
)
def test_words(pattern, good: list[str], bad: list[str]) -> None:
    assert [word for word in good if not pattern.fullmatch(word)] == []
    assert [word for word in bad if pattern.fullmatch(word)] == []


@pytest.mark.parametrize(
    ("value", "lines", "faults"),
    [
        ("a\tb", False, 0),
        ("a\nb", True, 0),
        ("a\nb", False, 1),
        ("a\rb", False, 1),
        ("a\x85b", False, 1),
        ("a\u2028b", False, 1),
        ("a\0b", True, 1),
        ("a\x1b[0m", True, 1),
        ("\ud800", True, 1),
        ("a" * 70_000, True, 1),
        ([["fine"], {"a": ["b\0"]}], True, 1),
        ({"a\nb": "c"}, True, 1),
        (7, False, 0),
        (None, False, 0),
    ],
)
def test_text(value: object, lines: bool, faults: int) -> None:
    assert len(list(text_faults(value, lines=lines))) == faults


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://u:p@h", True),
        ([{"proxies": {"https-proxy": "http://token@h:1"}}], True),
        ("registry.test/a:b@sha256:0", False),
        ("https://hub.test/@scope/a", False),
        ("mail: a@b.test", False),
        (3, False),
    ],
)
def test_logins(value: object, expected: bool) -> None:
    assert has_login(value) is expected


def test_a_secret_may_hold_an_address_with_a_login_and_nobody_is_shown_it() -> None:
    netrc = "machine h login l password http://u:geheim@h\n"
    assert text_problems("opensora_image_build_secrets", {"netrc": netrc}, is_secret=True) == []
    (problem,) = text_problems("opensora_image_build_secrets", {"netrc": "geheim\0"}, is_secret=True)
    assert "geheim" not in str(problem.as_dict())
    (problem,) = text_problems("site_trust_http_proxy", "http://u:geheim@h", is_secret=False)
    assert problem.code == LOGIN
    assert "geheim" not in str(problem.as_dict())
