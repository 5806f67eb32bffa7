"""Let the kernel kill a process of an image build: a limit of memory that the step's largest process is over."""

from __future__ import annotations

from pathlib import Path

from harness.site import GPU_HOST, HarnessError, machine, wait_until

_GROUP = "opensora-site-faults"


def step_processes() -> dict[int, int]:
    """Return the processes of the build step that runs on the GPU host, by this machine's numbers, and their KiB."""
    listing = machine("docker", "top", GPU_HOST.container, "-eo", "pid,ppid,rss,args").splitlines()[1:]
    rows = [line.split(None, 3) for line in listing]
    steps = {int(row[0]) for row in rows if len(row) > 3 and row[3].startswith("runc ") and "buildkit" in row[3]}
    found: dict[int, int] = {}
    waiting = list(steps)
    while waiting:
        parent = waiting.pop()
        children = {int(row[0]): int(row[2]) for row in rows if int(row[1]) == parent}
        found |= children
        waiting += children
    return found


def kill_for_memory() -> None:
    """Limit the memory of the step that runs, and wait until the kernel has killed its largest process.

    The limit is set from this machine: a test host has no memory controller of its own. What a process has already is
    not counted against the group that it comes into, so the limit is next to nothing: its next page ends it.
    """
    if not wait_until(step_processes, 30, 0.1):
        raise HarnessError("no step of a build is running")
    processes = step_processes()
    largest = max(processes, key=lambda process: processes[process])
    group = _memory_group(largest)
    try:
        for process in processes:
            (group / "cgroup.procs").write_text(str(process))
        for name in ("memory.limit_in_bytes", "memory.max"):
            if (group / name).exists():
                (group / name).write_text(str(256 * 1024))
        if not wait_until(lambda: largest not in step_processes(), 30, 0.1):
            raise HarnessError(f"the kernel did not kill process {largest}")
    finally:
        wait_until(lambda: _remove(group), 60)


def _memory_group(process: int) -> Path:
    """Make a group for memory below the one that a process is in."""
    for line in Path(f"/proc/{process}/cgroup").read_text(encoding="ascii").splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            group = Path("/sys/fs/cgroup/memory", path.lstrip("/"), _GROUP)
            group.mkdir(exist_ok=True)
            return group
    raise HarnessError("this machine has no memory controller of cgroup v1, by which the limit is set")


def _remove(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return not group.exists()
    return True
