#!/usr/bin/env bash
# Every check of the project: lint, format, types and tests.
#
# Usage: bash tools/run_tests.sh [PYTEST_ARGS...]
#   bash tools/run_tests.sh -m 'not slow'
#   bash tools/run_tests.sh tests/models -k injector
#
# All checks run even when one fails; the exit status tells whether any did.
# tools/env.sh explains which Python environment is used.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=env.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"

prepare_environment '[1/5]'
cd -- "$MMDIT_ROOT"
export HF_HUB_OFFLINE=1 # no test may need a hub

summary=() failed=''

# Run a check named $1 under the header $2; the rest is its command.
check() {
    local name=$1 start=$SECONDS verdict=passed
    start_step "$2"
    shift 2
    "$@" || verdict=FAILED
    if [[ $verdict == FAILED ]]; then
        failed+="${failed:+, }$name"
    fi
    summary+=("$(printf '  %-12s %s (%s)' "$name" "$verdict" \
        "$(duration $((SECONDS - start)))")")
}

check 'ruff check' '[2/5] Lint: ruff check' python -m ruff check .
check 'ruff format' '[3/5] Format: ruff format --check' \
    python -m ruff format --check .
check mypy '[4/5] Types: mypy' python -m mypy
say ''
printf '%s\n' "${summary[@]}"
# Last, so that the output ends with pytest's own closing line.
check pytest '[5/5] Tests: pytest' python -m pytest "$@"

if [[ -n $failed ]]; then
    say "FAILED: $failed"
    exit 1
fi
