#!/usr/bin/env bash
# Evaluate torchvision's published weights in both frameworks on ImageNet; sets up on first use.
#
#   bash scripts/evaluate_published.sh --data-path DIR      # the pictures lie in DIR/val/<class>/
#
# All options: bash scripts/evaluate_published.sh --help
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
bash "$root/scripts/setup.sh"
exec "$root/.venv/bin/python" "$root/tools/evaluate_published.py" "$@"
