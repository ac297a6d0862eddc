#!/usr/bin/env bash
# Every check of the project: lint, format, types and tests.
#
# Usage: bash tools/run_tests.sh [PYTEST_ARGS...]
#   bash tools/run_tests.sh -m 'not slow'
#   bash tools/run_tests.sh tests/models -k injector
#   bash tools/run_tests.sh --durations=20      the slowest tests
#   bash tools/run_tests.sh -n 0 tests/hub      in one process
#   bash tools/run_tests.sh --floors            the oldest versions, see below
#
# All checks run even when one fails; the exit status tells whether any did.
# The tests run in one process per core, and beside the other checks.
# tools/env.sh explains which Python environment is used.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=env.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"

cd -- "$MMDIT_ROOT"
export HF_HUB_OFFLINE=1 # no test may need a hub
color=no
if [[ -t 1 ]]; then color=yes; fi
# Workers beyond 8 cost more memory than they save time.
pytest=(python -u -m pytest -n auto --maxprocesses 8 --dist worksteal
    "--color=$color")

# What the stated versions could break, in a few minutes: the safe reader, each
# variant, text encoders, images, a training, an export, the page, the report.
smoke=(
    tests/models/injectors
    tests/models/heads
    tests/models/text_encoders
    tests/checkpoints/test_safe_loading.py
    tests/runtime/test_image_reading.py
    tests/engine/test_visualization_hook.py
    tests/visualization/report
    tests/web/test_handlers.py
    'tests/hub/test_text_families.py::test_a_moved_folder_reads_the_same_words[bert]'
)

# --floors runs that part on the oldest Python (PYTHON, default python3.10)
# with the oldest version that the requirements state of each package, in a
# second environment beside the usual one. --floors-once does nothing where it
# has passed with the same requirements.
if [[ ${1:-} == --floors* ]]; then
    once=$1
    shift
    select_environment
    export MMDIT_ENV=$ENV_DIR-floors MMDIT_RESOLUTION=lowest-direct
    export PYTHON=${PYTHON:-python3.10}
    select_environment
    passed=$ENV_DIR/.mmdit-passed
    if [[ $once == --floors-once && -f $passed && -x $ENV_PYTHON ]] &&
        [[ $(<"$passed") == "$(environment_key)" ]]; then
        say 'The tests passed with the oldest versions before.'
        exit 0
    fi
    prepare_environment '[1/2] Oldest versions:'
    start_step '[2/2] Smoke tests: pytest'
    "${pytest[@]}" "${smoke[@]}" "$@"
    environment_key >"$passed"
    exit 0
fi

prepare_environment '[1/5]'
# What was found about files that did not change holds in another checkout.
export MYPY_CACHE_DIR=${MYPY_CACHE_DIR:-$ENV_DIR/mypy_cache}

# Projects that borrow the backbone in tests/neighbours, apart from the
# environment.
install_neighbours() {
    local list=$MMDIT_ROOT/tests/neighbours/requirements.txt
    local folder=$ENV_DIR/neighbours
    if cmp -s "$list" "$folder/requirements.txt"; then
        return 0
    fi
    rm -rf -- "$folder" "$folder.part"
    _pip install --quiet --no-deps --target "$folder.part" -r "$list" &&
        cp -- "$list" "$folder.part/requirements.txt" &&
        mv -- "$folder.part" "$folder"
}

install_neighbours ||
    say '      MMDetection and MMPreTrain cannot be had: their tests are skipped'

summary=() failed=''

# Run a check named $1 under the header $2; the rest is its command.
check() {
    local name=$1 start=$SECONDS verdict=passed
    start_step "$2"
    shift 2
    "$@" </dev/null || verdict=FAILED
    if [[ $verdict == FAILED ]]; then
        failed+="${failed:+, }$name"
    fi
    summary+=("$(printf '  %-12s %s (%s)' "$name" "$verdict" \
        "$(duration $((SECONDS - start)))")")
}

# What the tests say meanwhile waits on standard input, so that the output
# ends with pytest's own closing line.
check_then_show() {
    check 'ruff check' '[2/5] Lint: ruff check' python -m ruff check .
    check 'ruff format' '[3/5] Format: ruff format --check' \
        python -m ruff format --check .
    check mypy '[4/5] Types: mypy' python -m mypy
    say ''
    printf '%s\n' "${summary[@]}"
    start_step '[5/5] Tests: pytest'
    cat
    [[ -z $failed ]] || die "FAILED: $failed"
}

"${pytest[@]}" "$@" 2>&1 | check_then_show
