#!/usr/bin/env bash
# Measure and test on a GPU in less than eight minutes, on a bare machine: one
# with torch, torchvision, transformers, OpenCV, SciPy, Matplotlib and pytest,
# but without a network.
#
# Usage: bash benchmarks/gpu.sh --pack     here: collect what it lacks
#        bash benchmarks/gpu.sh [ARGS...]  there: install it, run gpu.py ARGS
#
# WHEELS   folder of what is collected (work_dirs/gpu-wheels); it travels along
# PYTHON   interpreter (python3)
# TARGET   version of the other machine's Python (3.12)
set -euo pipefail

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
wheels=${WHEELS:-$root/work_dirs/gpu-wheels}
python=${PYTHON:-python3}
most=$((64 * 1024)) # KiB that may travel

pack() {
    local pip=("$python" -m pip --disable-pip-version-check)
    local names=$root/benchmarks/gpu_wheels.txt
    local lock=$root/requirements/lock.txt
    if [[ -d $wheels && ! -f $wheels/commit && $(ls -A -- "$wheels") ]]; then
        echo "error: $wheels holds other files; WHEELS must be a new folder" >&2
        exit 1
    fi
    rm -rf -- "$wheels"
    mkdir -p -- "$wheels"
    git -C "$root" rev-parse --short HEAD >"$wheels/commit"
    # Built here, because one of them comes as source only; pure Python.
    "${pip[@]}" wheel --quiet --no-deps --wheel-dir "$wheels" \
        --constraint "$lock" --requirement <(grep -v '# compiled' "$names")
    "${pip[@]}" download --quiet --no-deps --only-binary=:all: \
        --python-version "${TARGET:-3.12}" --implementation cp \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 \
        --platform manylinux2014_x86_64 --dest "$wheels" \
        --constraint "$lock" --requirement <(grep '# compiled' "$names")
    local size
    size=$(du -sk -- "$wheels" | cut -f1)
    if ((size > most)); then
        echo "error: $wheels has $size KiB, more than $most" >&2
        exit 1
    fi
    echo "$wheels: $(find "$wheels" -name '*.whl' | wc -l) wheels, $size KiB"
}

if [[ ${1:-} == --pack ]]; then
    pack
    exit
fi

export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} HF_HUB_OFFLINE=1
if [[ -d $wheels ]]; then
    site=$(mktemp -d)
    trap 'rm -rf -- "$site"' EXIT
    "$python" -m pip install --quiet --no-index --no-deps --no-compile \
        --no-cache-dir --target "$site" "$wheels"/*.whl
    export PYTHONPATH=$site:$PYTHONPATH
    MMDIT_COMMIT=$(<"$wheels/commit")
    export MMDIT_COMMIT
fi
"$python" "$root/benchmarks/gpu.py" "$@"
