#!/usr/bin/env bash
# Make a prepared copy of an image folder, from which train.py --cache reads; sets up on first use.
#
#   bash scripts/prepare_cache.sh DIR [--size 256] [--output DIR]
#
# All options: bash scripts/prepare_cache.sh --help
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/help.sh"
run_python -m common.data.prepared_copy "$@"
