"""The faults, each with the moments at which it happens and with what a person has to be told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from harness import states
from harness.memory import kill_for_memory
from harness.planted import DAEMON_CONFIG
from harness.site import GPU_HOST, MIRROR, SERVICE, HarnessError, Run

# Where ansible-playbook is: a line of its output, then a condition on the host.
ENGINE_PACKAGES = r"TASK \[docker_engine : Install the packages of the engine\]"
TOOLKIT_PACKAGES = r"TASK \[nvidia_container_toolkit : Install the packages of the toolkit\]"
DPKG_WORKS = "pgrep --full '^/usr/bin/dpkg .*--status-fd'"
BUILDING = r"\| \d+/\d+ requirements: .*"
EXPORTING = r"\| \d+/\d+ exporting"
PUSHING = r"\| push "
LOOKING = r"TASK \[opensora_image : Look up what the image is built from\]"
PROVIDING = r"TASK \[opensora_image : Provide the image\]"
TOOLKIT_REPOSITORY = r"TASK \[nvidia_container_toolkit : Set up the toolkit's repository\]"
ENGINE_REPOSITORY = r"TASK \[docker_engine : Set up the vendor's repository\]"
CHECKING = r"\| \d+/\d+ runtime: check"
DEPLOYING = r"TASK \[opensora_service : Deploy the compose projects\]"
CONTAINER_STARTS = f"docker inspect {SERVICE}"

_PLAYBOOKS = {
    (ENGINE_PACKAGES, TOOLKIT_PACKAGES, ENGINE_REPOSITORY, TOOLKIT_REPOSITORY): "playbooks/engine.yml",
    (BUILDING, CHECKING, EXPORTING, PUSHING, LOOKING, PROVIDING): "playbooks/image.yml",
    (DEPLOYING,): "playbooks/service.yml",
}

Injection = Callable[[Run], None]


@dataclass(frozen=True)
class Moment:
    """When a fault happens.

    Attributes:
        name: In the table and on the command line.
        start: How far the host is before the run.
        line: Line of the run's output at which the fault happens; empty for a fault that is there before the run.
        host: Shell condition on the host that has to hold after that line.
        layers: Layers of which one has to be named when the run fails; empty for those of the fault.
        succeeds: Whether the run may, must or must not succeed in spite of the fault.
        short: Whether it belongs to the short set.
        inject: Makes it happen at this moment in another way than at the others.
    """

    name: str
    start: states.State
    line: str = ""
    host: str = ""
    layers: tuple[str, ...] = ()
    succeeds: bool | None = False
    short: bool = False
    inject: Injection | None = None

    @property
    def playbook(self) -> str:
        """The part of the site that comes to this moment: the others have nothing to do there."""
        return next((playbook for lines, playbook in _PLAYBOOKS.items() if self.line in lines), "site.yml")


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        name: On the command line.
        title: In the table.
        inject: Makes it happen.
        heal: Takes the outer cause away.
        layers: Layers of which one has to be named when the run fails; empty where nobody is left to name one.
        moments: When it happens.
        restarts: Whether it restarts containers by itself.
    """

    name: str
    title: str
    inject: Injection
    moments: tuple[Moment, ...]
    layers: tuple[str, ...] = ()
    heal: Callable[[], None] = field(default=lambda: None)
    restarts: bool = False


def _kill_controller(run: Run) -> None:
    run.kill()


CONTROLLER = Fault(
    "controller-killed",
    "The control node is killed (SIGKILL)",
    _kill_controller,
    (
        Moment("engine packages", states.no_engine, ENGINE_PACKAGES, DPKG_WORKS),
        Moment("image build", states.other_image, BUILDING, short=True),
        Moment("deployment", states.no_service, DEPLOYING, CONTAINER_STARTS),
    ),
)

# --- the connection and the host ------------------------------------------------------------------------------------


