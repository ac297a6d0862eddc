#!/usr/bin/env bash
# Score a checkpoint on a cluster managed by Slurm.
#
# Usage: bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT \
#            [TEST_ARGS...]
# Knobs: GPUS, GPUS_PER_NODE, CPUS_PER_TASK, and SRUN_ARGS, split at spaces.
set -euo pipefail

if (($# < 4)); then
    echo "usage: bash $0 PARTITION JOB_NAME CONFIG CHECKPOINT" \
        "[TEST_ARGS...]" >&2
    exit 2
fi
partition=$1
job_name=$2
config=$3
checkpoint=$4
shift 4
gpus_per_node=${GPUS_PER_NODE:-4}
read -r -a srun_args <<<"${SRUN_ARGS:-}"

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec srun -p "$partition" \
    --job-name="$job_name" \
    --gres="gpu:$gpus_per_node" \
    --ntasks="${GPUS:-4}" \
    --ntasks-per-node="$gpus_per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${srun_args[@]+"${srun_args[@]}"} \
    "${PYTHON:-python}" -u "$root/tools/test.py" "$config" "$checkpoint" \
    --launcher slurm "$@"
