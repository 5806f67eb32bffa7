"""Carries out one case: bring the host to its start, run, let the fault happen, heal, run plainly until all is well."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from harness import planted, states
from harness.faults import CONTAINER_STARTS, FAULTS, Fault, Moment
from harness.site import GPU_HOST, HarnessError, Run, wait_until


@dataclass(frozen=True)
class Case:
    """A fault at a moment."""

    fault: Fault
    moment: Moment

    @property
    def name(self) -> str:
        """FAULT@MOMENT, as it is given on the command line."""
        return f"{self.fault.name}@{self.moment.name.replace(' ', '-')}"


@dataclass
class Verdict:
    """What came of a case.

    Attributes:
        case: Its name.
        ended: How the run with the fault ended: ``succeeded``, ``failed`` or ``killed``.
        message: What the user saw.
        problems: What was not as it has to be; empty for a case that passed.
        seconds: From the end of the fault until the site is well: the plain run that follows.
        at: When, in UTC.
        commit: Of the project.
    """

    case: str
    ended: str = ""
    message: str = ""
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    at: str = ""
    commit: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


CASES: tuple[Case, ...] = tuple(Case(fault, moment) for fault in FAULTS for moment in fault.moments)


def run_case(case: Case) -> Verdict:
    """Carry out a case on a host that is well, and leave it well."""
    verdict = Verdict(case.name, at=time.strftime("%Y-%m-%d %H:%M", time.gmtime()))
    label = case.name.replace("@", "-")
    healed = False
    try:
        before = planted.look()
        variables = case.moment.start()
        faulty = Run(f"{label}-1-fault", variables, case.moment.playbook)
        try:
            _happen(case, faulty, verdict)
        finally:
            case.fault.heal()
            states.mend_samples()
            healed = True
        if planted.files() != before.files:
            verdict.problems.append("files of others differ right after the run with the fault")
        verdict.seconds = _converge(label, variables, verdict)
        after = planted.look()
        verdict.problems += planted.differences(
            before, after, restarted=case.fault.restarts or case.moment.start in states.RESTARTING
        )
    except HarnessError as error:
        verdict.problems.append(str(error))
        if not healed:
            case.fault.heal()
    return verdict


def _happen(case: Case, run: Run, verdict: Verdict) -> None:
    """Run the site and let the fault happen."""
    moment, fault = case.moment, case.fault
    inject = moment.inject or fault.inject
    if not moment.line:
        inject(run)
        run.start()
    else:
        run.start()
        try:
            _come_to(moment, run)
            if moment.host == CONTAINER_STARTS:
                # A service is ready in a second here. A real one loads for minutes, and so does this one until then.
                states.spoil_samples()
            inject(run)
            if moment.host == CONTAINER_STARTS:
                states.mend_samples()
        except HarnessError:
            # Nothing of this case may go on beside the next one.
            run.finish()
            raise
    status = run.finish()
    verdict.ended = "killed" if status < 0 else "failed" if status else "succeeded"
    verdict.message = run.message if status > 0 else ""
    expected = moment.layers or fault.layers
    if status > 0 and not set(run.layers) & set(expected):
        verdict.problems.append(
            f"the message names {run.layers or 'no layer'}, right is {' or '.join(expected)}: {run.message}"
        )
    if status == 0 and moment.succeeds is False:
        verdict.problems.append("the run succeeded in spite of the fault: nothing was tested")
    if status > 0 and moment.succeeds is True:
        verdict.problems.append(f"the run failed, where it has to get over the fault: {run.message}")


def _come_to(moment: Moment, run: Run) -> None:
    """Wait until a run is where the fault has to happen."""
    if not run.wait_for(moment.line):
        raise HarnessError(f"the run ended before {moment.line!r}: {run.message}")
    if moment.host and not wait_until(lambda: GPU_HOST.holds(moment.host) or run.is_over, 300):
        raise HarnessError(f"the host never came to {moment.host!r}")
    if run.is_over:
        raise HarnessError("the run was over before the fault")


def _converge(label: str, variables: dict[str, Any], verdict: Verdict) -> float:
    """Run plainly until nothing changes: the first run puts everything right, the second has nothing left to do.

    Where the first one has nothing to do either, because the fault left nothing behind, it stands for both.
    """
    plain = Run(f"{label}-2-plain", variables).start()
    if plain.finish():
        verdict.problems.append(f"the next plain run failed: {plain.message}")
        return plain.seconds
    if not plain.changed:
        return plain.seconds
    again = Run(f"{label}-3-again", variables).start()
    if again.finish() or again.changed:
        verdict.problems.append(f"the run after it failed or changed {again.changed} things: {again.message}")
    return plain.seconds


def run_sequence(cases: Sequence[Case], say: Callable[[str], None]) -> list[str]:
    """Let faults happen one after the other, without a good run between them, then converge; return what is not well.

    A case whose moment does not come, because an earlier fault left the host elsewhere, is shown and passed over.
    """
    before = planted.look()
    for number, case in enumerate(cases, 1):
        verdict = Verdict(case.name)
        try:
            variables = case.moment.start()
            _happen(case, Run(f"random-{number}-{case.fault.name}", variables, case.moment.playbook), verdict)
            say(f"{number}/{len(cases)} {case.name}: {verdict.ended}, {verdict.message or '-'}")
        except HarnessError as error:
            say(f"{number}/{len(cases)} {case.name}: {error}")
        finally:
            case.fault.heal()
            states.mend_samples()
    verdict = Verdict("random")
    seconds = _converge("random", {}, verdict)
    say(f"well again after {seconds:.0f} s" if not verdict.problems else "not well")
    try:
        return verdict.problems + planted.differences(before, planted.look(), restarted=True)
    except HarnessError as error:
        return [*verdict.problems, str(error)]
