#!/usr/bin/env bash
# Build the disk image of the virtual machines, only when its recipe is new, and say as JSON which it is:
#   {"image": "/…/.cache/test-images/virtual-machine-HASH.raw", "built": true}
#
# Debian 13 with its own full kernel, whose headers and compiler are there, as they are in the images of those who rent out
# GPU machines. The kernel and the initial RAM disk are inside; virtual_machine.py hands them to QEMU before each boot.
#
# usage: build_image.sh CACHE_FOLDER
set -euo pipefail

cache=$1
here=$(cd "$(dirname "$0")" && pwd)
resources=$(dirname "$here")
system_files=$resources/images/system-host/files
gpu_files=$resources/stand-ins/gpu
packages=ca-certificates,dbus,dkms,initramfs-tools,iproute2,kmod,linux-headers-amd64,linux-image-amd64,openssh-server,procps
packages+=,python3,python3-apt,sudo,systemd,systemd-sysv,udev,zstd
size=6G

hash=$(
  {
    echo "$packages $size"
    # Not the whole mode: a clone has its own umask, and an image that is there must be found from every clone.
    cd "$resources"
    find virtual-machine/build_image.sh virtual-machine/files images/system-host/files stand-ins/gpu -type f ! -path '*/__pycache__/*' \
      -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
  } | sha256sum | cut -c1-16
)
image=$cache/virtual-machine-$hash.raw
if [[ -s $image ]]; then
  printf '{"image": "%s", "built": false}\n' "$image"
  exit 0
fi

mkdir -p "$cache"
rm -f "$cache"/virtual-machine-*.raw
root=$(mktemp -d "$cache/virtual-machine-root.XXXXXX")
trap 'rm -rf "$root"' EXIT
# The environment of this machine (its certificate paths above all) means nothing inside the new system.
# shellcheck disable=SC2016  # $1 is for the hook's shell: the root of the new system
env -i PATH="$PATH" TERM=dumb HERE="$here" SYSTEM_FILES="$system_files" GPU_FILES="$gpu_files" mmdebstrap --quiet --variant=minbase \
  --include="$packages" --aptopt='Acquire::Retries "3"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --essential-hook='cp -a --no-preserve=ownership "$HERE/files/." "$1/"' \
  --customize-hook='cp -a --no-preserve=ownership "$SYSTEM_FILES/." "$1/" && rm "$1"/usr/local/sbin/test-host-init' \
  --customize-hook='mkdir -p "$1/usr/lib/gpu-stand-in" && cp -r --no-preserve=ownership "$GPU_FILES/." "$1/usr/lib/gpu-stand-in/"' \
  --customize-hook='mv "$1/usr/lib/gpu-stand-in/gpu-stand-in.service" "$1/etc/systemd/system/"' \
  --customize-hook='rm -f "$1"/etc/hostname "$1"/etc/ssh/ssh_host_* "$1"/etc/machine-id && touch "$1/etc/machine-id"' \
  --customize-hook='ln -sfn /etc/opensora-site-test-host/resolv.conf "$1/etc/resolv.conf"' \
  --customize-hook='chroot "$1" systemctl enable --quiet gpu-stand-in.service systemd-networkd.service ssh.service test-host-identity.service' \
  --customize-hook='chroot "$1" systemctl disable --quiet apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer' \
  trixie "$root" >&2
truncate --size "$size" "$image.part"
mke2fs -q -t ext4 -d "$root" "$image.part" >&2
mv "$image.part" "$image"
printf '{"image": "%s", "built": true}\n' "$image"
