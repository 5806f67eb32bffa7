# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The module against a real web server that cuts, corrupts, ignores ranges, changes its files and has moods."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import threading
import time
from types import SimpleNamespace

import opensora_checkpoint
import pytest
from ansible.module_utils.opensora import checkpoint_state, checkpoint_transfer, host_lock
from ansible.module_utils.opensora.checkpoint_manifest import folder_files
from ansible.module_utils.opensora.host_lock import Reporter, exclusive

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_planted-token-0123456789"  # noqa: S105 (of nobody)
WRONG = "hf_wrong-token-0123456789"
BIG, SMALL = "Open_Sora_v2.safetensors", "google/t5-v1_1-xxl/config.json"
BIG_BYTES = 300_000


def load_server(root):
    place = root / "molecule/checkpoint/files/weights_server.py"
    spec = importlib.util.spec_from_file_location("weights_server", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def server(root, tmp_path):
    folder = tmp_path / "served"
    (folder / SMALL).parent.mkdir(parents=True)
    (folder / BIG).write_bytes(hashlib.shake_128(b"weights").digest(BIG_BYTES))
    (folder / SMALL).write_bytes(b'{"d_model": 4096}')
    (folder / "empty.txt").write_bytes(b"")
    server = load_server(root).WeightsServer(folder, commit=COMMIT)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def manifest(server):
    files = folder_files(server.folder, [])
    return {"repository": "hpcai-tech/Open-Sora-v2", "revision": COMMIT, "files": [vars(file) for file in files]}


@pytest.fixture
def site(server, manifest, tmp_path, run_module, monkeypatch):
    """A host with a folder, and what runs of the module say of it."""
    pauses = []
    monkeypatch.setattr(checkpoint_transfer.Fetcher.__init__, "__kwdefaults__", {"sleep": pauses.append})
    lines = tmp_path / "progress"
    lines.touch()
    directory = tmp_path / "srv/ckpts"

    def run(**different):
        arguments = {
            "manifest": manifest,
            "directory": str(directory),
            "source": "mirror",
            "mirror_url": f"{server.url}/files",
            "reserve_bytes": 0,
            "retries": 3,
            "_progress_path": str(lines),
            **different,
        }
        return run_module(opensora_checkpoint, **arguments)

    return SimpleNamespace(run=run, directory=directory, lines=lines, pauses=pauses, path=directory / BIG)


def content(folder):
    """What is published."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and checkpoint_state.STATE_FOLDER not in path.parts
    }


def is_right(site, server):
    return content(site.directory) == content(server.folder)


def codes(result):
    return [problem["code"] for problem in result["problems"]]


def test_fetch_then_nothing(site, server):
    result = site.run()
    assert result["changed"] is True
    assert result["action"] == "fetch"
    assert sorted(result["fetched"]) == sorted([BIG, SMALL, "empty.txt"])
    assert result["fetched_bytes"] == BIG_BYTES + 17
    assert result["checkpoint"]["complete"] is True
    assert is_right(site, server)
    assert {path.stat().st_mode & 0o777 for path in site.directory.rglob("*.safetensors")} == {0o644}
    assert list((site.directory / ".opensora-checkpoint/parts").iterdir()) == []
    server.behave()
    again = site.run()
    assert (again["changed"], again["action"], again["fetched"], again["wanted"]) == (False, "none", [], [])
    assert server.served == []
    assert f"1/3 {BIG} 100 % of 0 MiB" in site.lines.read_text()


def test_check_mode_changes_nothing_and_asks_nobody(site, server):
    result = site.run(_ansible_check_mode=True)
    assert (result["changed"], result["action"], result["room_bytes"]) == (True, "fetch", BIG_BYTES + 17)
    assert not site.directory.exists()
    assert server.served == []
    site.run()
    assert site.run(_ansible_check_mode=True)["changed"] is False


@pytest.mark.parametrize("damage", ["truncate", "alter", "alter and put the times back", "remove", "link"])
def test_only_the_damaged_file_is_fetched_again(site, server, damage, tmp_path):
    site.run()
    server.behave()
    before = site.path.stat()
    if damage == "truncate":
        os.truncate(site.path, 1000)
    elif damage == "remove":
        site.path.unlink()
    elif damage == "link":
        (tmp_path / "elsewhere").write_bytes(site.path.read_bytes())
        site.path.unlink()
        site.path.symlink_to(tmp_path / "elsewhere")
    else:
        time.sleep(0.02)
        with site.path.open("r+b") as file:
            file.seek(77)
            file.write(b"\0\0\0\0")
        if damage != "alter":
            os.utime(site.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    result = site.run()
    assert result["fetched"] == [BIG]
    assert [entry["path"] for entry in server.served] == [BIG]
    assert is_right(site, server)
    assert BIG in result["diff"]["before"]
    assert site.run()["changed"] is False


def test_a_cut_connection_goes_on_where_it_was_cut(site, server):
    server.behave(cuts=[100_000, 100_000])
    assert site.run()["changed"] is True
    assert is_right(site, server)
    assert [(entry["begin"], entry["bytes"]) for entry in server.served if entry["path"] == BIG] == [
        (0, 100_000),
        (100_000, 100_000),
        (200_000, 100_000),
    ]
    assert "cut at byte 100000 of 300000; asking again in 1 s" in site.lines.read_text()


def test_another_run_goes_on_where_one_ended(site, server):
    server.behave(cuts=[120_000, 0])
    first = site.run(retries=0)
    assert codes(first) == ["checkpoint.unreachable"]
    assert first["failed"] is True
    assert not site.path.exists()
    server.behave()
    assert site.run()["fetched_bytes"] == BIG_BYTES - 120_000 + 17
    assert server.bytes_of(BIG) == BIG_BYTES - 120_000
    assert is_right(site, server)


def test_a_server_that_always_cuts_early_is_given_up(site, server):
    server.behave(cut_after=0)
    result = site.run()
    assert codes(result) == ["checkpoint.unreachable"]
    assert site.pauses == [2.0, 4.0, 8.0]
    assert "run again when it is mended" in result["msg"]


def test_a_server_that_ignores_ranges_sends_all_again(site, server):
    server.behave(cuts=[100_000, 0])
    site.run(retries=0)
    server.behave(ignore_ranges=True)
    site.run()
    assert is_right(site, server)
    assert server.bytes_of(BIG) == BIG_BYTES


def test_a_server_that_ignores_ranges_and_cuts_is_given_up(site, server):
    server.behave(ignore_ranges=True, cut_after=100_000)
    assert codes(site.run()) == ["checkpoint.unreachable"]
    # The first time brought something, the next ones nothing that was not there before.
    assert len([entry for entry in server.served if entry["path"] == BIG]) == 5


def test_a_file_that_changed_between_is_fetched_from_its_beginning(site, server):
    server.behave(cuts=[100_000, 0])
    right = (server.folder / BIG).read_bytes()
    (server.folder / BIG).write_bytes(b"x" * BIG_BYTES)
    site.run(retries=0)
    (server.folder / BIG).write_bytes(right)
    server.behave(tag="two")
    site.run()
    assert is_right(site, server)
    assert [entry["begin"] for entry in server.served if entry["path"] == BIG] == [0]


def test_a_damaged_beginning_is_fetched_again_where_the_server_promises_nothing(site, server):
    right = (server.folder / BIG).read_bytes()
    server.behave(cuts=[100_000, 0], weak_tags=True)
    (server.folder / BIG).write_bytes(b"x" * BIG_BYTES)
    site.run(retries=0)
    (server.folder / BIG).write_bytes(right)
    server.behave(weak_tags=True)
    assert site.run()["changed"] is True
    assert is_right(site, server)
    assert [entry["begin"] for entry in server.served if entry["path"] == BIG] == [100_000, 0]


def test_a_corrupted_mirror_is_refused_and_the_old_file_stays(site, server, manifest):
    site.run()
    os.truncate(site.path, 1000)
    old = site.path.read_bytes()
    server.behave(corrupt=[BIG])
    result = site.run()
    assert codes(result) == ["checkpoint.digest_differs"]
    wanted = next(file["sha256"] for file in manifest["files"] if file["path"] == BIG)
    damaged = bytearray((server.folder / BIG).read_bytes())
    damaged[BIG_BYTES // 2] ^= 0xFF
    assert f"sha256 {hashlib.sha256(damaged).hexdigest()}, expected is {wanted}" in result["msg"]
    assert site.path.read_bytes() == old
    assert server.bytes_of(BIG) == BIG_BYTES  # once; there was no beginning to be blamed
    assert list((site.directory / ".opensora-checkpoint/parts").iterdir()) == []
    # What is between two manifests is not called complete.
    assert not (site.directory / ".opensora-checkpoint/complete.json").exists()
    server.behave()
    assert site.run()["fetched"] == [BIG]


@pytest.mark.parametrize("change", [b"", b"more"])
def test_a_file_of_another_size_is_refused_before_it_is_fetched(site, server, change):
    (server.folder / BIG).write_bytes((server.folder / BIG).read_bytes()[: 1000 if not change else None] + change)
    result = site.run()
    assert codes(result) == ["checkpoint.size_differs"]
    assert "the manifest says 300000" in result["msg"]
    assert site.pauses == []


@pytest.mark.parametrize(
    ("statuses", "retry_after", "pauses"), [([503], 7, [7.0]), ([429, 500], 0, [2.0, 4.0]), ([503], 9999, [300.0])]
)
def test_a_server_that_is_busy_is_asked_again(site, server, statuses, retry_after, pauses):
    server.behave(statuses=statuses, retry_after=retry_after)
    assert site.run()["changed"] is True
    assert site.pauses == pauses
    assert is_right(site, server)


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (401, "checkpoint.unauthorized", "Set opensora_checkpoint_token"),
        (403, "checkpoint.forbidden", "accept its licence"),
        (404, "checkpoint.not_found", "does not exist"),
        (400, "checkpoint.server_error", "HTTP 400"),
    ],
)
def test_a_refusal_is_final(site, server, status, code, says):
    server.behave(statuses=[status])
    result = site.run()
    assert codes(result) == [code]
    assert says in result["msg"]
    assert site.pauses == []
    assert len(server.served) == 1


def test_a_token_opens_and_is_shown_nowhere(site, server, tmp_path):
    server.behave(token=TOKEN)
    refused = site.run(token=WRONG)
    assert codes(refused) == ["checkpoint.unauthorized"]
    assert "refuses the token" in refused["msg"]
    result = site.run(token=TOKEN)
    assert is_right(site, server)
    written = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    assert TOKEN not in written + repr(result) + repr(refused)
    assert WRONG not in written + repr(refused)


def test_a_token_stays_with_its_server(site, server, manifest):
    """The hub's addresses redirect to a server of another name."""
    url = f"{server.url}/hpcai-tech/Open-Sora-v2/resolve/{COMMIT}"
    server.behave(token=TOKEN)
    assert site.run(mirror_url=url, token=TOKEN)["changed"] is True
    assert [entry["authorized"] for entry in server.served] == [False, False, False]
    assert is_right(site, server)


def test_a_signed_address_is_not_shown(site, server):
    url = f"{server.url}/hpcai-tech/Open-Sora-v2/resolve/{COMMIT}"
    server.behave(cut_after=0)
    result = site.run(mirror_url=url, retries=1)
    assert codes(result) == ["checkpoint.unreachable"]
    assert "signature" not in (repr(result) + site.lines.read_text()).lower()


def test_nobody_answers(site, server):
    result = site.run(mirror_url="http://127.0.0.1:9/files")
    assert codes(result) == ["checkpoint.unreachable"]
    assert "refused the connection" in result["msg"]


def test_too_little_room_is_refused_before_anything_is_asked(site, server):
    result = site.run(reserve_bytes=10**18)
    assert codes(result) == ["checkpoint.no_room"]
    assert server.served == []


def test_a_full_disk(site, server, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ansible.module_utils.opensora.checkpoint_mirror._copy", full)
    result = site.run()
    assert codes(result) == ["checkpoint.disk_full"]
    assert "is full: No space left on device" in result["msg"]


def test_the_time_is_over(site, server):
    server.behave(cut_after=100_000)
    result = site.run(timeout=0)
    assert codes(result) == ["checkpoint.timeout"]
    assert "of 0 MiB" in result["msg"]


def test_files_of_the_users_own(site, server):
    assert codes(site.run(source="none")) == ["checkpoint.incomplete"]
    assert not site.directory.exists()
    site.run()
    result = site.run(source="none")
    assert (result["changed"], result["problems"]) == (False, [])
    os.truncate(site.path, 5)
    result = site.run(source="none")
    assert f"{BIG}: it has 5 bytes, the manifest says 300000" in result["msg"]
    assert [entry["path"] for entry in result["wanted"]] == [BIG]


def test_files_that_are_there_already_are_adopted(site, server, tmp_path):
    for path, data in content(server.folder).items():
        (site.directory / path).parent.mkdir(parents=True, exist_ok=True)
        (site.directory / path).write_bytes(data)
    site.path.chmod(0o600)
    result = site.run()
    assert (result["action"], result["changed"]) == ("repair", True)
    assert site.path.stat().st_mode & 0o777 == 0o644
    assert server.served == []
    assert site.run()["changed"] is False


def test_another_manifest_fetches_what_differs(site, server, manifest):
    site.run()
    server.behave()
    (server.folder / SMALL).write_bytes(b"{}")
    files = [vars(file) for file in folder_files(server.folder, [])]
    result = site.run(manifest={**manifest, "revision": "f" * 40, "files": files})
    assert result["fetched"] == [SMALL]
    assert is_right(site, server)


def test_a_link_on_the_way_is_refused(site, server, tmp_path):
    site.directory.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (site.directory / "google").symlink_to(tmp_path / "elsewhere")
    assert codes(site.run()) == ["checkpoint.linked_folder"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_manifest_that_leads_out_is_refused(site, server, manifest, tmp_path):
    manifest["files"][0]["path"] = "../outside"
    result = site.run()
    assert "manifest: files[0].path is '../outside'" in result["msg"]
    assert codes(result) == ["variable.invalid"]
    assert not (tmp_path / "srv").exists()


def test_a_second_run_waits_for_the_first(site, server, monkeypatch):
    site.run()
    os.truncate(site.path, 5)
    monkeypatch.setattr(host_lock, "_POLL_SECONDS", 0.01)
    with exclusive(site.directory / ".opensora-checkpoint/lock", time.monotonic() + 9, Reporter(None)):
        result = site.run(timeout=0)
    assert codes(result) == ["checkpoint.locked"]
    assert f"process {os.getpid()}" in site.lines.read_text()
    assert site.run()["fetched"] == [BIG]


def test_parts_that_were_brought_are_verified_and_published(site, server, manifest):
    parts = site.directory / ".opensora-checkpoint/parts"
    parts.mkdir(parents=True, mode=0o700)
    for file in manifest["files"]:
        (parts / f"{file['sha256']}.part").write_bytes((server.folder / file["path"]).read_bytes())
    big = next(file["sha256"] for file in manifest["files"] if file["path"] == BIG)
    (parts / f"{big}.part").write_bytes(b"x" * BIG_BYTES)
    assert codes(site.run(source="parts")) == ["checkpoint.not_received"]
    (parts / f"{big}.part").write_bytes((server.folder / BIG).read_bytes())
    result = site.run(source="parts")
    assert result["changed"] is True
    assert server.served == []
    assert is_right(site, server)


def test_files_in_a_folder_that_can_not_be_written(site, server, monkeypatch):
    site.run()
    before = sorted(site.directory.rglob("*"))

    def refuse(_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(checkpoint_state.CheckpointFolder, "open", refuse)
    assert site.run(source="none")["problems"] == []
    assert sorted(site.directory.rglob("*")) == before
    os.truncate(site.path, 5)
    result = site.run()
    assert codes(result) == ["checkpoint.not_written"]
    assert "Read-only file system" in result["msg"]


def test_what_is_of_no_use_is_removed(site, server):
    site.run()
    left = site.directory / ".opensora-checkpoint/parts"
    (left / f"{'0' * 64}.part").write_bytes(b"x")
    (left / "hub").mkdir()
    assert site.run()["changed"] is False
    assert list(left.iterdir()) == []
