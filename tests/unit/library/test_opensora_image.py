# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
import os
import stat
from contextlib import contextmanager

import opensora_image
import pytest
from ansible.module_utils.opensora.build_key import BUILD_KEY_LABEL, INPUTS_LABEL
from ansible.module_utils.opensora.engine_api import EngineLostError
from ansible.module_utils.opensora.host_lock import Turn
from ansible.module_utils.opensora.image_archive import ImageArchive, compress, write_parts
from ansible.module_utils.opensora.image_decision import LocalImage
from ansible.module_utils.opensora.image_engine import EngineError
from ansible.module_utils.opensora.image_transfer import TransferError
from ansible.module_utils.opensora.private_folder import private_folder
from ansible.module_utils.opensora.registry_client import stored_authorization

ID, DIGEST = "sha256:" + "1" * 64, "sha256:" + "d" * 64


class FakeEngine:
    """An engine with a list of images; building, pulling and pushing add to it."""

    image_store = "classic"

    def __init__(self, images=()):
        self.listing = list(images)
        self.calls = []
        self.used = set()
        self.layers_of = {}

    def images(self, _name=""):
        return list(self.listing)

    def used_images(self):
        return self.used

    def layers(self, image):
        return self.layers_of.get(image, [])

    def tag(self, image, repository, tag):
        self.calls.append(("tag", image, f"{repository}:{tag}"))

    def remove(self, image):
        self.calls.append(("remove", image.id))
        self.listing.remove(image)
        return ""

    def pull(self, repository, digest, tag, say):
        self.calls.append(("pull", repository, digest))
        self.listing.insert(0, LocalImage(ID, 9, (f"{repository}@{digest}",), {BUILD_KEY_LABEL: tag}))

    def push(self, image, repository, tag, say):
        self.calls.append(("push", repository, tag))
        found = next(entry for entry in self.listing if entry.id == image)
        self.listing.insert(0, LocalImage(image, 9, (f"{repository}@{DIGEST}",), found.labels))


@pytest.fixture
def engine(monkeypatch, tmp_path):
    fake = FakeEngine()
    fake.data_root = str(tmp_path)
    monkeypatch.setattr(opensora_image, "ImageEngine", lambda _: fake)
    return fake


@pytest.fixture
def registry(monkeypatch):
    held = {}
    monkeypatch.setattr(opensora_image.RegistryClient, "digest", lambda _, reference: held.get(reference.tag))
    return held


@pytest.fixture
def run(run_module, tmp_path):
    def start(**arguments):
        return run_module(
            opensora_image,
            name="opensora",
            dockerfile="FROM x\n",
            context={"a.txt": "1"},
            directory=str(tmp_path / "image"),
            log_directory=str(tmp_path / "logs"),
            **arguments,
        )

    return start


def key_of(run, **arguments):
    return run(_ansible_check_mode=True, **arguments)["build_key"]


def docker(tmp_path, monkeypatch, script):
    command = tmp_path / "bin" / "docker"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")


def test_nothing_to_do(run, engine):
    key = key_of(run)
    engine.listing = [LocalImage(ID, 1, (), {BUILD_KEY_LABEL: key})]
    result = run()
    assert (result["changed"], result["action"], result["reference"], result["id"]) == (False, "none", ID, ID)
    assert result["changed_inputs"] == []


def test_check_mode_names_the_inputs_that_changed_and_touches_nothing(run, engine, tmp_path):
    inputs = {"dockerfile": "sha256:old", "platform": "linux/amd64", "revision": "", "target": ""}
    engine.listing = [LocalImage(ID, 1, (), {BUILD_KEY_LABEL: "old", INPUTS_LABEL: json.dumps(inputs)})]
    result = run(_ansible_check_mode=True, _ansible_diff=True)
    assert (result["changed"], result["action"], result["reference"]) == (True, "build", None)
    assert result["changed_inputs"] == ["context/a.txt", "dockerfile"]
    assert "dockerfile: sha256:old" in result["diff"]["before"]
    assert list(tmp_path.iterdir()) == []


