#!/usr/bin/env bash
# Train AlexNet; sets up on first use.
#
#   bash scripts/train.sh --framework {torch,paddle} [--data-path DIR] [any option of train.py]
#   ... --processes N                                        N processes on this machine
#   ... --processes N --nodes M --node-rank R --master HOST:PORT    on each of M machines, R from 0
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/help.sh"

usage() {
    echo "train.sh: error: $*; usage: bash scripts/train.sh --framework {torch,paddle}" \
        "[--processes N] [--data-path DIR] [any option of train.py]" >&2
    exit 2
}

# Where the processes are, by the option's name.
framework= processes=unset nodes=1 node_rank=0 master=
options=()
while [ $# -gt 0 ]; do
    name=${1%%=*}
    case $name in
        --framework | --processes | --nodes | --node-rank | --master)
            if [ "$name" = "$1" ]; then
                [ $# -ge 2 ] || usage "$name needs a value"
                shift
            fi
            variable=${name#--}
            printf -v "${variable/-/_}" '%s' "${1#"$name="}"
            ;;
        *) options+=("$1") ;;
    esac
    shift
done

help_before_setup "${BASH_SOURCE[0]}" ${options[@]+"${options[@]}"}
case $framework in
    torch | paddle) ;;
    "")
        wants_help ${options[@]+"${options[@]}"} || usage "name the framework"
        show_head "${BASH_SOURCE[0]}" # what this script alone knows
        framework=torch               # the options are the same in both
        ;;
    *) usage "there is no framework '$framework'" ;;
esac
# Of Paddle on a processor, most of the time goes into work that one thread does: several processes
# of a thread or two each share the batch.
is_for_processors() {
    ! compgen -G "$root/.venv/lib/python*/site-packages/paddlepaddle_gpu-*" >/dev/null
}

fast_processes() {
    local count=1
    while [ $((2 * count)) -le "$(nproc)" ] && [ "$count" -lt 8 ]; do count=$((2 * count)); done
    echo "$count"
}

if [ "$processes" = unset ]; then
    processes=1
    if [ "$framework" = paddle ] && [ "$nodes" = 1 ] && [[ " ${options[*]-} " == *" --fast "* ]] &&
        ! wants_help "${options[@]}" && is_for_processors; then
        processes=$(fast_processes)
        options+=(--split-batch)
    fi
fi
[[ $processes =~ ^[1-9][0-9]*$ ]] || usage "--processes '$processes' is no whole number from 1"
[[ $nodes =~ ^[1-9][0-9]*$ ]] || usage "--nodes '$nodes' is no whole number from 1"
[[ $node_rank =~ ^[0-9]+$ ]] || usage "--node-rank '$node_rank' is no whole number from 0"
[ "$node_rank" -lt "$nodes" ] || usage "--node-rank $node_rank is not below --nodes $nodes"
if [ "$nodes" -gt 1 ]; then
    [[ $master =~ ^[^:]+:[0-9]+$ ]] || usage "--nodes $nodes needs --master HOST:PORT, of node 0"
fi

bash "$root/scripts/setup.sh"
python=$root/.venv/bin/python
train=$root/AlexNet-$framework/train.py

if [ "$processes" -eq 1 ] && [ "$nodes" -eq 1 ]; then
    exec "$python" "$train" ${options[@]+"${options[@]}"}
fi

# The processes share the cores of the machine, unless the user has said otherwise.
threads=$(($(nproc) / processes))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((threads > 0 ? threads : 1))}

if [ "$framework" = torch ]; then
    where=(--standalone)
    if [ "$nodes" -gt 1 ]; then
        where=(--nnodes "$nodes" --node-rank "$node_rank")
        where+=(--master-addr "${master%:*}" --master-port "${master##*:}")
    fi
    # torchrun, but for how it ends after a signal: the status of one, in place of a traceback.
    torchrun='
import sys
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.run import main
try:
    main()
except SignalException as end:
    sys.exit(128 + end.sigval)
'
    exec "$python" -c "$torchrun" --nproc-per-node "$processes" "${where[@]}" \
        "$train" ${options[@]+"${options[@]}"}
fi

# Paddle's launcher writes what each process says to a folder, and shows that of the first. It is in
# a session of its own: told twice to end, by Ctrl-C and from here, it would give no time to save.
logs=$(mktemp -d)
launcher= stopped=
trap 'rm -rf "$logs"' EXIT
for signal in INT TERM; do
    trap 'stopped='"$signal"'
        [ -z "$launcher" ] || kill -s '"$signal"' "$launcher" 2>/dev/null || true' "$signal"
done
where=()
if [ "$nodes" -gt 1 ]; then
    where=(--nnodes "$nodes" --rank "$node_rank" --master "$master")
fi
setsid "$python" -m paddle.distributed.launch --nproc_per_node "$processes" --log_dir "$logs" \
    ${where[@]+"${where[@]}"} "$train" ${options[@]+"${options[@]}"} &
launcher=$!
status=0
wait "$launcher" || status=$?
while kill -0 "$launcher" 2>/dev/null; do # a signal ends `wait` before the launcher ends
    status=0
    wait "$launcher" || status=$?
done
if [ "$status" -ne 0 ]; then
    # What the launcher does not show: the last words of the first process after a signal, a
    # mistake that another one found. Where there is neither, a process is gone.
    grep -hs '^stopped by ' "$logs/workerlog.0" >&2 ||
        grep -hs 'error: ' "$logs"/workerlog.[1-9]* | sort -u >&2 ||
        grep -qs 'error: ' "$logs/workerlog.0" ||
        [ -n "$stopped" ] ||
        echo "train.sh: error: a process of this job has ended (exit status $status), and the" \
            "others with it; start the job again with --resume auto" >&2
    case $stopped in INT) status=130 ;; TERM) status=143 ;; esac
fi
exit "$status"
