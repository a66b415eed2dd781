#!/usr/bin/env bash
# Train AlexNet; sets up on first use.
#
#   bash scripts/train.sh --framework {torch,paddle} [--data-path DIR] [any option of train.py]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

usage() {
    echo "train.sh: error: $*; usage: bash scripts/train.sh --framework {torch,paddle}" \
        "[--data-path DIR] [any option of train.py]" >&2
    exit 2
}

framework=
options=()
while [ $# -gt 0 ]; do
    case $1 in
        --framework)
            [ $# -ge 2 ] || usage "--framework needs a name"
            framework=$2
            shift
            ;;
        --framework=*) framework=${1#*=} ;;
        *) options+=("$1") ;;
    esac
    shift
done

case $framework in
    torch | paddle) ;;
    "")
        case " ${options[*]-} " in
            *" --help "* | *" -h "*) framework=torch ;; # the options are the same in both
            *) usage "name the framework" ;;
        esac
        ;;
    *) usage "there is no framework '$framework'" ;;
esac

bash "$root/scripts/setup.sh"
exec "$root/.venv/bin/python" "$root/AlexNet-$framework/train.py" ${options[@]+"${options[@]}"}
