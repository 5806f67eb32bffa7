#!/usr/bin/env bash
# Build the images of the test hosts, each only when its recipe is new, and say as JSON which they are:
#   {"gpu_host": {"debian13": "opensora-site-test/gpu-host:HASH"}, "mirror": "opensora-site-test/mirror:HASH",
#    "built": ["mirror"], "engine": "29.1.0"}
#
# The chain, from the slowest-changing to the fastest:
#   mmdebstrap (Debian 13, minimal) -> base -> system-host (systemd, SSH) -> gpu-host (GPU stand-in)
#                                                                         -> mirror   (servers and what they serve)
# and for each other system that a host asks for the same chain up to its gpu-host, under names of its own (gpu-host-debian12).
# A tag is the hash of everything that goes into its image, so "is it there?" is one question to the engine.
#
# usage: build_images.sh CACHE_FOLDER PYTHON [SYSTEM...] [base=SYSTEM...]
#   PYTHON has pip, which fetches the wheels that the mirror serves; SYSTEM is debian13 (always built, the mirror's) or debian12.
#   base=SYSTEM only makes the root file system CACHE_FOLDER/debian-12-HASH.tar, for an image that a host builds upon.
set -euo pipefail

cache=$1 python=$2
shift 2
declare -A codenames=([debian13]=trixie [debian12]=bookworm)
systems=(debian13)
bases=()
for word in "$@"; do
  system=${word#base=}
  [[ -n ${codenames[$system]:-} ]] || { echo "a test host's system is '$system', allowed is one of ${!codenames[*]}" >&2; exit 1; }
  if [[ $word == base=* ]]; then
    bases+=("$system")
  elif [[ " ${systems[*]} " != *" $system "* ]]; then
    systems+=("$system")
  fi
done
here=$(cd "$(dirname "$0")" && pwd)
resources=$(dirname "$here")
project=$(cd "$resources/../.." && pwd)
# shellcheck disable=SC2016  # $1 is for the hook's shell: the root of the new system
base_options=(--variant=minbase --include=ca-certificates --format=tar --aptopt='Acquire::Retries "3"'
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*'
  --dpkgopt='path-exclude=/usr/share/locale/*' --customize-hook='rm -f "$1/etc/resolv.conf" "$1/etc/hostname"')
# Images serve every test site of this machine; this label is how they are found again.
label=(--label org.opensora-site.test-site=shared)
built=()
mkdir -p "$cache"

say() { printf '%s\n' "$*" >&2; }

# One hash over the words before "--" and over names, what is executable and contents of the files below the paths after it.
recipe_hash() {
  local words=()
  while [[ $1 != -- ]]; do words+=("$1"); shift; done
  shift
  {
    printf '%s\n' "${words[@]}"
    # Not the whole mode: a clone has its own umask, and an image that is there must be found from every clone.
    (cd "$project" && find "$@" -type f -perm -u+x ! -path '*/__pycache__/*' -print -o -type l -printf '%p -> %l\n') | LC_ALL=C sort
    (cd "$project" && find "$@" -type f ! -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
  } | sha256sum | cut -c1-16
}

have() { docker image inspect "$1" >/dev/null 2>&1; }

# What the Python index holds: what the roles install on hosts and into images, and what the stand-ins need.
locks=(requirements/docker-sdk.txt roles/opensora_image/files/requirements/{uv,build-tools}.txt
  molecule/resources/stand-ins/open-sora/requirements.lock molecule/resources/stand-ins/python-index/requirements.txt)
declare -A base_tar base system_host gpu_host
for system in "${systems[@]}" "${bases[@]}"; do
  base_hash=$(printf '%s\n' "${codenames[$system]}" "${base_options[@]}" | sha256sum | cut -c1-16)
  system_hash=$(recipe_hash "$base_hash" -- molecule/resources/images/system-host)
  gpu_hash=$(recipe_hash "$system_hash" -- molecule/resources/images/gpu-host molecule/resources/stand-ins/gpu)
  suffix=${system#debian13}
  suffix=${suffix:+-$suffix}
  base_tar[$system]=$cache/debian-${system#debian}-$base_hash.tar
  base[$system]=opensora-site-test/base$suffix:$base_hash
  system_host[$system]=opensora-site-test/system-host$suffix:$system_hash
  gpu_host[$system]=opensora-site-test/gpu-host$suffix:$gpu_hash
done
mirror_hash=$(recipe_hash "${system_host[debian13]##*:}" -- molecule/resources/images/mirror "${locks[@]}" \
  molecule/resources/stand-ins/{cuda-image,gpu,vendor-packages,python-index})
mirror=opensora-site-test/mirror:$mirror_hash

build_base_tar() { # SYSTEM
  local tar=${base_tar[$1]}
  [[ -s $tar ]] && return
  say "${tar##*/}: a root file system (mmdebstrap)"
  rm -f "${tar%-*}"-*.tar
  # The environment of this machine (its certificate paths above all) means nothing inside the new system.
  env -i PATH="$PATH" TERM=dumb mmdebstrap --quiet "${base_options[@]}" "${codenames[$1]}" "$tar.part" >&2
  mv "$tar.part" "$tar"
}

build_base() { # SYSTEM
  have "${base[$1]}" && return
  build_base_tar "$1"
  docker import --change "LABEL org.opensora-site.test-site=shared" "${base_tar[$1]}" "${base[$1]}" >/dev/null
  built+=(base)
}

# build TAG CONTEXT RECIPE_FOLDER FROM: a plain `docker build`, which every engine has, with or without BuildKit.
build() {
  say "$1"
  docker build --force-rm "${label[@]}" --build-arg "BASE=$4" --tag "$1" --file "$3/Dockerfile" "$2" >"$cache/build.log" 2>&1 || {
    tail -n 40 "$cache/build.log" >&2
    say "the image $1 could not be built; the whole log: $cache/build.log"
    exit 1
  }
}

# Images of this recipe's earlier versions; one that a host still uses stays.
remove_older() { # TAG
  local image
  docker image ls --format '{{.Repository}}:{{.Tag}}' "${1%:*}" | while read -r image; do
    [[ $image == "$1" ]] || docker image rm "$image" >/dev/null 2>&1 || true
  done
}

build_system() { # SYSTEM
  local image=${system_host[$1]}
  have "$image" && return
  build_base "$1"
  build "$image" "$here/system-host" "$here/system-host" "${base[$1]}"
  remove_older "$image"
  built+=(system-host)
}

build_gpu_host() { # SYSTEM
  local image=${gpu_host[$1]}
  have "$image" && return
  build_system "$1"
  build "$image" "$resources" "$here/gpu-host" "${system_host[$1]}"
  remove_older "$image"
  built+=(gpu-host)
}

build_mirror() {
  have "$mirror" && return
  build_system debian13
  build_base_tar debian13
  local context=$cache/mirror-context
  rm -rf "$context"
  mkdir -p "$context/wheels"
  say "Python packages for the mirror's index"
  # The index serves Debian 13's Python 3.13; every file is checked against the lock.
  local lock
  for lock in "${locks[@]}"; do
    "$python" -m pip --quiet --disable-pip-version-check download --no-deps --require-hashes --only-binary=:all: --python-version 3.13 \
      --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
      --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --dest "$context/wheels" --requirement "$project/$lock" >&2
  done
  "$python" "$resources/stand-ins/python-index/build_stand_in_wheels.py" "$resources/stand-ins/python-index/packages" \
    "$context/stand-in-wheels" >&2
  "$python" "$resources/stand-ins/python-index/make_index.py" --wheels "$context/wheels" --stand-ins "$context/stand-in-wheels" \
    --output "$context/www" >&2
  say "the stand-in of the CUDA base image"
  "$python" "$resources/stand-ins/cuda-image/make_registry_image.py" "${base_tar[debian13]}" "$context/registry" >&2
  cp -a "$here/mirror/." "$context/"
  cp -a "$resources/stand-ins/vendor-packages" "$context/vendor-packages"
  # The driver's stand-in packages bring its nvidia-smi and its libraries.
  cp -a "$resources/stand-ins/gpu" "$context/gpu"
  build "$mirror" "$context" "$context" "${system_host[debian13]}"
  rm -rf "$context"
  remove_older "$mirror"
  built+=(mirror)
}

for system in "${bases[@]}"; do build_base_tar "$system"; done
for system in "${systems[@]}"; do build_gpu_host "$system"; done
build_mirror

# members KEY VALUE...: the pairs as members of a JSON object
members() {
  local text=""
  while [[ $# -gt 0 ]]; do text+="${text:+, }\"$1\": \"$2\""; shift 2; done
  printf '%s' "$text"
}

names=""
for name in "${built[@]}"; do names+="${names:+, }\"$name\""; done
hosts=()
for system in "${systems[@]}"; do hosts+=("$system" "${gpu_host[$system]}"); done
printf '{"gpu_host": {%s}, "mirror": "%s", "built": [%s], "engine": "%s"}\n' "$(members "${hosts[@]}")" "$mirror" "$names" \
  "$(docker version --format '{{.Server.Version}}')"
