"""Which entries are disabled so that apt works again, and which are not."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.apt_source_repair import SourceRepair, plan_repair

TRIXIE = {"id": "debian", "repository_id": "debian", "codename": "trixie", "deb_arch": "amd64"}
V = "https://vendor.test/debian"
LIST, SOURCES = "/etc/apt/sources.list.d/a.list", "/etc/apt/sources.list.d/b.sources"
STANZA = f"Types: deb\nURIs: {V}\nSuites: trixie\nComponents: stable\nSigned-By: /b.gpg\n"
LINE = f"deb [signed-by=/a.gpg] {V} trixie stable\n"


def plan(
    files: dict[str, str], keyrings: tuple[str, ...] = ("/a.gpg", "/b.gpg"), keep: tuple[str, ...] = ()
) -> SourceRepair:
    return plan_repair(files, TRIXIE, keep=keep, keyring_exists=lambda path: path in keyrings)


@pytest.mark.parametrize(
    ("line", "keyrings", "keep", "changed"),
    [
        (LINE, ("/a.gpg", "/b.gpg"), (), LIST),  # the newer format stays
        (LINE, ("/a.gpg",), (), SOURCES),  # the key that exists stays
        (LINE, ("/b.gpg",), (), LIST),
        (LINE, (), (), LIST),
        (LINE, ("/b.gpg",), (LIST,), SOURCES),  # what a person names stays
        (LINE.replace("stable", "stable test"), ("/a.gpg", "/b.gpg"), (), SOURCES),  # the one that offers most stays
        (LINE.replace("stable", "stable test"), ("/b.gpg",), (), LIST),  # without a key it offers nothing
        (LINE.replace("deb ", "deb-src "), ("/a.gpg", "/b.gpg"), (), LIST),  # sources of packages are not needed
        (LINE.replace("[signed-by=/a.gpg] ", "").replace("a.list", "z.list"), ("/b.gpg",), (), None),
    ],
)
def test_which_entry_goes(line: str, keyrings: tuple[str, ...], keep: tuple[str, ...], changed: str | None) -> None:
    repair = plan({LIST: line, SOURCES: STANZA}, keyrings, keep)
    assert list(repair.texts) == ([changed] if changed else [])
    assert repair.problems == ()
    if changed == LIST:
        assert repair.texts[LIST] == f"# {line}"
    elif changed:
        assert repair.texts[SOURCES] == f"Enabled: no\n{STANZA}"


def test_an_entry_that_offers_something_else_is_left_to_a_person() -> None:
    files = {
        LIST: LINE.replace("stable", "stable test"),
        SOURCES: STANZA.replace("Suites: trixie", "Suites: trixie trixie-updates"),
    }
    repair = plan(files)
    assert repair.texts == {}
    (problem,) = repair.problems
    assert problem.code == "apt.conflicting_entries"
    assert len(problem.evidence) == 2
    assert list(plan(files, keep=(SOURCES,)).texts) == [LIST]


def test_three_keys_and_a_line_that_is_no_entry() -> None:
    third = "/etc/apt/sources.list.d/c.list"
    files = {LIST: f"{LINE}deb broken\n", SOURCES: STANZA, third: LINE.replace("/a.gpg", "/c.gpg")}
    repair = plan(files)
    assert repair.texts[LIST] == f"# {LINE}# deb broken\n"
    assert repair.texts[third].startswith("# deb")
    assert {(entry.path, entry.line) for entry in repair.disabled} == {(LIST, 1), (LIST, 2), (third, 1)}
    assert plan({**files, **repair.texts}) == SourceRepair({}, (), ())


def test_a_warning_changes_nothing() -> None:
    old = f"deb https://download.docker.com/linux/debian bookworm stable\n{LINE}{LINE}# Unsupported distribution!\n"
    assert plan({LIST: old}) == SourceRepair({}, (), ())
