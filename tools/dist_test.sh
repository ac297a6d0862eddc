#!/usr/bin/env bash
# Score a checkpoint on several GPUs of one machine, or of several machines.
#
# Usage: bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [TEST_ARGS...]
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 bash tools/dist_test.sh ...
set -euo pipefail

if (($# < 3)); then
    echo "usage: bash $0 CONFIG CHECKPOINT GPUS [TEST_ARGS...]" >&2
    exit 2
fi
config=$1
checkpoint=$2
gpus=$3
shift 3

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" "$root/tools/test.py" "$config" "$checkpoint" \
    --gpus "$gpus" "$@"