def test_check_mode_on_a_host_without_engine_predicts(run, monkeypatch):
    def missing(_):
        raise EngineError("the Docker SDK for Python is not installed")

    monkeypatch.setattr(opensora_image, "ImageEngine", missing)
    result = run(_ansible_check_mode=True)
    assert (result["changed"], result["action"]) == (True, "build")
    assert "not installed" in result["reason"]
    result = run()
    assert result["failed"]
    assert result["problems"][0]["code"] == "engine.unreachable"


@pytest.mark.parametrize("call", ["images", "push"])
def test_the_engine_goes_away(run, engine, registry, monkeypatch, call):
    key = key_of(run, registry="r.test")
    engine.listing = [LocalImage(ID, 1, (), {BUILD_KEY_LABEL: key})]

    def gone(*_):
        raise EngineLostError("the engine stopped answering: Connection broken")

    monkeypatch.setattr(engine, call, gone)
    result = run(registry="r.test")
    assert result["failed"]
    assert (result["problems"][0]["layer"], result["problems"][0]["code"]) == ("engine", "engine.lost")


@pytest.mark.parametrize(
    ("said", "layer"),
    [
        ("write /var/lib/docker/tmp: no space left on device", "disk"),
        ("received unexpected HTTP status: 503 Service Unavailable", "network"),
        ("something that nobody knows", "network"),
        ("filesystem layer verification failed for digest sha256:1: unexpected digest", "image"),
    ],
)
def test_the_layer_of_a_transfer_that_fails(run, engine, registry, said, layer):
    key = key_of(run, registry="r.test")
    engine.listing = [LocalImage(ID, 1, (), {BUILD_KEY_LABEL: key})]

    def refuse(*_):
        raise TransferError(said)

    engine.push = refuse
    (problem,) = run(registry="r.test")["problems"]
    assert (problem["layer"], problem["code"]) == (layer, "image.push_failed")


def test_a_build_reads_again_what_it_made(run, engine, tmp_path, monkeypatch):
    key = key_of(run)
    docker(tmp_path, monkeypatch, 'echo "$@" > "$(dirname "$0")/arguments"')
    engine.images = lambda *_: (
        [LocalImage(ID, 1, (), {BUILD_KEY_LABEL: key})] if (tmp_path / "bin/arguments").exists() else []
    )
    result = run(build_arguments={}, effort_arguments={"MAX_JOBS": 2}, proxies={"http_proxy": "http://u:p@x:1"})
    assert (result["changed"], result["action"], result["reference"]) == (True, "build", ID)
    arguments = (tmp_path / "bin" / "arguments").read_text()
    assert f"{BUILD_KEY_LABEL}={key}" in arguments
    assert "MAX_JOBS=2" in arguments
    assert "--build-arg http_proxy" in arguments
    assert "u:p@x" not in arguments
    assert (tmp_path / "image/context/Dockerfile").read_text() == "FROM x\n"


def test_effort_does_not_change_the_key(run, engine):
    assert key_of(run) == run(_ansible_check_mode=True, effort_arguments={"MAX_JOBS": 64})["build_key"]
    assert key_of(run) != run(_ansible_check_mode=True, build_arguments={"MAX": 64})["build_key"]


def test_a_failed_build_says_where_why_and_what_next(run, engine, tmp_path, monkeypatch):
    docker(tmp_path, monkeypatch, 'echo "ERROR: failed to solve: no space left on device" >&2; exit 1')
    result = run()
    assert result["failed"]
    assert "the disk is full" in result["msg"]
    assert result["cause"]["code"] == "disk_full"
    assert result["problems"][0]["layer"] == "disk"
    assert result["problems"][0]["evidence"] == ["ERROR: failed to solve: no space left on device"]
    assert result["log"].startswith(str(tmp_path / "logs/build-"))


def test_a_build_that_leaves_no_image_is_a_failure(run, engine, tmp_path, monkeypatch):
    docker(tmp_path, monkeypatch, "exit 0")
    result = run()
    assert result["failed"]
    assert result["problems"][0]["code"] == "image.not_provided"


