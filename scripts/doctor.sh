#!/usr/bin/env bash
# Say what is installed, what is missing, and what to do. Changes nothing.
#
#   bash scripts/doctor.sh
#
# Exit 0: everything needed is there; 1: something is missing, and named.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/help.sh"
no_options "${BASH_SOURCE[0]}" "$@"
missing=0

ok() { printf 'ok        %s\n' "$*"; }
absent() {
    printf 'MISSING   %s\n' "$*"
    missing=1
}
optional() { printf 'optional  %s\n' "$*"; }

system=$(uname -s)
if [ "$system" = Linux ]; then ok "$system $(uname -m), $(nproc) cores"; else
    absent "Linux: this is $system; use a Linux machine, or a virtual one"
fi

python=
for name in "${PYTHON:-}" $pythons; do
    if [ -n "$name" ] && command -v "$name" >/dev/null && is_in_range "$name"; then
        python=$name
        break
    fi
done
if [ -n "$python" ]; then ok "$("$python" --version) ($(command -v "$python"))"; else
    absent "Python 3.10 to 3.13: install one, or name it: PYTHON=/path/to/python bash scripts/setup.sh"
fi

memory=$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo 2>/dev/null || echo 0)
if [ "$memory" -ge 4 ]; then ok "$memory GB of free memory"; else
    optional "$memory GB of free memory; training takes about 4: close other programs"
fi

free=$(df -Pk "$root" | awk 'NR == 2 { print int($4 / 1048576) }')
if [ -x "$root/.venv/bin/python" ] && [ -f "$root/.venv/.complete" ]; then
    if [ "$free" -ge 2 ]; then ok "$free GB of free disk"; else
        optional "$free GB of free disk; a run takes 1 to 2: delete folders in runs/ or .cache/"
    fi
    "$root/.venv/bin/python" "$root/scripts/doctor.py" || missing=1
else
    if [ "$free" -ge 8 ]; then ok "$free GB of free disk"; else
        absent "8 GB of free disk: $root has $free"
    fi
    absent ".venv is not set up, or only half: bash scripts/setup.sh"
fi

if command -v g++ >/dev/null; then ok "g++, for --compile in PyTorch"; else
    optional "g++, for --compile in PyTorch (Debian and Ubuntu: apt install g++)"
fi
if [ -d "$root/data/sample/train" ]; then ok "the sample images are drawn"; else
    optional "the sample images: they are drawn at first use"
fi

if [ "$missing" -ne 0 ]; then
    echo "something is missing: do what stands beside MISSING, then run this again"
else
    echo "all is there: bash scripts/train.sh --framework paddle"
fi
exit "$missing"