def _cut_ssh(_: Run) -> None:
    # Also what is connected already; the listener keeps its port closed until it is started again.
    GPU_HOST.run("systemctl stop ssh; pkill -9 sshd-session || true")


def _cut_ssh_for_a_while(run: Run) -> None:
    _cut_ssh(run)
    time.sleep(15)
    _start_ssh()


def _start_ssh() -> None:
    GPU_HOST.run("systemctl start ssh")


SSH_LOST = Fault(
    "ssh-lost",
    "The SSH connection is lost, and the host can't be reached until the run has ended",
    _cut_ssh,
    (
        Moment("engine packages", states.no_engine, ENGINE_PACKAGES, DPKG_WORKS),
        Moment("image look-up", states.nothing, LOOKING),
        Moment("deployment", states.no_service, DEPLOYING, CONTAINER_STARTS),
    ),
    ("connection",),
    _start_ssh,
)
SSH_SHORT = Fault(
    "ssh-interrupted",
    "The SSH connection is lost for 15 s",
    _cut_ssh_for_a_while,
    (Moment("image build", states.other_image, BUILDING, succeeds=True),),
    ("connection",),
    _start_ssh,
)


def _restart_host(_: Run) -> None:
    GPU_HOST.restart()


REBOOT = Fault(
    "host-rebooted",
    "The host loses its power and starts again",
    _restart_host,
    (
        Moment("engine packages", states.no_engine, ENGINE_PACKAGES, DPKG_WORKS),
        Moment("image build", states.other_image, BUILDING),
        Moment("deployment", states.no_service, DEPLOYING, CONTAINER_STARTS),
    ),
    ("connection",),
    GPU_HOST.ready,
    restarts=True,
)


# --- the engine -----------------------------------------------------------------------------------------------------


def _kill_engine(_: Run) -> None:
    GPU_HOST.run("pkill -9 -x dockerd")


def _wait_for_engine() -> None:
    GPU_HOST.run("systemctl reset-failed docker || true; systemctl start docker")
    GPU_HOST.wait("docker version", 60, "an engine that answers")


ENGINE_KILLED = Fault(
    "engine-killed",
    "dockerd is killed (SIGKILL)",
    _kill_engine,
    (
        Moment("image build", states.other_image, BUILDING),
        Moment("image push", states.other_image, PUSHING, layers=("engine",)),
        Moment("deployment", states.no_service, DEPLOYING, CONTAINER_STARTS, short=True, succeeds=None),
    ),
    ("engine",),
    _wait_for_engine,
    restarts=True,
)


def _break_daemon_config(_: Run) -> None:
    # Half of a file, as an interrupted editor leaves it; the harness keeps the whole one.
    GPU_HOST.run(f"cp -p {DAEMON_CONFIG} /root/daemon.json.whole; head -c 40 /root/daemon.json.whole > {DAEMON_CONFIG}")


def _mend_daemon_config() -> None:
    GPU_HOST.run(
        f"test ! -f /root/daemon.json.whole || cat /root/daemon.json.whole > {DAEMON_CONFIG};"
        " rm -f /root/daemon.json.whole"
    )
    _wait_for_engine_where_there_is_one()


def _wait_for_engine_where_there_is_one() -> None:
    if GPU_HOST.holds("command -v dockerd"):
        _wait_for_engine()


DAEMON_CONFIG_BROKEN = Fault(
    "daemon-config-invalid",
    "Somebody else makes daemon.json invalid",
    _break_daemon_config,
    (
        Moment("before the run", states.nothing, short=True),
        Moment("engine packages", states.no_engine, ENGINE_PACKAGES, DPKG_WORKS),
        Moment("toolkit packages", states.no_toolkit, TOOLKIT_PACKAGES),
    ),
    ("engine",),
    _mend_daemon_config,
    restarts=True,
)


# --- the disk -------------------------------------------------------------------------------------------------------


