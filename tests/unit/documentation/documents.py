"""The examples of the documentation, by kind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[3]
# A stand-in of somebody else's repository has somebody else's README.
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "roles/*/README.md", "molecule/**/README.md", "tests/fixtures/**/README.md")
    for path in ROOT.glob(pattern)
    if "stand-ins" not in path.parts
)
_MARKDOWN = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Example:
    """A block, or code within a sentence.

    Attributes:
        path: The document, below the root.
        line: Where it stands.
        kind: Language of a fenced block; ``sh`` for an indented one; ``inline`` within a sentence.
        text: The example itself.
    """

    path: str
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        """Return where it stands."""
        return f"{self.path}:{self.line}"


def examples_of(path: Path) -> list[Example]:
    """Return every block and every code within a sentence of a document.

    An indented block can't say what it is, so it has to be commands; everything else is fenced.
    """
    name = path.relative_to(ROOT).as_posix()
    found = []
    for token in _MARKDOWN.parse(path.read_text(encoding="utf-8")):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "fence":
            found.append(Example(name, line, token.info.strip(), token.content))
        elif token.type == "code_block":
            found.append(Example(name, line, "sh", token.content))
        elif token.type == "inline":
            found.extend(
                Example(name, line, "inline", " ".join(child.content.split()))
                for child in token.children or []
                if child.type == "code_inline"
            )
    return found


def links_of(path: Path) -> list[str]:
    """Return where the links of a document lead."""
    return [
        str(child.attrs["href"])
        for token in _MARKDOWN.parse(path.read_text(encoding="utf-8"))
        for child in token.children or []
        if child.type == "link_open"
    ]


def heading_anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings."""
    tokens = _MARKDOWN.parse(path.read_text(encoding="utf-8"))
    titles = [after.content for token, after in zip(tokens, tokens[1:]) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def head_of_playbook(path: Path) -> str:
    """Return the comment that a playbook begins with, without the signs of a comment."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = []
    for line in lines[1:] if lines[0] == "---" else lines:
        if not line.startswith("#"):
            break
        head.append(line.lstrip("#").strip())
    return "\n".join(head)


EXAMPLES = [example for path in DOCUMENTS for example in examples_of(path)]
EXAMPLES += [
    Example(path.relative_to(ROOT).as_posix(), number, "sh", line.split("   ")[0].replace("[", "").replace("]", ""))
    for path in sorted((ROOT / "playbooks").glob("*.yml"))
    for number, line in enumerate(head_of_playbook(path).splitlines(), 2)
    if line.startswith("ansible-playbook ")
]
