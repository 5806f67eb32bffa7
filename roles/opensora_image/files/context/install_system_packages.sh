#!/bin/sh
# Installs packages of the distribution in an image stage. Everything it needs comes as environment variables:
#   APT_MIRROR_URL, APT_SECURITY_MIRROR_URL  mirrors of the distribution's own packages; empty leaves the base's
#   APT_RETRIES, APT_TIMEOUT                 tries of a download, seconds of silence
# Arguments: the packages.
set -eu

site_authorities=/usr/local/share/ca-certificates
system_bundle=/etc/ssl/certs/ca-certificates.crt
first_bundle=/tmp/first-ca-certificates.crt

configure_apt() {
    # Official base images delete every download, which would empty the build's cache.
    rm -f /etc/apt/apt.conf.d/docker-clean
    cat >/etc/apt/apt.conf.d/90opensora-site <<CONFIGURATION
Acquire::Retries "${APT_RETRIES}";
Acquire::http::Timeout "${APT_TIMEOUT}";
Acquire::https::Timeout "${APT_TIMEOUT}";
APT::Install-Recommends "false";
Binary::apt::APT::Keep-Downloaded-Packages "true";
CONFIGURATION
}

# The base may have no ca-certificates package yet, and the mirror that carries it may be signed by the site.
trust_site_for_apt() {
    ls "$site_authorities"/*.crt >/dev/null 2>&1 || return 0
    { cat "$system_bundle" 2>/dev/null || true; cat "$site_authorities"/*.crt; } >"$first_bundle"
    chmod 0644 "$first_bundle"
    echo "Acquire::https::CAInfo \"$first_bundle\";" >/etc/apt/apt.conf.d/91opensora-site-first-contact
}

# Only the distribution's own suites move: a vendor's repository in the base image is left alone. Which is which is
# told by the suite's name, so no server's name has to be known.
use_mirrors() {
    [ -n "${APT_MIRROR_URL}${APT_SECURITY_MIRROR_URL}" ] || return 0
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:?}")
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$file" ] || continue
        awk -v codename="$codename" -v mirror="$APT_MIRROR_URL" -v security="$APT_SECURITY_MIRROR_URL" '
            /^[ \t]*deb(-src)?[ \t]/ {
                at = ($2 ~ /^\[/) ? 0 : 2
                for (i = 2; !at && i <= NF; i++) if ($i ~ /\]$/) at = i + 1
                suite = $(at + 1)
                if (index(suite, codename) == 1) {
                    if (suite ~ /-security/) { if (security != "") $at = security }
                    else if (mirror != "") $at = mirror
                }
            }
            { print }' "$file" >"$file.new"
        mv "$file.new" "$file"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        awk -v codename="$codename" -v mirror="$APT_MIRROR_URL" -v security="$APT_SECURITY_MIRROR_URL" '
            BEGIN { RS = ""; ORS = "\n\n"; FS = "\n" }
            {
                suites = ""
                for (i = 1; i <= NF; i++) if ($i ~ /^Suites:/) suites = substr($i, 8)
                wanted = (suites ~ /-security/) ? security : mirror
                if (wanted != "" && suites ~ ("(^|[ \t])" codename))
                    for (i = 1; i <= NF; i++) if ($i ~ /^URIs:/) $i = "URIs: " wanted
                text = $1
                for (i = 2; i <= NF; i++) text = text "\n" $i
                print text
            }' "$file" >"$file.new"
        mv "$file.new" "$file"
    done
}

# Since the change to 64-bit times some libraries carry another name on newer releases: libaio1 is libaio1t64 there.
name_here() {
    if ! apt-cache show "$1" >/dev/null 2>&1 && apt-cache show "$1t64" >/dev/null 2>&1; then
        echo "$1t64"
    else
        echo "$1"
    fi
}

configure_apt
trust_site_for_apt
use_mirrors
export DEBIAN_FRONTEND=noninteractive
apt-get update
for package in "$@"; do
    set -- "$@" "$(name_here "$package")"
    shift
done
apt-get install --yes --no-install-recommends ca-certificates "$@"
update-ca-certificates
rm -f /etc/apt/apt.conf.d/91opensora-site-first-contact "$first_bundle"
