#!/bin/sh
# Make the venv of a peer that a benchmark compares with: setup.sh NAME installs what NAME.txt pins, and prints the venv's python.
# It stands in STEPMARK_HOME/peers/NAME (default: var/peers/NAME). A no-op when nothing has changed.
set -eu
cd "$(dirname "$0")"
if [ $# -ne 1 ] || [ ! -f "$1.txt" ]; then
    printf 'Peers:' >&2
    for file in *.txt; do printf ' %s' "${file%.txt}" >&2; done
    printf '\nUse: setup.sh NAME\n' >&2
    exit 2
fi
venv=${STEPMARK_HOME:-$PWD/../../var}/peers/$1
wanted=$(cksum <"$1.txt")
if [ "$(cat "$venv/installed" 2>/dev/null || true)" != "$wanted" ]; then
    printf 'Installing the peer %s (once) ...\n' "$1" >&2
    rm -rf "$venv"
    mkdir -p "$venv"
    "${PYTHON:-python3}" -m venv "$venv"
    # PyTorch first and by itself: a later resolver must find it there, and never choose a build for another device.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$(grep '^torch==' "$1.txt")" >&2
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$1.txt" -r "$1.txt" >&2
    "$venv/bin/python" -m pip check >&2
    printf '%s' "$wanted" >"$venv/installed"
fi
printf '%s\n' "$venv/bin/python"
