#!/usr/bin/env bash
# Check every step of the port, from a fresh clone; sets up on first use.
#
#   bash scripts/align.sh [any option of tools/align.py]
#   bash scripts/align.sh --paddle-tree my-copy --report reports/mine
#
# Exit 0: aligned; 1: diverged; 2: wrong usage or bad input.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/help.sh"
run_python "$root/tools/align.py" "$@"
