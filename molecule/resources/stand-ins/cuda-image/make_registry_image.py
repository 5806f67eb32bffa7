#!/usr/bin/env python3
"""Lay a root file system down as an image in the storage folder of a container registry (distribution 2.x).

The result stands in for NVIDIA's CUDA development image: Debian 13, minimal, with the environment of the real one and
without CUDA. Writing the registry's files directly needs no `docker push`, so nothing of the machine's engine changes.

usage: make_registry_image.py ROOT_FILE_SYSTEM.tar STORAGE_FOLDER
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import sys
from pathlib import Path

REPOSITORY = "cuda-stand-in"
TAGS = ("12.2.2-cudnn8-devel-debian13", "12.2.2-base-debian13")
CREATED = "2026-01-01T00:00:00Z"
ENVIRONMENT = [
    "PATH=/usr/local/nvidia/bin:/usr/local/cuda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "CUDA_VERSION=12.2.2",
    "NVIDIA_REQUIRE_CUDA=cuda>=12.2",
    "NVIDIA_VISIBLE_DEVICES=all",
    "NVIDIA_DRIVER_CAPABILITIES=compute,utility",
    "LIBRARY_PATH=/usr/local/cuda/lib64/stubs",
]
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


def main() -> None:
    root_tar, storage = Path(sys.argv[1]), Path(sys.argv[2]) / "docker" / "registry" / "v2"
    repository = storage / "repositories" / REPOSITORY

    def blob(data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        path = storage / "blobs" / "sha256" / digest[:2] / digest / "data"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return f"sha256:{digest}"

    def link(folder: Path, digest: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "link").write_text(digest, encoding="ascii")

    shutil.rmtree(storage, ignore_errors=True)
    tar = root_tar.read_bytes()
    layer = gzip.compress(tar, compresslevel=1, mtime=0)
    layer_digest = blob(layer)
    configuration = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": CREATED,
            "config": {
                "Env": ENVIRONMENT,
                "Cmd": ["/bin/bash"],
                "Labels": {
                    "org.opencontainers.image.title": "stand-in for nvidia/cuda:12.2.2-cudnn8-devel",
                    "org.opencontainers.image.description": "Debian 13 without CUDA, for the project's test hosts",
                },
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}"]},
            "history": [{"created": CREATED, "created_by": "mmdebstrap"}],
        },
        sort_keys=True,
    ).encode()
    configuration_digest = blob(configuration)
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": len(configuration),
                "digest": configuration_digest,
            },
            "layers": [
                {
                    "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                    "size": len(layer),
                    "digest": layer_digest,
                }
            ],
        },
        indent=1,
    ).encode()
    manifest_digest = blob(manifest)
    for digest in (layer_digest, configuration_digest):
        link(repository / "_layers" / "sha256" / digest.removeprefix("sha256:"), digest)
    plain = manifest_digest.removeprefix("sha256:")
    link(repository / "_manifests" / "revisions" / "sha256" / plain, manifest_digest)
    for tag in TAGS:
        link(repository / "_manifests" / "tags" / tag / "current", manifest_digest)
        link(repository / "_manifests" / "tags" / tag / "index" / "sha256" / plain, manifest_digest)
    print(f"{REPOSITORY}@{manifest_digest}, layer {len(layer) >> 20} MiB")


if __name__ == "__main__":
    main()
