#!/usr/bin/env bash
# Evaluate torchvision's published weights in both frameworks on ImageNet; sets up on first use.
#
#   bash scripts/evaluate_published.sh --data-path DIR      # the images lie in DIR/val/<class>/
#
# Exit 0: as published (other images or weights: both frameworks alike); 1: not; 2: wrong usage or bad
# input.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/help.sh"
run_python "$root/tools/evaluate_published.py" "$@"
