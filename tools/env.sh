#!/usr/bin/env bash
# The Python environment of the scripts in this folder.
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
# When an install is complete, a key over the requirements, setup.py and the
# Python version is stored in the environment. The same key again means that
# nothing is installed; any other, or none, that everything is.

MMDIT_ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)

_made_file=.mmdit-made # 'making' or 'made': only then is the folder ours
_key_file=.mmdit-key
_link_file=.mmdit-link

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

# Set ENV_DIR and ENV_LABEL, the environment to use and how to call it.
select_environment() {
    ENV_MAY_CREATE=false
    if [[ -n ${MMDIT_ENV:-} ]]; then
        ENV_DIR=$MMDIT_ENV ENV_LABEL="MMDIT_ENV $MMDIT_ENV"
        ENV_MAY_CREATE=true
    elif [[ -n ${VIRTUAL_ENV:-} ]]; then
        ENV_DIR=$VIRTUAL_ENV ENV_LABEL="active venv $VIRTUAL_ENV"
    elif [[ -n ${CONDA_PREFIX:-} ]]; then
        ENV_DIR=$CONDA_PREFIX ENV_LABEL="active conda $CONDA_PREFIX"
    else
        ENV_DIR=$MMDIT_ROOT/.venv ENV_LABEL=.venv
        ENV_MAY_CREATE=true
    fi
    if [[ $ENV_DIR != /* ]]; then
        ENV_DIR=$PWD/$ENV_DIR
    fi
}

# Stop unless $1, called $2 in the message, is a new enough Python.
require_python() {
    local version
    version=$("$1" -c 'import platform; print(platform.python_version())') ||
        die "$2 does not run; set PYTHON to a Python 3.10 or newer"
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "Python 3.10 or newer is needed, but $2 is $version;" \
            "set PYTHON to a newer one"
}

is_environment() {
    [[ -f $ENV_DIR/pyvenv.cfg || -d $ENV_DIR/conda-meta ]] &&
        "$ENV_DIR/bin/python" -c pass 2>/dev/null
}

# A folder is ours from before its creation on, so that one left half made by
# an interruption can be told from a folder of the user.
is_ours() { [[ -f $ENV_DIR/$_made_file ]]; }

is_half_made() { is_ours && [[ $(<"$ENV_DIR/$_made_file") != made ]]; }

# Two runs at once must not install into one environment.
lock_environment() {
    command -v flock >/dev/null || return 0
    exec 9<"$ENV_DIR"
    if ! flock -n 9; then
        say '      another run is preparing this environment: waiting for it'
        flock 9 || true
    fi
}

unlock_environment() { exec 9<&-; }

# Create the environment where it is absent, and again where ours is broken.
ensure_environment() {
    if is_environment && ! is_half_made; then
        return 0
    fi
    $ENV_MAY_CREATE ||
        die "$ENV_LABEL has no working Python; deactivate it, or set MMDIT_ENV"
    if ! is_ours && [[ -n $(ls -A -- "$ENV_DIR") ]]; then
        die "$ENV_DIR is not empty and no working environment;" \
            "name another folder with MMDIT_ENV, or remove this one"
    fi
    if is_ours; then
        say '      it is incomplete or broken: making it again'
    fi
    local python=${PYTHON:-python3}
    require_python "$python" "PYTHON ($python)"
    say making >"$ENV_DIR/$_made_file"
    find "$ENV_DIR" -mindepth 1 -maxdepth 1 ! -name "$_made_file" \
        -exec rm -rf -- {} +
    "$python" -m venv "$ENV_DIR" ||
        die "'$python -m venv' failed; install its venv module (on Debian," \
            "the package python3-venv), or activate an environment yourself"
    say made >"$ENV_DIR/$_made_file"
}

# Print the key that stands for what has to be installed.
environment_key() {
    "$ENV_PYTHON" - "$MMDIT_ROOT" <<'PY'
import hashlib
import platform
import sys
from pathlib import Path

root = Path(sys.argv[1])
listed = sorted(root.glob('requirements/*.txt'))
digest = hashlib.sha256(platform.python_version().encode())
for path in [root / 'requirements.txt', *listed, root / 'setup.py']:
    digest.update(f'\0{path.relative_to(root)}\0'.encode())
    digest.update(path.read_bytes())
print(digest.hexdigest())
PY
}

# Print the MM packages of the upstream line that the environment has. Their
# import names are those of requirements/mminstall.txt, whose install would
# overwrite them.
upstream_packages() {
    "$ENV_PYTHON" - <<'PY'
from importlib.metadata import PackageNotFoundError, version

found = []
for name in ('mmengine', 'mmengine-lite', 'mmcv', 'mmcv-lite', 'mmcv-full',
             'mmsegmentation'):
    try:
        found.append(f'{name} {version(name)}')
    except PackageNotFoundError:
        pass
print(', '.join(found))
PY
}

# Stop with advice unless everything that was installed can be imported.
check_imports() {
    "$ENV_PYTHON" - <<'PY'
import importlib
import sys

PAIR = (
    'torch and torchvision do not match: a CPU-only torch without the '
    'matching torchvision breaks segment_anything. Run: pip install '
    '--force-reinstall torch torchvision, both from the same index')
MM = ('install the missing one of the MM packages that are there, or remove '
      'them and run: pip install -r requirements/mminstall.txt')
OPENCV = ('OpenCV misses a system library; install it (on Debian, the '
          'package libgl1), or replace opencv-python by '
          'opencv-python-headless')
ADVICE = {'torchvision': PAIR, 'segment_anything': PAIR,
          'mmengine': MM, 'mmcv': MM, 'mmseg': MM}

for name in ('torch', 'torchvision', 'segment_anything', 'mmengine', 'mmcv',
             'mmseg', 'transformers', 'pycocotools'):
    try:
        importlib.import_module(name)
    except Exception as error:
        advice = ADVICE.get(name, '')
        if '.so' in str(error) and 'lib' in str(error) and name == 'mmcv':
            advice = OPENCV
        sys.exit(f'error: cannot import {name}: {error}\n{advice}'.rstrip())
PY
}

_pip() {
    "$ENV_PYTHON" -m pip --disable-pip-version-check "$@"
}

install_requirements() {
    local upstream file
    local files=(-r "$MMDIT_ROOT/requirements.txt")
    "$ENV_PYTHON" -m pip --version >/dev/null 2>&1 ||
        "$ENV_PYTHON" -m ensurepip --upgrade ||
        die "$ENV_LABEL has no pip; install it there"
    if is_ours; then
        _pip install --upgrade pip setuptools wheel
    else
        # setup.py needs them; a user's own are left as they are.
        _pip install 'setuptools>=68' wheel
    fi
    upstream=$(upstream_packages)
    if [[ -n $upstream ]]; then
        say "      $upstream found: requirements/mminstall.txt is skipped," \
            'so that nothing overwrites them'
        files=()
        for file in "$MMDIT_ROOT"/requirements/*.txt; do
            if [[ $file != */mminstall.txt ]]; then
                files+=(-r "$file")
            fi
        done
    fi
    _pip install "${files[@]}"
    check_imports
}

