"""``mmdit check-data DATA``: the checker that fits the data."""

import argparse
import sys
from pathlib import Path

from mmdit.cli.running import run

FOLDERS = 'mmdit.cli.check_refer'
LINES = 'mmdit.cli.check_jsonl'


def main() -> int:
    """Check a folder of data sets, or JSON-lines files."""
    parser = argparse.ArgumentParser(
        usage='%(prog)s DATA [OPTIONS]',
        description='Check that a data set is complete and usable. '
        '"mmdit check-data DATA --help" lists the options for that data.',
        epilog='Exit status: 0 usable, 1 not, 2 wrong arguments.',
    )
    parser.add_argument(
        'data',
        metavar='DATA',
        help='folder of RefCOCO, RefCOCO+, RefCOCOg, RefCLEF or gRefCOCO '
        '(docs/prepare_data.md), or .jsonl files (docs/own_data.md)',
    )
    # The checkers have options of their own.
    data = parser.parse_args(sys.argv[1:2]).data
    if Path(data).is_dir():
        from mmdit.datasets.reading.foreign import advise_converting

        if advice := advise_converting(data):
            raise ValueError(advice)
    is_lines = data.endswith('.jsonl') or Path(data).is_file()
    return run(LINES if is_lines else FOLDERS, parser.prog, sys.argv[1:])
