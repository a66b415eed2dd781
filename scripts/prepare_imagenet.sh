#!/usr/bin/env bash
# Lay the official ImageNet archives out as train/<wnid>/* and val/<wnid>/*; sets up on first use.
#
#   bash scripts/prepare_imagenet.sh ARCHIVES DIR
#
# ARCHIVES holds ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz.
# All options: bash scripts/prepare_imagenet.sh --help
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$root/scripts/help.sh"
help_before_setup "${BASH_SOURCE[0]}" "$@"
bash "$root/scripts/setup.sh"
exec "$root/.venv/bin/python" "$root/scripts/prepare_imagenet.py" "$@"
