#!/usr/bin/env python3
"""Let faults happen to the standing test hosts of molecule/faults, and say what came of each.

    fault_runs.py                                     the short set
    fault_runs.py --set all                           every fault at every moment
    fault_runs.py --only FAULT --only FAULT@MOMENT    those that are named; --list shows all
    fault_runs.py --random 5 --seed 7                 five faults, one after the other without a good run between them
    fault_runs.py --write-docs                        no fault: the newest verdicts into docs/reliability.md

The hosts have to stand and be converged, which `MOLECULE_COMMAND=converge ./run molecule faults` does.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import planted, report
from harness.cases import CASES, Case, Verdict, run_case, run_sequence
from harness.site import LOGS, PROJECT, Run

RESULTS = LOGS / "verdicts.json"


def chosen(arguments: argparse.Namespace) -> list[Case]:
    """Return the cases that were asked for, in the order of the table."""
    if arguments.only:
        known = {case.name for case in CASES} | {case.fault.name for case in CASES}
        unknown = set(arguments.only) - known
        if unknown:
            raise SystemExit(f"there is no case {', '.join(sorted(unknown))}; --list shows them")
        return [case for case in CASES if {case.name, case.fault.name} & set(arguments.only)]
    return [case for case in CASES if arguments.set == "all" or case.moment.short]


def commit() -> str:
    """Return the commit of the project."""
    command = ["git", "-C", str(PROJECT), "rev-parse", "--short=7", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def verdicts_in(path: Path) -> dict[str, dict[str, object]]:
    """Return all verdicts so far by case."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def keep(verdict: Verdict, path: Path) -> None:
    """Write a verdict into the file of all verdicts; the newest of a case stands."""
    known = {**verdicts_in(path), verdict.case: verdict.as_dict()}
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


def settle() -> None:
    """Bring the site to where nothing is left to do, with what belongs to others on it."""
    first = Run("0-first", {}).start()
    if first.finish(900):
        raise SystemExit(f"the site does not converge before any fault: {first.message}")
    planted.plant()


def run_cases(cases: list[Case], results: Path, *, settled: bool) -> bool:
    """Carry out cases one by one, show and keep what comes of each, and return whether all passed."""
    if not settled:
        settle()
    bad = 0
    for case in cases:
        began = time.monotonic()
        verdict = run_case(case)
        verdict.commit = commit()
        keep(verdict, results)
        word = "FAILED" if verdict.problems else "passed"
        print(
            f"{word} {case.name}: {verdict.ended}, {verdict.message or '-'}; well again after {verdict.seconds:.0f} s"
            f" ({time.monotonic() - began:.0f} s in all)",
            flush=True,
        )
        for problem in verdict.problems:
            print(f"    {problem}", flush=True)
        if verdict.problems:
            bad += 1
            settle()
    print(f"{len(cases) - bad} of {len(cases)} cases passed", flush=True)
    return not bad


def run_random(number: int, seed: int) -> bool:
    """Let random faults happen in one sequence, and return whether the site is well after it."""
    again = f"{Path(__file__).name} --random {number} --seed {seed}"
    print(f"random faults, seed {seed}: repeat with {again}", flush=True)
    settle()
    cases = random.Random(seed).choices(CASES, k=number)
    problems = run_sequence(cases, lambda line: print(line, flush=True))
    for problem in problems:
        print(f"    {problem}", flush=True)
    print(f"FAILED, seed {seed}: repeat with {again}" if problems else "passed: the site is well again", flush=True)
    return not problems


def main() -> None:
    parser = argparse.ArgumentParser(description="Let faults happen to the test hosts of molecule/faults.")
    parser.add_argument("--set", choices=["short", "all"], default="short")
    parser.add_argument("--only", action="append", metavar="FAULT[@MOMENT]")
    parser.add_argument("--random", type=int, metavar="N", help="N random faults in one sequence")
    parser.add_argument("--seed", type=int, help="of the random faults; made and shown where it is not given")
    parser.add_argument("--settled", action="store_true", help="the site is known to be well: no run before the first")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--write-docs", action="store_true")
    arguments = parser.parse_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    if arguments.list:
        print("\n".join(case.name for case in chosen(arguments)))
    elif arguments.write_docs:
        report.write(verdicts_in(arguments.results))
    elif arguments.random:
        seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
        sys.exit(0 if run_random(arguments.random, seed) else 1)
    else:
        sys.exit(0 if run_cases(chosen(arguments), arguments.results, settled=arguments.settled) else 1)


if __name__ == "__main__":
    main()