def _fill_bytes(_: Run) -> None:
    GPU_HOST.run(
        "free=$(df --output=avail -B1 /var/lib/docker | tail -n 1);"
        " fallocate -l $((free - 4000000)) /var/lib/docker/filler;"
        # The rest, down to the last block.
        " cat /dev/zero > /var/lib/docker/filler-of-the-rest 2> /dev/null || true"
    )


def _fill_inodes(_: Run) -> None:
    GPU_HOST.run(
        "mkdir -p /var/lib/docker/filler && cd /var/lib/docker/filler && "
        "free=$(df --output=iavail /var/lib/docker | tail -n 1) && seq $((free)) | xargs --max-args=2000 touch"
    )


def _empty_disk() -> None:
    GPU_HOST.run("rm -rf /var/lib/docker/filler*")


def _disk_moments(*, short: bool) -> tuple[Moment, ...]:
    return (
        Moment("before the run", states.other_label),
        Moment("image build", states.other_image, BUILDING, short=short),
        Moment("deployment", states.no_service, DEPLOYING),
    )


DISK_BYTES = Fault(
    "disk-bytes", "The engine's disk is full: bytes", _fill_bytes, _disk_moments(short=True), ("disk",), _empty_disk
)
DISK_INODES = Fault(
    "disk-inodes", "The engine's disk is full: inodes", _fill_inodes, _disk_moments(short=False), ("disk",), _empty_disk
)


# --- servers --------------------------------------------------------------------------------------------------------

_NGINX = "/etc/nginx/conf.d/mirror.conf"


def _spoil_registry(directive: str) -> Injection:
    """Return what puts a directive before all others of the registry's part of the web server."""

    def inject(_: Run) -> None:
        MIRROR.run(
            f"cp -n {_NGINX} /root/mirror.conf;"
            " echo 'limit_req_zone $server_name zone=slow:1m rate=40r/m;' > /etc/nginx/conf.d/zone.conf;"
            f" sed 's#location /v2/ {{#& {directive}#' /root/mirror.conf > {_NGINX};"
            " nginx -t -q && systemctl reload nginx"
        )
        # Connections that are open are answered by the old processes until they are closed.
        MIRROR.run("pkill -f '[n]ginx: worker process is shutting' || true")

    return inject


def _mend_mirror() -> None:
    MIRROR.run(
        f"test ! -f /root/mirror.conf || mv /root/mirror.conf {_NGINX}; rm -f /etc/nginx/conf.d/zone.conf;"
        " systemctl reload-or-restart nginx"
    )


def _registry_moments(*, succeeds: bool | None) -> tuple[Moment, ...]:
    return (
        Moment("before the run", states.other_label, succeeds=succeeds),
        Moment("image build", states.other_image, BUILDING, succeeds=succeeds),
        Moment("image pull", states.image_in_registry, PROVIDING, succeeds=succeeds),
    )


REGISTRY_DOWN = Fault(
    "registry-down",
    "The registry closes every connection",
    _spoil_registry("return 444;"),
    _registry_moments(succeeds=False),
    ("network",),
    _mend_mirror,
)
REGISTRY_ERRORS = Fault(
    "registry-errors",
    "The registry answers with errors (503)",
    _spoil_registry("return 503;"),
    _registry_moments(succeeds=False),
    ("network",),
    _mend_mirror,
)
REGISTRY_SLOW = Fault(
    "registry-slow",
    "The registry is slow: one answer in 1.5 s, 2 MB/s",
    _spoil_registry("limit_req zone=slow burst=500; limit_rate 2m;"),
    _registry_moments(succeeds=True),
    ("network",),
    _mend_mirror,
)


def _stop_mirror(_: Run) -> None:
    MIRROR.run("systemctl stop nginx")


APT_MIRROR_DOWN = Fault(
    "apt-mirror-down",
    "The package mirror is down",
    _stop_mirror,
    (
        Moment("before the run", states.no_engine),
        Moment("engine packages", states.no_engine, ENGINE_REPOSITORY, "apt-get --version"),
        Moment("toolkit packages", states.no_toolkit, TOOLKIT_REPOSITORY),
    ),
    ("network", "packages"),
    _mend_mirror,
)


