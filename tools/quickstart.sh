#!/usr/bin/env bash
# From a fresh clone to a trained, scored and drawn model, on a CPU.
#
# Usage: bash tools/quickstart.sh [-- TRAIN_ARGS...]
#   bash tools/quickstart.sh -- --cfg-options train_cfg.max_iters=100
#
# Five steps: environment, data set, training, scoring, table. What is there
# already is used again, and after an interruption the same command goes on
# from the last checkpoint.
#
# Knobs:
#   MMDIT_QUICKSTART_DIR      folder of data/ and work_dirs/ (the repository)
#   QUICKSTART_SYNTHREF_ARGS  arguments for the data set, split at spaces
#   MMDIT_ENV, PYTHON         see tools/env.sh
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=env.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"

train_args=()
if (($# > 0)); then
    [[ $1 == -- ]] || die "unknown argument $1; usage: bash" \
        'tools/quickstart.sh [-- TRAIN_ARGS...]'
    shift
    train_args=("$@")
fi
read -r -a data_args <<<"${QUICKSTART_SYNTHREF_ARGS:-}"

data=data/synthref
work=work_dirs/quickstart
config=$MMDIT_ROOT/configs/synthref/ldit_tiny_synthref-64x64.py
# The state of a run, beside what train.py writes. Each file holds a hash of
# what its step depends on, and is written when that step has finished.
begun_file=$work/quickstart.begun
trained_file=$work/quickstart.trained
scored_file=$work/quickstart.scored

trap 'say ""; say "Interrupted: the same command goes on from here."; exit 130' INT

# Print a hash of the resolved config, the data set, the package and $@.
run_hash() {
    python - "$config" "$data" "$MMDIT_ROOT" "$@" <<'PY'
import hashlib
import json
import sys
from pathlib import Path

from mmengine.config import Config

config, data, root, *train_args = sys.argv[1:]
resolved = Config.fromfile(config).to_dict()
digest = hashlib.sha256()
for part in (resolved, train_args):
    digest.update(json.dumps(part, sort_keys=True, default=str).encode())
digest.update(Path(data, 'synthref.json').read_bytes())
for path in sorted(Path(root, 'mmdit').rglob('*.py')):
    digest.update(str(path.relative_to(root)).encode())
    digest.update(path.read_bytes())
print(digest.hexdigest())
PY
}

# Whether file $1 holds exactly the text $2.
holds() { [[ -f $1 && $(<"$1") == "$2" ]]; }

# Print the path of the last checkpoint, or nothing where none is complete.
last_checkpoint() {
    local named=''
    if [[ -f $work/last_checkpoint ]]; then
        named=$work/$(<"$work/last_checkpoint")
    fi
    if [[ -f $named ]]; then
        printf '%s' "$named"
    fi
}

# Move the work dir aside unless training can go on in it for hash $1.
keep_or_move_aside() {
    local old reason=''
    if ! holds "$begun_file" "$1"; then
        reason='of another configuration, data set or code version'
    elif [[ -f $work/last_checkpoint && -z $(last_checkpoint) ]]; then
        # Killed after the old checkpoint was removed, before a new one.
        reason='without a usable checkpoint'
    fi
    if [[ -n $reason && -n $(ls -A -- "$work" 2>/dev/null) ]]; then
        old=$work.$(date +%Y%m%d-%H%M%S).old
        mv -- "$work" "$old"
        say "      $work holds a run $reason: moved to $old"
    fi
    mkdir -p -- "$work"
    say "$1" >"$begun_file"
}

train() {
    keep_or_move_aside "$1"
    rm -f -- "$trained_file" "$scored_file"
    python "$MMDIT_ROOT/tools/train.py" "$config" --work-dir "$work" \
        --resume ${train_args[@]+"${train_args[@]}"}
    [[ -n $(last_checkpoint) ]] ||
        die "training ended without a checkpoint in $work"
    say "$1" >"$trained_file"
}

# Score checkpoint $1 into the rows $2; further arguments go to test.py.
score() {
    local checkpoint=$1 out=$2
    shift 2
    python "$MMDIT_ROOT/tools/test.py" "$config" "$checkpoint" \
        --work-dir "$work" --out "$out" "$@"
    [[ -f $out ]] || die "scoring ended without $out"
}

prepare_environment '[1/5]'
mkdir -p -- "${MMDIT_QUICKSTART_DIR:-$MMDIT_ROOT}"
cd -- "${MMDIT_QUICKSTART_DIR:-$MMDIT_ROOT}" # data_root is relative

start_step "[2/5] Data set ($data)"
python -m mmdit synthref "$data" \
    ${data_args[@]+"${data_args[@]}"}
finish_step

hash=$(run_hash ${train_args[@]+"${train_args[@]}"})
spent=0
begun=$SECONDS
if holds "$trained_file" "$hash" && [[ -n $(last_checkpoint) ]]; then
    start_step "[3/5] Training ($work): reused, finished before"
elif holds "$begun_file" "$hash" && [[ -n $(last_checkpoint) ]]; then
    start_step "[3/5] Training ($work): going on from" \
        "$(basename -- "$(last_checkpoint)")"
    train "$hash"
else
    start_step "[3/5] Training ($work): from the beginning"
    train "$hash"
fi
finish_step
spent=$((SECONDS - begun))

checkpoint=$(last_checkpoint)
scored_key="$hash $(basename -- "$checkpoint")"
rows=$work/results.json
shuffled=$work/results_shuffled.json
overlays=$work/overlays
begun=$SECONDS
if holds "$scored_file" "$scored_key" && [[ -f $rows && -f $shuffled ]]; then
    start_step "[4/5] Scoring: reused, made from this checkpoint before"
else
    start_step "[4/5] Scoring $checkpoint, then the same with shuffled" \
        'expressions'
    rm -rf -- "$scored_file" "$overlays"
    score "$checkpoint" "$rows" --show-dir "$overlays"
    score "$checkpoint" "$shuffled" \
        --cfg-options test_dataloader.dataset.shuffle_expressions=True
    say "$scored_key" >"$scored_file"
fi
finish_step
spent=$((spent + SECONDS - begun))

start_step '[5/5] Results'
python "$MMDIT_ROOT/tools/analysis_tools/print_results.py" \
    "expressions as written=$rows" "shuffled (control)=$shuffled" \
    --overlays "$overlays"
say ''
say "Training and scoring took $(duration "$spent") in this run."
say ''
say "Now try, in $PWD:"
# The environment is left when this script ends.
command=$ENV_DIR/bin/mmdit
say "  $command segment $MMDIT_ROOT/demo/scene.png 'the blue star'"
say "  $command web"
say "  $command report $rows --overlays $overlays --out report.html"
say 'The model knows drawn scenes of colored shapes; no photographs.'
