#!/usr/bin/env bash
# Make a prepared copy of an image folder, from which train.py --cache reads; sets up on first use.
#
#   bash scripts/prepare_cache.sh DIR [--size 256] [--output DIR]
#
# All options: bash scripts/prepare_cache.sh --help
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$root/scripts/help.sh"
help_before_setup "${BASH_SOURCE[0]}" "$@"
bash "$root/scripts/setup.sh"
exec "$root/.venv/bin/python" -m common.data.prepared_copy "$@"
