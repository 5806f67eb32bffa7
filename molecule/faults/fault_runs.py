#!/usr/bin/env python3
"""Let faults happen to the standing test hosts of molecule/faults, and say what came of each.

usage: fault_runs.py [--set short|all] [--only FAULT[@MOMENT]]... [--random N [--seed S]] [--list] [--write-docs]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import planted
from harness.cases import CASES, Case, Verdict, run_case
from harness.site import LOGS, PROJECT, Run

RESULTS = LOGS / "verdicts.json"


def chosen(arguments: argparse.Namespace) -> list[Case]:
    """Return the cases that were asked for, in the order of the table."""
    if arguments.only:
        found = [case for case in CASES if {case.name, case.fault.name} & set(arguments.only)]
        known = {case.name for case in CASES} | {case.fault.name for case in CASES}
        unknown = set(arguments.only) - known
        if unknown:
            raise SystemExit(f"there is no case {', '.join(sorted(unknown))}; --list shows them")
        return found
    return [case for case in CASES if arguments.set == "all" or case.moment.short]


def commit() -> str:
    """Return the commit of the project, with a mark where files differ from it."""
    command = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def keep(verdict: Verdict, path: Path) -> None:
    """Write a verdict into the file of all verdicts; the newest of a case stands."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    known[verdict.case] = verdict.as_dict()
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


def settle() -> None:
    """Bring the site to where nothing is left to do, with what belongs to others on it."""
    first = Run("0-first", {}).start()
    if first.finish(900):
        raise SystemExit(f"the site does not converge before any fault: {first.message}")
    planted.plant()


def main() -> None:
    parser = argparse.ArgumentParser(description="Let faults happen to the test hosts of molecule/faults.")
    parser.add_argument("--set", choices=["short", "all"], default="short")
    parser.add_argument("--only", action="append", metavar="FAULT[@MOMENT]")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    cases = chosen(arguments)
    if arguments.list:
        print("\n".join(case.name for case in cases))
        return
    LOGS.mkdir(parents=True, exist_ok=True)
    state, bad = commit(), []
    settle()
    for case in cases:
        began = time.monotonic()
        verdict = run_case(case)
        verdict.commit = state
        keep(verdict, arguments.results)
        word = "FAILED" if verdict.problems else "passed"
        print(
            f"{word} {case.name}: {verdict.ended}, {verdict.message or '-'}; well again after {verdict.seconds:.0f} s"
            f" ({time.monotonic() - began:.0f} s in all)",
            flush=True,
        )
        for problem in verdict.problems:
            print(f"    {problem}", flush=True)
        if verdict.problems:
            bad.append(case.name)
    print(f"{len(cases) - len(bad)} of {len(cases)} cases passed", flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
