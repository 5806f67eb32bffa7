"""The check of the modules finds what documentation and argument spec do not have in common."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from scripts.validate_modules import ACCEPTED, Finding, as_collection_code, judge, validate

if TYPE_CHECKING:
    from pathlib import Path

FINDING = Finding("mend", 7, "undocumented-parameter", "Argument '_path' is listed in the argument_spec")


@pytest.mark.parametrize(
    ("source", "copied"),
    [
        (
            "from ansible.module_utils.opensora.disk import x",
            "from ansible_collections.opensora.site.plugins.module_utils.opensora.disk import x",
        ),
        ("from ansible.module_utils.basic import x", "from ansible.module_utils.basic import x"),
        ("as M(site_trust) does", "as M(opensora.site.site_trust) does"),
        ("O(opensora_image#module:archive)", "O(opensora.site.opensora_image#module:archive)"),
        ("O(archive) and M(ansible.builtin.copy)", "O(archive) and M(ansible.builtin.copy)"),
    ],
)
def test_a_module_is_written_as_one_of_a_collection(source: str, copied: str) -> None:
    assert as_collection_code(source) == copied


@pytest.mark.parametrize(
    ("accepted", "lines"),
    [
        ({}, [str(FINDING)]),
        ({("mend", "undocumented-parameter", "_path"): "why"}, []),
        ({("*", "undocumented-parameter", "_path"): "why"}, []),
        (
            {("mend", "undocumented-parameter", "_pa"): "why"},
            [
                str(FINDING),
                "scripts/validate_modules.py: nothing needs the entry mend, undocumented-parameter, _pa any more",
            ],
        ),
    ],
)
def test_only_what_somebody_accepted_with_a_reason_passes(
    accepted: dict[tuple[str, str, str], str], lines: list[str]
) -> None:
    assert judge([FINDING], accepted) == lines


def test_a_default_that_is_documented_wrongly_is_found(root: Path, tmp_path: Path) -> None:
    for folder in ("library", "module_utils"):
        shutil.copytree(root / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    assert judge(validate(tmp_path), ACCEPTED) == []
    module = tmp_path / "library/opensora_image_archive.py"
    text = module.read_text()
    assert "    default: gzip\n" in text
    module.write_text(text.replace("    default: gzip\n", "    default: zstd\n"))
    (line,) = judge(validate(tmp_path), ACCEPTED)
    assert line.startswith("library/opensora_image_archive.py:1: doc-default-does-not-match-spec: ")