def test_too_small_a_disk_is_told_before_the_build(run, engine, tmp_path, monkeypatch):
    docker(tmp_path, monkeypatch, "exit 0")
    result = run(minimum_free_bytes=10**18)
    assert result["failed"]
    assert result["problems"][0]["code"] == "disk.too_few_bytes"
    assert not (tmp_path / "image/context").exists()


def test_the_registry_has_it(run, engine, registry):
    key = key_of(run)
    registry[key] = DIGEST
    result = run(registry="registry.example/site", build="never")
    assert (result["action"], result["reference"]) == ("pull", f"registry.example/site/opensora@{DIGEST}")
    assert result["digest"] == DIGEST
    assert engine.calls == [("pull", "registry.example/site/opensora", DIGEST)]


def test_what_was_built_again_elsewhere_replaces_what_is_here(run, engine, registry):
    key, old = key_of(run), "sha256:" + "e" * 64
    engine.listing = [LocalImage("sha256:2", 1, (f"registry.example/opensora@{old}",), {BUILD_KEY_LABEL: key})]
    assert run(registry="registry.example", build="never")["action"] == "none"
    result = run(registry="registry.example", build="never", digest=DIGEST)
    assert (result["action"], result["digest"], result["id"]) == ("pull", DIGEST, ID)


def test_an_interrupted_push_is_made_up_for(run, engine, registry):
    key = key_of(run)
    engine.listing = [LocalImage(ID, 1, (), {BUILD_KEY_LABEL: key})]
    result = run(registry="registry.example")
    assert (result["changed"], result["action"], result["digest"]) == (True, "push", DIGEST)
    assert engine.calls == [("push", "registry.example/opensora", key)]


def test_a_host_that_shall_not_build_says_so(run, engine, registry):
    result = run(registry="registry.example", build="never")
    assert result["failed"]
    assert result["problems"][0]["code"] == "image.not_built"
    assert engine.calls == []


@pytest.mark.parametrize("name", ["UPPER", "a b", ""])
def test_names_that_are_none(run_module, name):
    result = run_module(opensora_image, name=name, dockerfile="FROM x\n")
    assert result["failed"]


def test_a_context_that_leaves_its_folder(run_module):
    result = run_module(opensora_image, name="a", dockerfile="FROM x\n", context={"../x": ""})
    assert result["failed"]
    assert "build context" in result["msg"]


def older(number, created=None, **labels):
    return LocalImage(f"sha256:{number}", number if created is None else created, (), labels, (f"opensora:{number}",))


def archive_of(tmp_path, key, layers=("sha256:l",), image_id=ID):
    folder = tmp_path / "archive"
    folder.mkdir()
    parts = write_parts(compress([b"image"], "gzip"), folder, os.getuid())
    return ImageArchive(str(folder), parts, "gzip", 5, image_id, 5, key, layers, "classic").as_dict()


@pytest.fixture
def loading(engine):
    """An engine that loads whatever it gets as the image of a build key."""
    engine.loads = LocalImage(ID, 9, (), {})
    engine.layers_of = {ID: ["sha256:l"]}

    def load(chunks):
        assert b"".join(chunks) == b"image"
        engine.calls.append(("load",))
        engine.listing.insert(0, engine.loads)

    engine.load = load
    return engine


def test_an_archive_is_loaded_verified_and_then_named(run, loading, tmp_path):
    key = key_of(run)
    loading.loads = LocalImage(ID, 9, (), {BUILD_KEY_LABEL: key})
    result = run(build="never", archive=archive_of(tmp_path, key))
    assert (result["changed"], result["action"], result["reference"]) == (True, "receive", ID)
    assert loading.calls == [("load",), ("tag", ID, f"opensora:{key}")]


def test_another_image_store_has_another_id(run, loading, tmp_path):
    key = key_of(run)
    loading.loads = LocalImage("sha256:manifest", 9, (), {BUILD_KEY_LABEL: key})
    loading.layers_of, loading.image_store = {"sha256:manifest": ["sha256:l"]}, "containerd"
    result = run(archive=archive_of(tmp_path, key))
    assert (result["action"], result["reference"]) == ("receive", "sha256:manifest")


