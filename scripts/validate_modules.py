#!/usr/bin/env python3
"""Check the modules of library/ with the test validate-modules of ansible-test.

It compares documentation and argument spec, among much else, and works on a collection only. So library/ and
module_utils/ are copied into one that lives as long as this check.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import ansible_test  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[1]
VALIDATOR = Path(ansible_test.__file__).parent / "_util/controller/sanity/validate-modules/validate.py"
COLLECTION = "opensora.site"
FOUND_SOMETHING = 3

# (module, code, a word of the message): why it is right as it is. * is every module. An entry that nothing needs is an
# error as well.
SET_BY_ACTION = "the action plugin of the same name sets it, nobody who writes a task does"
ACCEPTED = {
    ("*", "missing-gplv3-license", "GPLv3"): "the project is under the MIT licence, which each file names",
    ("opensora_checkpoint", "undocumented-parameter", "_progress_path"): SET_BY_ACTION,
    ("opensora_image", "undocumented-parameter", "_progress_path"): SET_BY_ACTION,
    ("opensora_image_archive", "undocumented-parameter", "_progress_path"): SET_BY_ACTION,
    ("opensora_image_archive", "undocumented-parameter", "folder"): SET_BY_ACTION,
    ("opensora_image_archive", "parameter-type-not-in-doc", "folder"): SET_BY_ACTION,
    ("opensora_image_archive", "doc-required-mismatch", "folder"): SET_BY_ACTION,
}


@dataclass(frozen=True)
class Finding:
    """One sentence of the validator about one module."""

    module: str
    line: int
    code: str
    message: str

    def __str__(self) -> str:
        """Return the finding the way compilers write theirs."""
        return f"library/{self.module}.py:{self.line}: {self.code}: {self.message}"


def as_collection_code(source: str) -> str:
    """Return a module's source with imports of module_utils and names of modules as they are in a collection."""
    package = f"ansible_collections.{COLLECTION}.plugins.module_utils.opensora"
    source = re.sub(r"\bansible\.module_utils\.opensora\b", package, source)
    source = re.sub(r"\bM\((\w+)\)", rf"M({COLLECTION}.\1)", source)
    return re.sub(r"\b([OR])\((\w+)#module:", rf"\1({COLLECTION}.\2#module:", source)


def make_collection(root: Path, place: Path) -> Path:
    """Copy what the modules of ``root`` consist of into a collection below ``place`` and return its folder."""
    folder = place / "ansible_collections" / COLLECTION.replace(".", "/")
    for source, target in (("library", "modules"), ("module_utils/opensora", "module_utils/opensora")):
        for path in sorted((root / source).glob("*.py")):
            copy = folder / "plugins" / target / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(as_collection_code(path.read_text(encoding="utf-8")), encoding="utf-8")
    return folder


def read_findings(report: str) -> list[Finding]:
    """Return what the validator's report in JSON holds."""
    return [
        Finding(Path(path).stem, int(error.get("line") or 1), error["code"], " ".join(error["msg"].split()))
        for path, result in json.loads(report).items()
        for error in result["errors"]
    ]


def judge(findings: list[Finding], accepted: dict[tuple[str, str, str], str]) -> list[str]:
    """Return a line for each finding that nobody accepted, and for each acceptance that nothing needs any more."""
    used = set()
    lines = []
    for finding in findings:
        keys = [
            key
            for key in accepted
            if key[0] in ("*", finding.module)
            and key[1] == finding.code
            and re.search(rf"\b{re.escape(key[2])}\b", finding.message)
        ]
        used.update(keys)
        if not keys:
            lines.append(str(finding))
    lines.extend(
        f"scripts/validate_modules.py: nothing needs the entry {', '.join(key)} any more"
        for key in accepted
        if key not in used
    )
    return lines


def validate(root: Path) -> list[Finding]:
    """Run the validator over all modules of ``root``."""
    with tempfile.TemporaryDirectory() as place:
        folder = make_collection(root, Path(place))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        result = subprocess.run(
            [
                *(
                    sys.executable,
                    VALIDATOR,
                    "--format",
                    "json",
                    "--arg-spec",
                    "--collection",
                    folder.relative_to(place),
                ),
                *("--collection-version", "1.0.0", "plugins/modules"),
            ],
            cwd=folder,
            env={**environment, "ANSIBLE_COLLECTIONS_PATH": place, "PYTHONPATH": str(VALIDATOR.parent)},
            capture_output=True,
            text=True,
            check=False,
        )
    if result.returncode not in (0, FOUND_SOMETHING) or not result.stdout.startswith("{"):
        raise SystemExit(f"validate-modules did not run:\n{result.stdout}{result.stderr}")
    return read_findings(result.stdout)


if __name__ == "__main__":
    lines = judge(validate(ROOT), ACCEPTED)
    if lines:
        print("\n".join(lines), file=sys.stderr)
    sys.exit(bool(lines))
