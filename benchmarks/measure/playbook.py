# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Run a playbook as an operator does, and measure it: seconds, processor time, memory, tasks, calls to the hosts."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure.calls import Call, parse_calls
from benchmarks.measure.processes import MemorySampler, all_processes, connection_processes, read
from benchmarks.measure.profile import TaskTime, profile
from benchmarks.measure.recap import HostCounts, changed_tasks, parse_recap

ROOT = Path(__file__).resolve().parents[2]
CALLBACKS = Path(__file__).resolve().parent / "callback"
RECORD_CALL = Path(__file__).resolve().parent / "record_call"
PROGRAMS = {"ANSIBLE_SSH_EXECUTABLE": "ssh", "ANSIBLE_SFTP_EXECUTABLE": "sftp", "ANSIBLE_SCP_EXECUTABLE": "scp"}


class RunError(Exception):
    """A run that can't be measured: it failed, or it changed something where it should not."""


@dataclass(frozen=True)
class Run:
    """What one run took."""

    seconds: float
    processor_seconds: float
    main_process_seconds: float  # of processor_seconds, what the one process used that leads the run
    peak_bytes: int
    peak_processes: int
    hosts: dict[str, HostCounts]
    output: str = field(repr=False)
    calls: list[Call] = field(default_factory=list, repr=False)
    profile: list[TaskTime] = field(default_factory=list, repr=False)

    @property
    def tasks_per_host(self) -> float:
        """Return how many tasks were carried out on a host, on the average."""
        return sum(counts.ok for counts in self.hosts.values()) / max(len(self.hosts), 1)

    @property
    def tasks(self) -> int:
        """Return how many tasks were carried out in all."""
        return sum(counts.ok for counts in self.hosts.values())

    def require_idle(self, what: str) -> None:
        """Refuse a run that was no steady state."""
        busy = [name for name, counts in self.hosts.items() if not counts.is_idle]
        if busy:
            raise RunError(f"{what}: not at changed=0 on {', '.join(busy)}; changed by {changed_tasks(self.output)}")


def run_playbook(
    arguments: list[str], environment: dict[str, str] | None = None, *, record: bool = False, memory: bool = True
) -> Run:
    """Run ansible-playbook with the arguments; raise RunError where it fails.

    Each run begins without open connections and ends by closing its own, so that no run profits from the one before.
    With record, tasks and calls to the hosts are noted, which takes some milliseconds each: not a run to time.
    """
    folder = Path(tempfile.mkdtemp(prefix="opensora-benchmark-", dir="/tmp"))
    control_path = folder / "c"
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(control_path),
        **(environment or {}),
    }
    if record:
        for variable, program in PROGRAMS.items():
            link = folder / program
            link.symlink_to(RECORD_CALL)
            environment[variable] = str(link)
        environment["RECORD_CALL_FILE"] = str(folder / "calls")
        environment["RECORD_TASKS_FILE"] = str(folder / "tasks")
        environment["ANSIBLE_CALLBACK_PLUGINS"] = str(CALLBACKS)
        environment["ANSIBLE_CALLBACKS_ENABLED"] = "task_times"
    try:
        with (folder / "output").open("w+", encoding="utf-8") as output:
            started, began = time.monotonic(), time.time()
            command = ["ansible-playbook", *arguments]
            process = subprocess.Popen(  # noqa: S603 (a command of this program)
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
            sampler = MemorySampler(process.pid, control_path)
            if memory:
                sampler.start()
            # Not Popen.wait, which does not say what the process and its children used.
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            if memory:
                sampler.stop()
            output.seek(0)
            text = output.read()
        processes = all_processes()
        masters = connection_processes(processes, control_path)
        processor = usage.ru_utime + usage.ru_stime + sum(processes[one].processor_seconds for one in masters)
        calls = parse_calls(read(folder / "calls"))
        tasks = profile(read(folder / "tasks"), calls, began)
    finally:
        close_connections(control_path)
        shutil.rmtree(folder, ignore_errors=True)
    if process.returncode != 0:
        raise RunError(f"{' '.join(command)} ended with {process.returncode}:\n{text[-4000:]}")
    return Run(
        seconds=seconds,
        processor_seconds=processor,
        main_process_seconds=sampler.root_seconds,
        peak_bytes=sampler.peak_bytes,
        peak_processes=sampler.peak_processes,
        hosts=parse_recap(text),
        output=text,
        calls=calls,
        profile=tasks,
    )


def close_connections(control_path: Path) -> None:
    """Close the connections that a run has left open for the next one."""
    for socket in control_path.glob("*") if control_path.is_dir() else ():
        subprocess.run(  # noqa: S603
            ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "any"],  # noqa: S607
            check=False,
            capture_output=True,
        )
