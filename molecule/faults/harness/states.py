"""What is left to do for a run: the host is brought back so far that it has real work at the moment of the fault."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.site import GPU_HOST, PROJECT, SERVICE, SITE_FOLDER

REQUIREMENTS = PROJECT / "molecule" / "resources" / "stand-ins" / "open-sora" / "requirements.lock"
Variables = dict[str, Any]

_ENGINE_PACKAGES = "docker-ce docker-ce-cli containerd.io docker-buildx-plugin docker-compose-plugin"
_TOOLKIT_PACKAGES = (
    "nvidia-container-toolkit nvidia-container-toolkit-base libnvidia-container-tools libnvidia-container1"
)
_REMOVE = "DEBIAN_FRONTEND=noninteractive apt-get remove -qq -y --allow-change-held-packages"


def nothing() -> Variables:
    """Everything is there."""
    return {}


def no_service() -> Variables:
    """The service's container is gone."""
    GPU_HOST.run(f"docker rm --force {SERVICE}")
    return {}


def spoil_samples() -> None:
    """Let the health check fail: the service's user can't write samples."""
    GPU_HOST.run("chown root:root /srv/opensora/samples && chmod 700 /srv/opensora/samples")


def mend_samples() -> None:
    """Let the health check work again."""
    GPU_HOST.run("chown 10001:10001 /srv/opensora/samples && chmod 755 /srv/opensora/samples")


def no_toolkit() -> Variables:
    """The packages of the container toolkit are gone, and so is the service."""
    GPU_HOST.run(f"docker rm --force {SERVICE}; {_REMOVE} {_TOOLKIT_PACKAGES}; rm -f /etc/cdi/nvidia.yaml")
    return {}


def no_engine() -> Variables:
    """The packages of the engine and its SDK are gone; what the engine had made is still there."""
    GPU_HOST.run(
        f"systemctl stop docker.socket docker containerd; {_REMOVE} {_ENGINE_PACKAGES};"
        " rm -rf /opt/opensora-site/docker-sdk"
    )
    return {}


def other_image() -> Variables:
    """The wish is an image that nobody has: the requirements' step and all after it have to be built."""
    wish = SITE_FOLDER / "requirements.lock"
    wish.write_text(f"# {time.time_ns()}\n{Path(REQUIREMENTS).read_text(encoding='utf-8')}", encoding="utf-8")
    return {"opensora_image_requirements_file": str(wish)}


def other_label() -> Variables:
    """The wish is an image of which every step is in the build cache: it has to be exported and pushed."""
    wish = SITE_FOLDER / "note.txt"
    wish.write_text(f"{time.time_ns()}\n", encoding="utf-8")
    return {"opensora_image_context_files": {"note.txt": str(wish)}}


def image_in_registry() -> Variables:
    """The host has lost the image, which the registry still has, and the service."""
    GPU_HOST.run(
        f"docker rm --force {SERVICE}; docker image ls --quiet mirror.opensora.test/opensora | sort -u"
        " | xargs --no-run-if-empty docker image rm --force"
    )
    return {}


State = Callable[[], Variables]
# Those that restart the engine, and with it containers of others.
RESTARTING = (no_engine, no_toolkit)
