# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import docker.errors
import pytest
from ansible.module_utils.opensora.build_key import BUILD_KEY_LABEL
from ansible.module_utils.opensora.image_decision import LocalImage
from ansible.module_utils.opensora.image_engine import ImageEngine, store_of
from ansible.module_utils.opensora.image_transfer import TransferError


@pytest.mark.parametrize(
    ("info", "store"),
    [
        ({"Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]]}, "classic"),
        ({"Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}, "containerd"),
        ({"DriverStatus": None}, "classic"),
        ({"DriverStatus": [[]]}, "classic"),
        ({}, "classic"),
    ],
)
def test_image_store(info, store):
    assert store_of(info) == store


class Api:
    """The SDK's client, with one image and one stopped container."""

    def __init__(self):
        self.listing = [{"Id": "sha256:1", "Labels": {BUILD_KEY_LABEL: "k"}, "RepoTags": ["a:1", "a:2"]}]
        self.removed = []
        self.fault = None
        self.messages = []

    def images(self, filters):
        assert filters == {"label": [BUILD_KEY_LABEL]}
        return self.listing

    def containers(self, **arguments):
        assert arguments == {"all": True}
        return [{"ImageID": "sha256:1"}, {"ImageID": "sha256:2"}]

    def inspect_image(self, image):
        if image == "absent:1":
            raise docker.errors.ImageNotFound("no such image")
        labels = {BUILD_KEY_LABEL: "k"} if image == "hidden:1" else {}
        ids = {"a:1": "sha256:1"}
        return {
            "Id": ids.get(image, "sha256:9"),
            "Created": "2026-01-01T00:00:00.5Z",
            "Config": {"Labels": labels},
            "RepoTags": [image],
            "RootFS": {"Layers": ["sha256:l"]},
        }

    def remove_image(self, name):
        if self.fault:
            raise self.fault
        self.removed.append(name)
        tags = self.listing[0]["RepoTags"]
        if name in tags:
            tags.remove(name)
        if not tags:
            self.listing = []

    def get_image(self, image):
        yield b"tar"
        if self.fault:
            raise self.fault

    def load_image(self, data, quiet):
        assert b"".join(data) == b"tar"
        return iter(self.messages)


@pytest.fixture
def engine():
    made = ImageEngine.__new__(ImageEngine)
    made._api = Api()
    return made


def test_images_in_use_and_layers(engine):
    assert engine.used_images() == {"sha256:1", "sha256:2"}
    assert engine.layers("sha256:1") == ["sha256:l"]


def test_an_image_goes_by_each_of_its_names(engine):
    (image,) = engine.images()
    assert engine.remove(image) == ""
    assert engine._api.removed == ["a:1", "a:2"]
    assert engine.images() == []


def test_an_image_without_a_name_goes_by_its_id(engine):
    engine._api.listing[0]["RepoTags"] = []
    assert engine.remove(engine.images()[0]) == ""
    assert engine._api.removed == ["sha256:1"]


def test_an_image_that_can_not_be_removed(engine):
    engine._api.fault = docker.errors.APIError("409", explanation="conflict: image is being used")
    assert engine.remove(LocalImage("sha256:1", 1, (), {}, ("a:1",))) == "conflict: image is being used"


def test_saving(engine):
    assert b"".join(engine.save("sha256:1")) == b"tar"
    engine._api.fault = docker.errors.NotFound("no such image")
    with pytest.raises(TransferError, match="no such image"):
        list(engine.save("sha256:1"))


@pytest.mark.parametrize(
    "message",
    [{"errorDetail": {"message": "unexpected EOF"}}, {"error": "unexpected EOF"}, {"message": "unexpected EOF"}],
)
def test_loading_that_fails(engine, message):
    engine._api.messages = [{"stream": "Loading"}, message]
    with pytest.raises(TransferError, match="unexpected EOF"):
        engine.load([b"tar"])


def test_loading(engine):
    engine._api.messages = [{"stream": "Loaded image ID: sha256:1"}]
    engine.load([b"tar"])


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("", ["sha256:1"]),
        ("a:1", ["sha256:1"]),
        ("absent:1", ["sha256:1"]),
        ("foreign:1", ["sha256:1"]),
        # Not in the engine's list, although it is there.
        ("hidden:1", ["sha256:9", "sha256:1"]),
    ],
)
def test_an_image_that_is_asked_for_by_name(engine, name, ids):
    found = engine.images(name)
    assert [image.id for image in found] == ids
    if name == "hidden:1":
        assert (found[0].tags, found[0].created) == (("hidden:1",), 1767225600)
