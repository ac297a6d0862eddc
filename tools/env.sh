#!/usr/bin/env bash
# The Python environment of the scripts in this folder: venv and pip, and a
# note of what was installed.
#
# Sourced by run_tests.sh and quickstart.sh, which then call
# `prepare_environment HEADER`; `bash tools/env.sh` alone only prepares it.
#
# Which environment, the first that applies:
#   1. MMDIT_ENV         a folder; the environment is created where absent
#   2. VIRTUAL_ENV       the active virtual environment
#   3. CONDA_PREFIX      the active conda environment
#   4. .venv             in the root of the repository, created where absent
# PYTHON (default python3) is the interpreter that creates one.
#
# What is installed: the versions of requirements/lock.txt into 1 and 4, what
# the requirements need into 2 and 3. MMDIT_RESOLUTION chooses others, as
# uv names them: lowest-direct is the oldest stated version of everything,
# highest the newest that there is.

MMDIT_ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)

say() { printf '%s\n' "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Print seconds $1 as '42 s' or '3 min 07 s'.
duration() {
    if (($1 < 60)); then
        printf '%d s' "$1"
    else
        printf '%d min %02d s' $(($1 / 60)) $(($1 % 60))
    fi
}

# Open a step with the line $*; finish_step closes it with the elapsed time.
start_step() {
    _step_start=$SECONDS
    say ''
    say "$*"
}

finish_step() { say "      done in $(duration $((SECONDS - _step_start)))"; }

# Set ENV_DIR, the environment to use, and ENV_OURS, whether we may make it.
select_environment() {
    ENV_OURS=false
    ENV_DIR=${MMDIT_ENV:-${VIRTUAL_ENV:-${CONDA_PREFIX:-}}}
    if [[ -n ${MMDIT_ENV:-} || -z $ENV_DIR ]]; then
        ENV_DIR=${ENV_DIR:-$MMDIT_ROOT/.venv} ENV_OURS=true
    fi
    [[ $ENV_DIR == /* ]] || ENV_DIR=$PWD/$ENV_DIR
    ENV_PYTHON=$ENV_DIR/bin/python
}

_pip() { "$ENV_PYTHON" -m pip --disable-pip-version-check "$@"; }

# Create the environment, or complete one whose making was interrupted.
make_environment() {
    local python=${PYTHON:-python3}
    _pip --version &>/dev/null && return
    $ENV_OURS || die "$ENV_DIR has no working Python with pip;" \
        'deactivate it, or set MMDIT_ENV'
    [[ -z $(ls -A -- "$ENV_DIR") || -f $ENV_DIR/pyvenv.cfg ]] ||
        die "$ENV_DIR is not empty and no environment;" \
            'name another folder with MMDIT_ENV'
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "Python 3.10 or newer is needed, but PYTHON is $python"
    "$python" -m venv "$ENV_DIR" || die "'$python -m venv' failed; install" \
        'its venv module (on Debian, the package python3-venv)'
}

# Print what the environment has to agree with: lists, resolution and Python.
environment_key() {
    cd -- "$MMDIT_ROOT"
    cat requirements.txt requirements/*.txt setup.py | "$ENV_PYTHON" -c '
import hashlib, sys
text = sys.stdin.read() + sys.version + sys.argv[1]
print(hashlib.sha256(text.encode()).hexdigest())' "${MMDIT_RESOLUTION:-}"
}

install_requirements() {
    local files=(-r "$MMDIT_ROOT/requirements.txt") pip=(_pip install)
    if _pip show -q mmengine mmcv mmcv-lite mmsegmentation &>/dev/null; then
        die "$ENV_DIR has upstream's MM packages, which those of" \
            'requirements/mminstall.txt would overwrite; deactivate it, or' \
            'set MMDIT_ENV'
    fi
    if [[ -n ${MMDIT_RESOLUTION:-} ]]; then
        _pip install --quiet uv
        pip=("$ENV_PYTHON" -m uv pip install --upgrade --python "$ENV_PYTHON"
            --resolution "$MMDIT_RESOLUTION")
    elif $ENV_OURS; then
        files+=(-c "$MMDIT_ROOT/requirements/lock.txt")
    fi
    # The link serves those who use the environment by hand.
    "${pip[@]}" "${files[@]}" -e "$MMDIT_ROOT"
    "$ENV_PYTHON" -c 'import segment_anything, mmseg' ||
        die 'what was installed cannot be imported. Do torch and torchvision' \
            'not match? Then: pip install --force-reinstall torch' \
            'torchvision, both from the same index'
}

# Prepare the environment and put it first: PATH, VIRTUAL_ENV, PYTHONPATH.
prepare_environment() {
    local key python_path=${PYTHONPATH:-}
    # pip would take an egg-info folder on PYTHONPATH for installed packages.
    unset PYTHONPATH PYTHONHOME
    select_environment
    $ENV_OURS && mkdir -p -- "$ENV_DIR"
    [[ -d $ENV_DIR ]] || die "$ENV_DIR is not there; deactivate it"
    ENV_STAMP=$ENV_DIR/.mmdit-installed
    # Two runs at once must not install into one environment.
    exec 9<"$ENV_DIR"
    ! command -v flock >/dev/null || flock 9
    start_step "$1 Environment: $ENV_DIR"
    if ! "$ENV_PYTHON" -c pass 2>/dev/null || [[ ! -f $ENV_STAMP ]]; then
        make_environment
    fi
    key="$(environment_key) $MMDIT_ROOT"
    if [[ ! -f $ENV_STAMP || $(<"$ENV_STAMP") != "$key" ]]; then
        say '      installing, usually 2-4 minutes when it is new'
        rm -f -- "$ENV_STAMP"
        install_requirements
        say "$key" >"$ENV_STAMP"
    fi
    exec 9<&-
    export PATH="$ENV_DIR/bin:$PATH"
    export PYTHONPATH="$MMDIT_ROOT${python_path:+:$python_path}"
    [[ ! -f $ENV_DIR/pyvenv.cfg ]] || export VIRTUAL_ENV=$ENV_DIR
    finish_step
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    set -euo pipefail
    prepare_environment '[1/1]'
fi
