#!/usr/bin/env bash
# What a release goes through, without uploading anything: sdist and wheel are
# built and checked, then installed as users install them.
#
# Usage: bash tools/release_rehearsal.sh [PYTHON...]
#   bash tools/release_rehearsal.sh python3.10 python3.13
#
# For each Python (default: python3), outside of the checkout: the wheel of an
# earlier commit trains a small model; the new wheel replaces it and segments
# with that model; a missing extra (but lora) is named; with all of them a
# model is trained, scored, exported and the web page is built.
#
# Knobs:
#   PREVIOUS         the earlier commit (default: 100 before HEAD)
#   REHEARSAL_DIR    where it works (default: a folder that is removed)
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=env.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"

pythons=("${@:-${PYTHON:-python3}}")
previous=${PREVIOUS:-HEAD~100}
work=${REHEARSAL_DIR:-}
if [[ -z $work ]]; then
    work=$(mktemp -d)
    trap 'rm -rf -- "$work"' EXIT
fi
mkdir -p -- "$work/dist" "$work/old"
work=$(cd -- "$work" && pwd -P)
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
export HF_HUB_OFFLINE=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# Run a command; show what it printed only where it fails.
quietly() {
    "$@" >"$work/log" 2>&1 || {
        cat -- "$work/log" >&2
        die "failed: $*"
    }
}

# The command $2... must fail and print the text $1, without a traceback.
fails_with() {
    local text=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        die "did not fail: $*"
    fi
    if ! grep -qF -- "$text" "$work/log" ||
        grep -q '^Traceback' "$work/log"; then
        cat -- "$work/log" >&2
        die "expected one line with '$text' of: $*"
    fi
    say "      $(grep -F -- "$text" "$work/log" | tail -n 1)"
}

build() {
    "${pythons[0]}" -m venv "$work/build"
    local python=$work/build/bin/python
    quietly "$python" -m pip install build twine uv
    git -C "$MMDIT_ROOT" archive HEAD --prefix=new/ | tar -x -C "$work"
    git -C "$MMDIT_ROOT" archive "$previous" --prefix=old/ | tar -x -C "$work"
    # Its version has to be a lower one.
    say "__version__ = '0.0.1'" >"$work/old/mmdit/version.py"
    quietly "$python" -m build --outdir "$work/dist" "$work/new"
    quietly "$python" -m twine check --strict "$work"/dist/*
    quietly "$python" -m build --wheel --outdir "$work/old" "$work/old"
    wheel=$(echo "$work"/dist/*.whl)
    rm -rf -- "$work/new"
}

# Train for an iteration and segment the scene, both in the folder $1.
train_and_segment() {
    (cd -- "$1" && quietly mmdit train ldit_tiny_synthref-64x64 \
        --work-dir run --cfg-options train_cfg.max_iters=1)
    segment "$1/run" "$1/masks"
}

segment() {
    quietly mmdit segment "$MMDIT_ROOT/demo/scene.png" 'the blue star' \
        --model "$1" --out-dir "$2"
    [[ -s $2/predictions.json ]] || die "no predictions in $2"
}

# Install into the environment of the Python at hand; uv, because its copies of
# PyTorch share one place on the disk.
install() {
    quietly "$work/build/bin/uv" pip install --python "$env/bin/python" \
        --constraint "$MMDIT_ROOT/requirements/lock.txt" "$@"
}

# Everything that one Python goes through, in its own environment.
rehearse() {
    local env=$work/env
    start_step "$("$1" --version): the wheel of $previous"
    rm -rf -- "$env" "$work/user"
    mkdir -p -- "$work/user"
    cd -- "$work/user"
    "$1" -m venv "$env"
    PATH=$env/bin:$PATH
    install "$wheel"
    fails_with 'pip install onedl-mmengine' \
        mmdit segment "$MMDIT_ROOT/demo/scene.png" star --model run
    install transformers -r "$MMDIT_ROOT/requirements/mminstall.txt"
    quietly mmdit synthref old/data/synthref --train 4 --val 2
    cp -r -- old new
    install "$(echo "$work"/old/*.whl)"
    train_and_segment old
    finish_step

    start_step '      The new wheel in its place'
    install "$wheel"
    quietly "$work/build/bin/uv" pip uninstall --python "$env/bin/python" \
        transformers
    mmdit --version
    quietly mmdit --help
    printf '\0\0\0\030ftypheic\0\0\0\0mif1heic' >photo.heic
    fails_with 'mmdit-seg[bert]' \
        mmdit segment photo.heic red --model old/run
    fails_with 'mmdit-seg[web]' mmdit web
    fails_with 'mmdit-seg[gdown]' \
        mmdit convert https://drive.google.com/file/d/abc/view out.pth
    install "${wheel}[bert]"
    fails_with 'mmdit-seg[heif]' \
        mmdit segment photo.heic red --model old/run
    fails_with 'mmdit-seg[onnx]' mmdit export old/run/*.py \
        old/run/iter_1.pth --out-dir exported
    segment old/run again
    cmp -s old/masks/predictions.json again/predictions.json ||
        say '      its masks differ from those of the earlier version'
    finish_step

    start_step '      All extras'
    install "${wheel}[bert,gdown,heif,lora,onnx,web]"
    quietly pip check
    train_and_segment new
    (cd -- new && quietly mmdit test run/*.py run/iter_1.pth --out rows.json)
    quietly mmdit export new/run/*.py new/run/iter_1.pth --out-dir exported
    quietly python -c 'import mmdit.web, gradio, peft, pillow_heif, gdown'
    pip list | grep -E '^(torch|numpy|transformers|gradio) '
    finish_step
    cd -- "$work"
    rm -rf -- "$env" "$work/user"
}

start_step "Sdist and wheel of $(git -C "$MMDIT_ROOT" rev-parse --short HEAD)"
build
ls -- "$work/dist"
finish_step
for python in "${pythons[@]}"; do
    (rehearse "$python")
done
say ''
say "passed: ${pythons[*]}"
