#!/usr/bin/env bash
# Make .venv with everything the project needs. Does nothing where that is done already.
#
#   bash scripts/setup.sh                     with the newest Python of 3.10 to 3.13 that is found
#   PYTHON=/path/to/python bash scripts/setup.sh
#
# Writes nothing outside this folder and needs no root. Exit 2: something is missing, and named.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$root/scripts/help.sh"
no_options "${BASH_SOURCE[0]}" "$@"
venv=$root/.venv
stamp=$venv/.complete
needed_gb=8

fail() {
    echo "setup.sh: error: $*" >&2
    exit 2
}

# What is installed is up to date when none of these has changed since.
wanted() {
    made_of "$root"
    echo "${PYTHON:-$1}" # no wish for a Python: the one that is installed will do
}

is_up_to_date() {
    [ -f "$stamp" ] && [ -x "$venv/bin/python" ] &&
        [ "$(wanted "$(tail -n 1 "$stamp")")" = "$(cat "$stamp")" ]
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null || fail "PYTHON=$PYTHON: there is no such program"
        is_in_range "$PYTHON" || fail "PYTHON=$PYTHON is not one of Python 3.10 to 3.13"
        echo "$PYTHON"
        return
    fi
    local name
    for name in $pythons; do
        if command -v "$name" >/dev/null && is_in_range "$name"; then
            echo "$name"
            return
        fi
    done
    fail "no Python from 3.10 to 3.13 found; install one, or name it: PYTHON=/path/to/python"
}

# A link may lead to a bigger disk, but not to what another copy of the project still uses.
check_link() {
    local owner
    if [ -L "$venv" ] && owner=$(head -n 1 "$stamp" 2>/dev/null) && [ "$owner" != "$root" ]; then
        fail "$venv is a link to the environment of $owner, which set-up would empty;" \
            "remove the link: rm '$venv'"
    fi
}

check_disk() {
    local free installed=0
    free=$(df -Pk "$root" | awk 'NR == 2 { print $4 }')
    [ -d "$venv" ] && installed=$(du -sk "$venv" | cut -f1)
    if [ $((free + installed)) -lt $((needed_gb * 1024 * 1024)) ]; then
        fail "$root has $((free / 1024 / 1024)) GB of free disk space and needs $needed_gb GB"
    fi
}

install() {
    local log=$venv/setup.log
    mkdir -p "$venv/tmp"
    # pip would keep a cache in the user's home, and unpack in /tmp, which may be small.
    if ! TMPDIR=$venv/tmp PIP_DISABLE_PIP_VERSION_CHECK=1 "$venv/bin/python" -m pip install \
        --no-cache-dir --progress-bar off --editable "$root[train,torch,paddle,export,fast,dev]" >"$log" 2>&1; then
        grep -E '^ERROR' "$log" | head -n 3 >&2 || true
        if grep -qiE 'connection|resolve|timed out|network|SSLError|from versions: none' "$log"; then
            fail "the packages cannot be downloaded; check the network (or proxy) and try again" \
                "(whole output: $log)"
        fi
        fail "the packages cannot be installed; the whole output is in $log"
    fi
    rm -rf "$venv/tmp"
}

main() {
    is_up_to_date && return
    exec 9>"$root/.venv.lock" || fail "$root cannot be written to"
    if command -v flock >/dev/null; then
        flock 9 # a second set-up waits for the first
        is_up_to_date && return
    fi

    local python
    check_link
    python=$(find_python)
    check_disk
    echo "setting up $venv with $("$python" --version) (once, a few minutes, $needed_gb GB of disk)"
    rm -f "$stamp"
    "$python" -m venv --clear "$venv" || fail "$python cannot make virtual environments;" \
        "install its venv module (Debian and Ubuntu: apt install python3-venv)"
    install
    wanted "$python" >"$stamp"
    echo "setup complete"
}

main
