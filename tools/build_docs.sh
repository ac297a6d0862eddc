#!/usr/bin/env bash
# Build the documentation as a site in work_dirs/site; any warning is an error.
#
# It needs `pip install -r requirements/docs.txt -c requirements/lock.txt`, and
# neither PyTorch nor the package.
set -euo pipefail

# Notices of the successors of both projects.
export NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
exec python -m mkdocs build --strict --clean "$@"
