#!/bin/sh
# Fetches exactly one commit of a git repository, without its history.
# Arguments: address, full commit id, folder.
set -eu
url=$1 commit=$2 folder=$3
# Neither an address nor what a server answers may name a program or a file of this machine.
export GIT_ALLOW_PROTOCOL="${GIT_ALLOW_PROTOCOL:-http:https}" GIT_TERMINAL_PROMPT=0

git -c init.defaultBranch=main init --quiet "$folder"
cd "$folder"
git fetch --quiet --no-recurse-submodules --depth 1 -- "$url" "$commit"
git -c advice.detachedHead=false checkout --quiet FETCH_HEAD
found=$(git rev-parse HEAD)
if [ "$found" != "$commit" ]; then
    echo "stage check failed: $url gave commit $found, wanted is $commit" >&2
    exit 1
fi
git submodule status | sed 's/^/not fetched: submodule /'
# The commit is a label of the image; without the history the layer depends on the content alone.
rm -rf .git
echo "$url at $commit: $(find . -type f | wc -l) files"
