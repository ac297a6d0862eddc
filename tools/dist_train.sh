#!/usr/bin/env bash
# Train on several GPUs of one machine, or of several machines.
#
# Usage: bash tools/dist_train.sh CONFIG GPUS [TRAIN_ARGS...]
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 bash tools/dist_train.sh ...
set -euo pipefail

if (($# < 2)); then
    echo "usage: bash $0 CONFIG GPUS [TRAIN_ARGS...]" >&2
    exit 2
fi
config=$1
gpus=$2
shift 2

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" "$root/tools/train.py" "$config" \
    --gpus "$gpus" "$@"