def test_an_image_that_is_another_one_gets_no_name_and_does_not_stay(run, loading, tmp_path):
    key = key_of(run)
    loading.loads = LocalImage(ID, 9, (), {BUILD_KEY_LABEL: key})
    result = run(archive=archive_of(tmp_path, key, layers=("sha256:other",)))
    assert result["failed"]
    assert result["problems"][0]["code"] == "image.receive_failed"
    assert "not the one that was saved" in result["msg"]
    assert loading.calls == [("load",), ("remove", ID)]


def test_a_host_that_has_the_image_loads_nothing(run, loading, tmp_path):
    key = key_of(run)
    loading.listing = [LocalImage(ID, 1, (), {BUILD_KEY_LABEL: key})]
    assert run(archive=archive_of(tmp_path, key))["action"] == "none"
    assert loading.calls == []


def test_a_damaged_archive_leaves_nothing(run, loading, tmp_path):
    archive = archive_of(tmp_path, key_of(run))
    (tmp_path / "archive" / "part-00000").write_bytes(b"damaged")
    result = run(archive=archive)
    assert result["failed"]
    assert result["problems"][0]["layer"] == "image"
    assert "arrived damaged" in result["msg"]


def builds(engine, tmp_path, monkeypatch, key):
    """Have `docker` add the image of a key to the engine."""
    docker(tmp_path, monkeypatch, 'echo "$@" >> "$(dirname "$0")/arguments"; env > "$(dirname "$0")/environment"')
    listing = engine.listing
    made = LocalImage(ID, 99, (), {BUILD_KEY_LABEL: key}, (f"opensora:{key}",))
    engine.images = lambda *_: [made, *listing] if (tmp_path / "bin/arguments").exists() else list(listing)


def test_older_images_go_and_are_told_before(run, engine, tmp_path, monkeypatch):
    engine.listing = [older(3), older(2), older(1)]
    engine.used = {"sha256:1"}
    predicted = run(_ansible_check_mode=True, keep=1)
    assert predicted["removed"] == ["opensora:2", "opensora:3"]
    assert engine.calls == []
    builds(engine, tmp_path, monkeypatch, predicted["build_key"])
    result = run(keep=1, _ansible_diff=True)
    assert result["removed"] == predicted["removed"]
    assert result["diff"]["before"].endswith("older image: opensora:2\nolder image: opensora:3\n")
    assert engine.calls == [("remove", "sha256:2"), ("remove", "sha256:3")]


def test_an_image_that_can_not_be_removed_is_a_warning(run, engine, tmp_path, monkeypatch):
    engine.listing = [older(3), older(2), older(1)]
    warnings = []
    monkeypatch.setattr(opensora_image.AnsibleModule, "warn", lambda _, text: warnings.append(text))
    engine.remove = lambda image: "conflict: image is being used"
    builds(engine, tmp_path, monkeypatch, key_of(run))
    result = run()
    assert (result["changed"], result["removed"]) == (True, [])
    assert warnings == [
        "opensora_image: the older image opensora:1 could not be removed: conflict: image is being used"
    ]


def test_nothing_is_removed_where_nothing_was_provided(run, engine):
    key = key_of(run)
    engine.listing = [LocalImage(ID, 9, (), {BUILD_KEY_LABEL: key}), older(3), older(2), older(1)]
    result = run(keep=1)
    assert (result["changed"], result["removed"], engine.calls) == (False, [], [])


def test_keep_is_at_least_one(run, engine):
    assert "keep is 0, allowed is 1 or more" in run(keep=0)["msg"]


def test_a_cache_that_the_builder_can_not_write(run, engine, tmp_path, monkeypatch):
    wanted = {"cache_to": ["type=registry,ref=registry.example/c"]}
    predicted = run(_ansible_check_mode=True, **wanted)
    assert [problem["code"] for problem in predicted["problems"]] == ["engine.no_cache_export"]
    builds(engine, tmp_path, monkeypatch, predicted["build_key"])
    result = run(**wanted)
    assert result["failed"]
    assert result["problems"][0]["layer"] == "engine"
    assert not (tmp_path / "bin/arguments").exists()
    engine.image_store = "containerd"
    assert run(**wanted)["changed"]


