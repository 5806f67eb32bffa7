#!/bin/sh
# Locks what the image installs from the Python package index: exact versions, every file by hash, no index address.
# Needs uv. Run it after a change of a *.in file, then build the image: its checks tell whether the set works.
#
# What comes from PyTorch's CUDA index is resolved but not written: with `--no-deps` the image can't replace it.
set -eu
cd "$(dirname "$0")"

lock() {
    name=$1
    output=$2
    shift 2
    uv pip compile --quiet --upgrade --no-config --no-annotate --generate-hashes \
        --python-version 3.10 --python-platform x86_64-manylinux_2_28 \
        --custom-compile-command "$(basename "$PWD")/lock.sh" "$@" "$name" --output-file "$output"
}

from_cuda_index="torch torchvision triton xformers
    nvidia-cublas-cu12 nvidia-cuda-cupti-cu12 nvidia-cuda-nvrtc-cu12 nvidia-cuda-runtime-cu12 nvidia-cudnn-cu12
    nvidia-cufft-cu12 nvidia-curand-cu12 nvidia-cusolver-cu12 nvidia-cusparse-cu12 nvidia-nccl-cu12
    nvidia-nvjitlink-cu12 nvidia-nvtx-cu12"
set --
for package in $from_cuda_index; do
    set -- "$@" --no-emit-package "$package"
done
lock open-sora-2.0.in open-sora-2.0-python3.10.txt "$@"
lock build-tools.in build-tools.txt
lock uv.in uv.txt
