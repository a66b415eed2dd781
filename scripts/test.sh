#!/usr/bin/env bash
# Run every test; sets up on first use.
#
#   bash scripts/test.sh                          a fault or two of each kind is planted
#   bash scripts/test.sh --all-faults             every fault, and what takes long: hours
#   bash scripts/test.sh tests/trees/test_optim.py -k momentum      any option of pytest
#
# Two files of tests run at a time; -n 0 runs one after the other, which -s and --pdb need.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/help.sh"
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    show_head "${BASH_SOURCE[0]}"
    exit
fi
bash "$root/scripts/setup.sh"
cd "$root"
exec .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
