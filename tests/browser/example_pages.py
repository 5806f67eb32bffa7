"""Write the status page and tables of made-up hosts into a folder, to be looked at.

./run exec python tests/browser/example_pages.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import ansible.module_utils

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
ansible.module_utils.__path__.append(str(ROOT / "module_utils"))

from ansible.module_utils.opensora.status_page import render_page  # noqa: E402  the path has to be known first
from ansible.module_utils.opensora.status_table import render_status  # noqa: E402

from tests.unit.module_utils import status_examples as examples  # noqa: E402


def main(folder: Path) -> None:
    """Write a host with a history, the same at its first run, and six hosts with problems."""
    folder.mkdir(parents=True, exist_ok=True)
    one, six = examples.one_host(), examples.six_hosts()
    for name, hosts, history in (
        ("one", one, examples.history(one)),
        ("first", one, []),
        ("six", six, examples.history(six)),
    ):
        page = render_page(examples.TEMPLATE, hosts, history, examples.NOW)
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
        (folder / f"{name}.txt").write_text(render_status(hosts), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
