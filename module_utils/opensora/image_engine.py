# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The images of one Docker Engine, through the Docker SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

try:
    import docker
    import docker.errors
    import requests.exceptions

    HAS_DOCKER_SDK = True
except ImportError:  # a host that has not been set up yet, in check mode
    HAS_DOCKER_SDK = False

from ansible.module_utils.opensora.build_key import BUILD_KEY_LABEL
from ansible.module_utils.opensora.buildx_progress import timestamp
from ansible.module_utils.opensora.engine_api import EngineApi, EngineLostError
from ansible.module_utils.opensora.image_decision import ImageStore, LocalImage, local_images
from ansible.module_utils.opensora.image_transfer import TransferError, follow_transfer

# The engine is silent while it unpacks a layer of gigabytes.
TIMEOUT_SECONDS = 1800


def store_of(info: Mapping[str, Any]) -> ImageStore:
    """Return the kind of image store that the engine's own information shows.

    Args:
        info: What ``docker info`` says.
    """
    status = {str(entry[0]): str(entry[1]) for entry in info.get("DriverStatus") or [] if len(entry) > 1}
    return "containerd" if status.get("driver-type", "").startswith("io.containerd.snapshotter") else "classic"


class EngineError(Exception):
    """The engine can't be asked."""


class ImageEngine:
    """The images of one Docker Engine.

    Args:
        docker_host: Address of the engine. The active context of the user is not looked at.

    Raises:
        EngineError: The SDK is not installed, or no engine answers.
    """

    def __init__(self, docker_host: str) -> None:
        if not HAS_DOCKER_SDK:
            raise EngineError("the Docker SDK for Python is not installed for the interpreter of this task")
        try:
            self._api: Any = EngineApi(docker.APIClient(base_url=docker_host, timeout=TIMEOUT_SECONDS))
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            raise EngineError(f"no engine answers at {docker_host}: {error}") from error

    @property
    def data_root(self) -> str:
        """Folder that holds images and build cache."""
        return str(self._api.info()["DockerRootDir"])

    @property
    def image_store(self) -> ImageStore:
        """Kind of the store that holds the images; it decides what an image's ID is and what BuildKit can export."""
        return store_of(self._api.info())

    def used_images(self) -> set[str]:
        """Return the IDs of the images of all containers, running or not."""
        return {str(container["ImageID"]) for container in self._api.containers(all=True)}

    def layers(self, image: str) -> list[str]:
        """Return the digests of the unpacked layers of an image."""
        return [str(digest) for digest in self._api.inspect_image(image)["RootFS"].get("Layers") or []]

    def images(self, name: str = "") -> list[LocalImage]:
        """Return the images of this project, newest first.

        Args:
            name: A name to ask for by itself. Containerd's image store leaves images out of its list whose layers it
                has unpacked from another image and so never fetched.
        """
        listing = list(self._api.images(filters={"label": [BUILD_KEY_LABEL]}))
        if name:
            try:
                asked = self._api.inspect_image(name)
            except docker.errors.NotFound:
                asked = {}
            labels = (asked.get("Config") or {}).get("Labels") or {}
            if BUILD_KEY_LABEL in labels and asked["Id"] not in [entry["Id"] for entry in listing]:
                listing.append({**asked, "Labels": labels, "Created": timestamp(str(asked["Created"]))})
        return local_images(listing)

    def save(self, image: str) -> Iterator[bytes]:
        """Yield an image as the engine writes it, without any name.

        Args:
            image: ID of the image.

        Raises:
            TransferError: The engine could not read the image.
        """
        try:
            yield from self._api.get_image(image)
        except docker.errors.DockerException as error:
            raise TransferError(str(error)) from error

    def load(self, archive: Iterable[bytes]) -> None:
        """Load an image that another engine saved. The engine keeps nothing of an archive that ends too early.

        Args:
            archive: What ``save`` yielded.

        Raises:
            TransferError: The engine could not load the image.
        """
        try:
            for message in self._api.load_image(archive, quiet=True):
                error = message.get("errorDetail") or message.get("error") or message.get("message")
                if error:
                    raise TransferError(str(error.get("message", error) if isinstance(error, Mapping) else error))
        except docker.errors.DockerException as error:
            raise TransferError(str(error)) from error

    def tag(self, image: str, repository: str, tag: str) -> None:
        """Give an image a name."""
        self._api.tag(image, repository, tag)

    def remove(self, image: LocalImage) -> str:
        """Remove an image by its names, never by force, and return why it could not be removed.

        Args:
            image: The image.

        Returns:
            The engine's own text, empty when the image is gone.
        """
        try:
            # A removed last name takes the image with it; without a name it goes by its ID.
            for name in image.tags or (image.id,):
                self._api.remove_image(name)
            if any(other.id == image.id for other in self.images()):
                self._api.remove_image(image.id)
        except docker.errors.APIError as error:
            return str(error.explanation or error)
        except (docker.errors.DockerException, EngineLostError) as error:
            return str(error)
        return ""

    def pull(self, repository: str, digest: str, tag: str, say: Callable[[str], None]) -> None:
        """Pull an image by digest and give it its tag.

        Args:
            repository: Name with the registry, without tag.
            digest: ``sha256:...``.
            tag: Tag that the image gets on the host.
            say: Is told how far the pull is.

        Raises:
            TransferError: The engine could not pull.
        """
        try:
            for line in follow_transfer(self._api.pull(repository, tag=digest, stream=True, decode=True), "pull"):
                say(line)
            self._api.tag(f"{repository}@{digest}", repository, tag)
        except docker.errors.DockerException as error:
            raise TransferError(str(error)) from error

    def push(self, image: str, repository: str, tag: str, say: Callable[[str], None]) -> None:
        """Push an image under a tag.

        Args:
            image: ID of the image.
            repository: Name with the registry, without tag.
            tag: Tag in the registry.
            say: Is told how far the push is.

        Raises:
            TransferError: The engine could not push.
        """
        try:
            self._api.tag(image, repository, tag)
            for line in follow_transfer(self._api.push(repository, tag=tag, stream=True, decode=True), "push"):
                say(line)
        except docker.errors.DockerException as error:
            raise TransferError(str(error)) from error
