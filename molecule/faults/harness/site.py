"""The test hosts that faults happen to: commands on them, and runs of the site against them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[3]
INVENTORY = PROJECT / "molecule" / "faults" / "inventory"
SITE_FOLDER = PROJECT / ".cache" / "test-sites" / "faults"
LOGS = PROJECT / ".cache" / "faults"
PREFIX = "opensora-site-faults-"
SERVICE = "opensora-opensora-1"
LAYERS = (
    "configuration|connection|pci|firmware|kernel_module|userspace|fabric|packages|toolkit|engine|disk|network|image"
    "|compose|application"
)
_NAMED = re.compile(rf"(?:^|[\s'\"])\[({LAYERS})\] ")


class HarnessError(Exception):
    """A case could not be carried out or did not end as it has to."""


def machine(*command: str, check: bool = True, timeout: int = 300, stdin: str | None = None) -> str:
    """Run a command on this machine and return what it printed."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout, input=stdin)
    if check and done.returncode:
        raise HarnessError(f"{' '.join(command)} ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


@dataclass(frozen=True)
class TestHost:
    """One container that plays a host."""

    name: str

    @property
    def container(self) -> str:
        """Name of the container."""
        return PREFIX + self.name

    def run(self, script: str, *, check: bool = True, timeout: int = 300) -> str:
        """Run a shell script on the host and return what it printed."""
        return machine("docker", "exec", self.container, "bash", "-c", script, check=check, timeout=timeout)

    def holds(self, script: str) -> bool:
        """Return whether a shell script ends well on the host."""
        command = ["docker", "exec", self.container, "bash", "-c", script]
        return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0

    def wait(self, script: str, seconds: float, what: str) -> None:
        """Wait until a shell script ends well on the host."""
        if not wait_until(lambda: self.holds(script), seconds):
            raise HarnessError(f"{self.name}: {what} did not happen within {seconds:.0f} s")

    def restart(self) -> None:
        """Restart the host, as a power cut does."""
        machine("docker", "kill", self.container)
        machine("docker", "start", self.container)

    def ready(self) -> None:
        """Wait until the host is up and answers over SSH."""
        machine("docker", "exec", self.container, "/usr/local/sbin/test-host-wait", timeout=180)
        self.wait("systemctl is-active --quiet ssh", 30, "a running SSH server")


GPU_HOST = TestHost("gpu01")
MIRROR = TestHost("mirror")


def wait_until(condition: Any, seconds: float, pause: float = 0.2) -> bool:
    """Wait until a condition holds, and return whether it did."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


@dataclass
class Run:
    """One run of ansible-playbook, whose output can be waited for while it runs."""

    name: str
    variables: dict[str, Any]
    playbook: str = "site.yml"
    lines: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def start(self) -> Run:
        """Start it."""
        LOGS.mkdir(parents=True, exist_ok=True)
        # A folder of its own: a killed control node takes its connections with it.
        self._sockets = Path(tempfile.mkdtemp(prefix="faults-"))
        self._began = time.monotonic()
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._sockets),
            # Otherwise a task's name is printed with its first result, when it is over.
            "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true",
            "PYTHONUNBUFFERED": "1",
        }
        command = ["ansible-playbook", "--inventory", str(INVENTORY), self.playbook]
        if self.variables:
            command += ["--extra-vars", json.dumps(self.variables)]
        self._process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def _read(self) -> None:
        with (LOGS / f"{self.name}.log").open("w", encoding="utf-8") as log:
            for line in self._process.stdout or ():
                self.lines.append(line.rstrip("\n"))
                log.write(f"{time.monotonic() - self._began:6.1f} {line}")
                log.flush()

    def wait_for(self, pattern: str, seconds: float = 600) -> bool:
        """Wait until a line of the output matches; false when the run ends without."""
        seen, compiled = 0, re.compile(pattern)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended = self._process.poll() is not None and not self._reader.is_alive()
            while seen < len(self.lines):
                if compiled.search(self.lines[seen]):
                    return True
                seen += 1
            if ended:
                return False
            time.sleep(0.05)
        return False

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """Kill all of its processes at once, its connections too: the control node is gone."""
        processes = _descendants(self._process.pid)
        for process in processes:
            _signal(process, signal.SIGSTOP)
        for process in [*processes, *_connections(self._sockets)]:
            _signal(process, signal.SIGKILL)

    def finish(self, seconds: float = 900) -> int:
        """Wait for the end and return the exit status; a run that does not end is killed and an error."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise HarnessError(f"the run {self.name} did not end within {seconds:.0f} s") from None
        finally:
            for process in _connections(self._sockets):
                _signal(process, signal.SIGTERM)
        self._reader.join(10)
        shutil.rmtree(self._sockets, ignore_errors=True)
        self.seconds = time.monotonic() - self._began
        return status

    @property
    def layers(self) -> list[str]:
        """The layers that its messages name, in their order."""
        found = [match.group(1) for line in self._said if (match := _NAMED.search(line))]
        return list(dict.fromkeys(found))

    @property
    def _said(self) -> list[str]:
        """The lines that are no headings: a heading has its name in brackets as well."""
        return [line for line in self.lines if not re.match(r"(PLAY|TASK|RUNNING HANDLER) ", line)]

    @property
    def message(self) -> str:
        """The first line that names a layer; else the first message of a failure."""
        named = [line[match.start(1) - 1 :] for line in self._said if (match := _NAMED.search(line))]
        others = [match.group(0) for line in self._said if (match := re.search(r"(?:msg|fatal|ERROR).*", line))]
        return (named or others or [""])[0].strip()

    @property
    def changed(self) -> int:
        """How many tasks changed something, by the recap."""
        return sum(int(number) for line in self.lines for number in re.findall(r"\bchanged=(\d+)", line))


def _signal(process: int, number: int) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(folder.name))
    found, waiting = [], [root]
    while waiting:
        process = waiting.pop()
        found.append(process)
        waiting += children.get(process, [])
    return found


def _connections(sockets: Path) -> list[int]:
    """Return the processes of SSH that keep a connection of this run open after its tasks."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().decode("utf-8", "replace")
            except OSError:
                continue
            if str(sockets) in words and words.startswith("ssh"):
                found.append(int(folder.name))
    return found
