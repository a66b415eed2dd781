#!/usr/bin/env bash
# Lay the official ImageNet archives out as train/<wnid>/* and val/<wnid>/*; sets up on first use.
#
#   bash scripts/prepare_imagenet.sh ARCHIVES DIR
#
# ARCHIVES holds ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz.
# All options: bash scripts/prepare_imagenet.sh --help
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/help.sh"
run_python "$root/scripts/prepare_imagenet.py" "$@"