def test_a_cache_that_can_not_be_read_is_left_out(run, engine, tmp_path, monkeypatch):
    key = key_of(run, cache_from=["type=registry,ref=registry.example/c"])
    builds(engine, tmp_path, monkeypatch, key)
    vertex = {
        "digest": "a",
        "name": "importing cache manifest from registry.example/c",
        "started": "2026-01-01T00:00:00Z",
        "completed": "2026-01-01T00:00:01Z",
        "error": "connection refused",
    }
    (tmp_path / "vertex").write_text(json.dumps({"vertexes": [vertex]}))
    command = tmp_path / "bin" / "docker"
    fails = f'case "$*" in *cache-from*) cat {tmp_path}/vertex >&2; echo >&2; exit 1;; esac'
    command.write_text(command.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\n{fails}\n"))
    result = run(cache_from=["type=registry,ref=registry.example/c"])
    assert (result["changed"], result["build_key"]) == (True, key)
    assert "--cache-from" not in (tmp_path / "bin/arguments").read_text()


SECRETS = {
    "build_secrets": {"token": "planted-secret-1"},
    "registry": "registry.example/site",
    "registry_username": "me",
    "registry_password": "planted-pass-1",
}


def test_secrets_reach_the_builder_by_file_alone(run, engine, registry, tmp_path, monkeypatch):
    monkeypatch.setattr(opensora_image, "private_folder", lambda: private_folder(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    key = key_of(run, **SECRETS)
    builds(engine, tmp_path, monkeypatch, key)
    images = engine.images
    pushed = LocalImage(ID, 99, (f"registry.example/site/opensora@{DIGEST}",), {BUILD_KEY_LABEL: key})
    engine.push = lambda *_: setattr(engine, "images", lambda *_: [pushed, *images()])
    command = tmp_path / "bin" / "docker"
    copies = f'cp -a "$DOCKER_CONFIG" {tmp_path}/copy; echo "step says planted-secret-1" >&2'
    command.write_text(command.read_text() + f"{copies}\n")
    result = run(**SECRETS, _progress_path=str(tmp_path / "progress"))
    assert result["changed"], result
    copy = tmp_path / "copy"
    assert (copy / "secret-token").read_text() == "planted-secret-1"
    assert stored_authorization((copy / "config.json").read_text(), "registry.example")
    assert list((tmp_path / "run").iterdir()) == []
    seen = [json.dumps(result), (tmp_path / "bin/arguments").read_text(), (tmp_path / "bin/environment").read_text()]
    seen += [path.read_text() for path in (tmp_path / "logs").iterdir()]
    seen += [path.read_text() for path in (tmp_path / "image").rglob("*") if path.is_file()]
    seen.append((tmp_path / "progress").read_text())
    assert "planted" not in "".join(seen)
    assert "step says ********" in "".join(seen)
    assert "id=token,src=" in seen[1]


def test_a_password_is_no_part_of_the_key(run, engine):
    assert key_of(run) != key_of(run, build_secrets={"token": "abcdefghi"})
    assert key_of(run, build_secrets={"token": "abcdefghi"}) == key_of(run, build_secrets={"token": "another-one"})
    assert key_of(run) == key_of(run, registry_username="me", keep=5, cache_to=["x"])


def test_a_secret_in_a_failure_is_hidden(run, engine, tmp_path, monkeypatch):
    docker(tmp_path, monkeypatch, 'echo "ERROR: https://me:planted-secret-1@git.example/ not found" >&2; exit 1')
    result = run(build_secrets={"token": "planted-secret-1"})
    assert result["failed"]
    assert "git.example" in result["msg"]
    assert "planted" not in json.dumps(result)


def test_an_id_that_is_none(run, engine):
    assert "build_secrets is 'a,b'" in run(build_secrets={"a,b": "x"})["msg"]


def test_a_rebuild_runs_every_step(run, engine, tmp_path, monkeypatch):
    key = key_of(run)
    engine.listing = [LocalImage("sha256:before", 1, (), {BUILD_KEY_LABEL: key}, (f"opensora:{key}",))]
    builds(engine, tmp_path, monkeypatch, key)
    result = run(build="always")
    assert (result["action"], result["id"]) == ("build", ID)
    assert "--no-cache" in (tmp_path / "bin/arguments").read_text()


def test_what_another_run_made_meanwhile_is_not_built_again(run, engine, tmp_path, monkeypatch):
    """A run that lost its connection goes on at the host; the next one waits for it, even to build anew."""
    key = key_of(run)
    made = LocalImage(ID, 5, (), {BUILD_KEY_LABEL: key})
    docker(tmp_path, monkeypatch, 'touch "$(dirname "$0")/called"')

    @contextmanager
    def other_run_first(path, deadline, reporter):
        engine.listing = [made]
        yield Turn(-1, waited=True)

    monkeypatch.setattr(opensora_image, "exclusive", other_run_first)
    for build in ("missing", "always"):
        engine.listing = []
        result = run(build=build)
        assert (result["changed"], result["action"], result["id"]) == (False, "none", ID)
    assert not (tmp_path / "bin/called").exists()


def test_a_signal_ends_the_task_in_words(run, engine, monkeypatch):
    def end(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(opensora_image.ImageTask, "_act", end)
    result = run()
    assert result["failed"]
    assert "ended by a signal" in result["msg"]


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({}, []),
        ({"dockerfile": "FROM x\nRUN y\n"}, ["dockerfile"]),
        ({"context": {"a.txt": "2"}}, ["context/a.txt"]),
        ({"build_arguments": {"VERSION": "2"}}, ["build-argument/VERSION"]),
        ({"base_images": {"base": "sha256:2"}}, ["base-image/base"]),
        ({"build_secrets": {"netrc": "abcdefghi"}}, ["build-secret/netrc"]),
        ({"effort_arguments": {"MAX_JOBS": "9"}, "cache_from": ["x"], "keep": 7}, []),
    ],
)
def test_diff_names_exactly_the_inputs_that_changed(run_module, engine, tmp_path, changed, names):
    wish = {
        "name": "opensora",
        "dockerfile": "FROM x\n",
        "context": {"a.txt": "1"},
        "build_arguments": {"VERSION": "1"},
        "base_images": {"base": "sha256:1"},
        "directory": str(tmp_path),
        "_ansible_check_mode": True,
        "_ansible_diff": True,
    }
    inputs = opensora_image.build_inputs(
        **{name: wish[name] for name in ("dockerfile", "context", "build_arguments", "base_images")},
        revision="",
        target="",
        platform="linux/amd64",
    )
    labels = {BUILD_KEY_LABEL: opensora_image.build_key(inputs), INPUTS_LABEL: json.dumps(inputs)}
    engine.listing = [
        # A younger image of another name is no measure.
        LocalImage("sha256:2", 2, (), {BUILD_KEY_LABEL: "x", INPUTS_LABEL: "{}"}, ("another:1",)),
        LocalImage(ID, 1, (), labels, ("opensora:1",)),
    ]
    result = run_module(opensora_image, **{**wish, **changed})
    assert result["changed_inputs"] == names
    assert result["changed"] == bool(names)
    shown = result["diff"]["before"] + result["diff"]["after"]
    assert {line.split(": ")[0] for line in shown.splitlines()} == set(names)


def test_words_of_the_command_are_no_cause(run, engine, tmp_path, monkeypatch):
    error = 'process "/bin/sh -c make || echo no space left on device" did not complete successfully: exit code: 2'
    vertex = {"digest": "a", "name": "[1/1] RUN make", "started": "2026-01-01T00:00:00Z", "error": error}
    (tmp_path / "vertex").write_text(json.dumps({"vertexes": [{**vertex, "completed": "2026-01-01T00:00:01Z"}]}) + "\n")
    docker(tmp_path, monkeypatch, f"cat {tmp_path}/vertex >&2; exit 1")
    result = run()
    assert result["cause"]["code"] == "unknown"
    assert "(exit code 2)" in result["msg"]
    assert "no space" not in result["msg"]
