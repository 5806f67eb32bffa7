"""What belongs to others on the host: planted before the faults, and looked at after each."""

from __future__ import annotations

from dataclasses import dataclass

from harness.site import GPU_HOST, HarnessError

FOREIGN_IMAGE = "mirror.opensora.test/cuda-stand-in:12.2.2-base-debian13"
DAEMON_CONFIG = "/etc/docker/daemon.json"

_PLANT = f"""
set -e
mkdir -p /srv/foreign/repository /srv/opensora/ckpts/planted /srv/opensora/samples/planted
python3 - <<'PYTHON'
import hashlib, pathlib
for path in ("/srv/opensora/ckpts/planted/weights.safetensors", "/srv/opensora/samples/planted/video.mp4"):
    pathlib.Path(path).write_bytes(hashlib.shake_128(path.encode()).digest(3_000_000))
PYTHON
chown -R 10001:10001 /srv/opensora/samples/planted
cat > /etc/apt/sources.list.d/foreign.sources <<'SOURCES'
# Somebody else's packages.
Types: deb
URIs: file:/srv/foreign/repository
Suites: ./
Trusted: yes
SOURCES
: > /srv/foreign/repository/Packages
cat > /srv/foreign/compose.yaml <<'COMPOSE'
name: foreign
services:
  database:
    image: {FOREIGN_IMAGE}
    command: [sh, -c, "test -f /data/rows || seq 100000 > /data/rows; exec sleep infinity"]
    init: true
    restart: always
    network_mode: none
    volumes: [data:/data]
volumes:
  data: {{}}
COMPOSE
docker compose --file /srv/foreign/compose.yaml up --detach --quiet-pull 2>&1
for _ in $(seq 50); do docker exec foreign-database-1 test -s /data/rows && break; sleep 0.1; done
"""

_FILES = """
find /srv/foreign /srv/opensora/ckpts /srv/opensora/samples/planted /etc/apt/sources.list.d/foreign.sources \
  /var/lib/docker/volumes/foreign_data/_data -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
"""
_CONTAINER = "docker inspect --format '{{.Id}} {{.State.StartedAt}} {{.State.Running}}' foreign-database-1"


def plant() -> None:
    """Put there what belongs to others; again changes nothing that is there."""
    GPU_HOST.run(_PLANT)


@dataclass(frozen=True)
class Possessions:
    """What others have on the host.

    Attributes:
        files: Their files, with the hash of each: weights, videos, a compose project with its volume, a package source.
        configuration: The engine's configuration, byte for byte.
        container: Their container: its ID and when it was started.
    """

    files: str
    configuration: str
    container: tuple[str, str]


def look() -> Possessions:
    """Return what others have on a host that is well."""
    container = GPU_HOST.run(_CONTAINER).split()
    if container[2:] != ["true"]:
        raise HarnessError(f"somebody else's container does not run: {container}")
    return Possessions(files(), GPU_HOST.run(f"cat {DAEMON_CONFIG}"), (container[0], container[1]))


def files() -> str:
    """Return the hashes of their files; this needs no engine."""
    found = GPU_HOST.run(_FILES)
    if found.count("\n") < 5:
        raise HarnessError(f"files of others are missing: {found}")
    return found


def differences(before: Possessions, after: Possessions, *, restarted: bool) -> list[str]:
    """Return what others have lost.

    Args:
        before: Before the fault.
        after: When the site is well again.
        restarted: Whether the fault itself restarts containers.
    """
    found = []
    if before.files != after.files:
        found.append(f"files of others differ: {sorted(set(before.files.split()) ^ set(after.files.split()))}")
    if before.configuration != after.configuration:
        found.append(f"daemon.json was {before.configuration!r} and is {after.configuration!r}")
    if before.container[0] != after.container[0]:
        found.append("somebody else's container is another one")
    if not restarted and before.container != after.container:
        found.append("somebody else's container was restarted")
    return found