# Link this checkout, so that `python tools/train.py` works by hand in the
# environment. PYTHONPATH decides for the scripts: one environment may serve
# several checkouts, even at the same time, while a link can point to one
# only, and PYTHONPATH comes before whatever is linked.
link_project() {
    local link=$ENV_DIR/$_link_file
    if [[ -f $link && $(<"$link") == "$1 $MMDIT_ROOT" ]]; then
        return 0
    fi
    rm -f -- "$link"
    # The build backend warns of what every editable install does.
    PYTHONWARNINGS=ignore _pip install --quiet --no-deps \
        --no-build-isolation -e "$MMDIT_ROOT"
    say "$1 $MMDIT_ROOT" >"$link"
}

# Prepare the environment and put it first: PATH, VIRTUAL_ENV, PYTHONPATH.
prepare_environment() {
    local header=$1 key stored=''
    select_environment
    if $ENV_MAY_CREATE; then
        mkdir -p -- "$ENV_DIR" || die "cannot create the folder $ENV_DIR"
    elif [[ ! -d $ENV_DIR ]]; then
        die "$ENV_LABEL does not exist; deactivate it, or set MMDIT_ENV"
    fi
    ENV_PYTHON=$ENV_DIR/bin/python
    # pip would take an egg-info folder on PYTHONPATH for installed packages.
    local python_path=${PYTHONPATH:-}
    unset PYTHONPATH PYTHONHOME

    lock_environment
    if is_environment && ! is_half_made && [[ -f $ENV_DIR/$_key_file ]]; then
        stored=$(<"$ENV_DIR/$_key_file")
        key=$(environment_key)
    fi
    if [[ -n $stored && $stored == "$key" ]]; then
        start_step "$header Environment ($ENV_LABEL): reused, up to date"
    else
        start_step "$header Environment ($ENV_LABEL): installing," \
            'usually 2-4 minutes'
        ensure_environment
        require_python "$ENV_PYTHON" "$ENV_LABEL"
        key=$(environment_key)
        rm -f -- "$ENV_DIR/$_key_file" "$ENV_DIR/$_link_file"
        install_requirements
        say "$key" >"$ENV_DIR/$_key_file.part"
        mv -f -- "$ENV_DIR/$_key_file.part" "$ENV_DIR/$_key_file"
    fi
    link_project "$key"
    unlock_environment

    export PATH="$ENV_DIR/bin:$PATH"
    export PYTHONPATH="$MMDIT_ROOT${python_path:+:$python_path}"
    if [[ -f $ENV_DIR/pyvenv.cfg ]]; then
        export VIRTUAL_ENV=$ENV_DIR
    fi
    finish_step
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    set -euo pipefail
    prepare_environment '[1/1]'
fi