# --- the package manager --------------------------------------------------------------------------------------------


def _leave_half_configured(_: Run) -> None:
    """A package is unpacked and not configured, as after a power cut."""
    GPU_HOST.run("cd /root && apt-get download -qq less 2>/dev/null && dpkg --unpack less_*.deb && rm less_*.deb")


def _kill_dpkg(_: Run) -> None:
    GPU_HOST.run("pkill -9 -x apt-get; pkill -9 -x dpkg || true")


DPKG_INTERRUPTED = Fault(
    "dpkg-interrupted",
    "dpkg is interrupted",
    _kill_dpkg,
    (
        Moment("before the run", states.no_service, succeeds=True, inject=_leave_half_configured),
        Moment("engine packages", states.no_engine, ENGINE_PACKAGES, DPKG_WORKS),
        Moment("toolkit packages", states.no_toolkit, TOOLKIT_PACKAGES, DPKG_WORKS),
    ),
    ("packages",),
)


# --- the clock ------------------------------------------------------------------------------------------------------


def _set_clock(offset: str) -> Injection:
    """Return what makes every program that is started on the host from now on see another time."""

    def inject(_: Run) -> None:
        GPU_HOST.run(
            f"echo {offset} > /etc/faketimerc;"
            " echo /usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1 > /etc/ld.so.preload"
        )

    return inject


def _mend_clock() -> None:
    GPU_HOST.run("rm -f /etc/ld.so.preload /etc/faketimerc")


CLOCK_AHEAD = Fault(
    "clock-ahead",
    "The host's clock is three years ahead",
    _set_clock("+3y"),
    (Moment("before the run", states.nothing), Moment("toolkit packages", states.no_toolkit, TOOLKIT_REPOSITORY)),
    ("configuration",),
    _mend_clock,
)
CLOCK_BEHIND = Fault(
    "clock-behind",
    "The host's clock is a year behind",
    _set_clock("-1y"),
    (Moment("before the run", states.nothing), Moment("toolkit packages", states.no_toolkit, TOOLKIT_REPOSITORY)),
    ("configuration",),
    _mend_clock,
)


# --- people ---------------------------------------------------------------------------------------------------------


def _second_operator(run: Run) -> None:
    """Somebody else runs the same site at the same time; both have to come to their end."""
    other = Run(f"{run.name}-other", run.variables).start()
    status = other.finish()
    if status:
        raise HarnessError(f"the run of the second operator failed: {other.message}")


SECOND_OPERATOR = Fault(
    "second-operator",
    "A second operator runs the site at the same time",
    _second_operator,
    (
        Moment("engine packages", states.no_engine, ENGINE_PACKAGES, DPKG_WORKS, succeeds=True),
        Moment("image build", states.other_image, BUILDING, succeeds=True),
        Moment("deployment", states.no_service, DEPLOYING, succeeds=True),
    ),
)


# --- the image ------------------------------------------------------------------------------------------------------

_IMAGES = "docker image ls mirror.opensora.test/opensora"
_BLOBS = "/var/lib/docker-registry/docker/registry/v2/blobs/sha256"


def _wrong_label(_: Run) -> None:
    """The image's name leads to another image, which says that it was built from something else."""
    GPU_HOST.run(
        f"name=$({_IMAGES} --format '{{{{.Repository}}}}:{{{{.Tag}}}}' | head -n 1); cd /tmp;"
        " printf 'FROM %s\\nLABEL org.opensora-site.build-key=0000\\n' $name"
        " | docker build --quiet --network none --tag wrong -;"
        " docker image tag wrong $name; docker image rm wrong"
    )


