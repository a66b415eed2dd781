#!/usr/bin/env bash
# Run every test; sets up on first use. Options go to pytest: bash scripts/test.sh -k presets
# Two files of tests run at a time; -n 0 runs one after the other, which -s and --pdb need.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
bash "$root/scripts/setup.sh"
cd "$root"
exec .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
