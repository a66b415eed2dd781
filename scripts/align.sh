#!/usr/bin/env bash
# Check every step of the port, from a fresh clone; sets up on first use.
#
#   bash scripts/align.sh [any option of tools/align.py]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
bash "$root/scripts/setup.sh"
exec "$root/.venv/bin/python" "$root/tools/align.py" "$@"