def _damage_layer(_: Run) -> None:
    """The files of the image's uppermost layers are gone from the engine's disk."""
    GPU_HOST.run(
        f"image=$({_IMAGES} --quiet | head -n 1); "
        "rm -rf $(docker image inspect --format '{{.GraphDriver.Data.UpperDir}}' $image)/*; "
        "lower=$(docker image inspect --format '{{.GraphDriver.Data.LowerDir}}' $image); rm -rf ${lower%%:*}/*"
    )


def _rebuild() -> None:
    """What the message says to do about a damaged image."""
    GPU_HOST.run(
        f"docker rm --force {SERVICE}; {_IMAGES} --quiet | sort -u | xargs -r docker image rm --force;"
        " docker builder prune --force --filter type=regular"
    )


def _damage_blob(_: Run) -> None:
    """A layer lies damaged in the registry."""
    MIRROR.run(
        f"cd {_BLOBS}; find . -name data -size +100k -printf '%T@ %p\\n' | sort -n | tail -n 1 | cut -d' ' -f2"
        " > /root/damaged; cp -p $(cat /root/damaged) /root/whole;"
        " printf damaged | dd of=$(cat /root/damaged) bs=1 seek=5000 conv=notrunc status=none;"
        " systemctl restart docker-registry"
    )


def _mend_blob() -> None:
    MIRROR.run(f"cd {_BLOBS}; test ! -f /root/whole || cp -p /root/whole $(cat /root/damaged); rm -f /root/whole")


IMAGE_LABEL = Fault(
    "image-label",
    "The image on the host has a wrong label",
    _wrong_label,
    (Moment("before the run", states.no_service, succeeds=True),),
)
IMAGE_LAYER = Fault(
    "image-layer",
    "A layer of the image on the host is damaged",
    _damage_layer,
    (Moment("before the run", states.no_service),),
    ("image",),
    _rebuild,
)
REGISTRY_BLOB = Fault(
    "registry-blob",
    "A layer of the image in the registry is damaged",
    _damage_blob,
    (Moment("image pull", states.image_in_registry, PROVIDING),),
    ("image", "network"),
    _mend_blob,
)


def _exhaust_memory(_: Run) -> None:
    """The kernel's memory limit of the step that runs is lowered until it kills the step's largest process."""
    kill_for_memory()


BUILD_MEMORY = Fault(
    "build-out-of-memory",
    "The kernel kills a process of the image build for want of memory",
    _exhaust_memory,
    (
        Moment("requirements", states.other_image, BUILDING),
        Moment("check of the image", states.other_image, CHECKING),
    ),
    ("image",),
)


# --- the service ----------------------------------------------------------------------------------------------------


def _flap(times: int) -> Injection:
    """Return what lets health checks fail for a while: the samples can't be written."""

    def inject(_: Run) -> None:
        for _number in range(times):
            states.spoil_samples()
            time.sleep(4)
            states.mend_samples()
            time.sleep(4)

    return inject


HEALTH_FLAPS = Fault(
    "health-flaps",
    "The health check fails, works, fails again",
    _flap(2),
    (
        Moment("first checks", states.no_service, DEPLOYING, CONTAINER_STARTS, succeeds=True),
        Moment("verification", states.no_service, r"PLAY \[Verify\]", succeeds=None, layers=("application",)),
        Moment("before the run", states.nothing, succeeds=True),
    ),
    (),
    states.mend_samples,
)


FAULTS: tuple[Fault, ...] = (
    CONTROLLER,
    SSH_LOST,
    SSH_SHORT,
    REBOOT,
    ENGINE_KILLED,
    DISK_BYTES,
    DISK_INODES,
    REGISTRY_DOWN,
    REGISTRY_SLOW,
    REGISTRY_ERRORS,
    APT_MIRROR_DOWN,
    DPKG_INTERRUPTED,
    CLOCK_AHEAD,
    CLOCK_BEHIND,
    DAEMON_CONFIG_BROKEN,
    SECOND_OPERATOR,
    IMAGE_LABEL,
    IMAGE_LAYER,
    REGISTRY_BLOB,
    BUILD_MEMORY,
    HEALTH_FLAPS,
)
