"""Print scores from result rows: ``print_results.py NAME=results.json ...``.

The rows are what ``tools/test.py --out`` writes, one for every expression.
"""

import argparse
import json
from pathlib import Path

from mmdit.evaluation import ReferIoUMetric

COLUMNS = ('mIoU', 'oIoU', 'P@0.5', 'P@0.7', 'P@0.9')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Print scores as a table')
    parser.add_argument(
        'results',
        nargs='+',
        metavar='NAME=FILE',
        help='name of a table row and the .json file with its result rows; '
        'without NAME= the file name is the name',
    )
    return parser.parse_args()


def score(rows: list[dict]) -> list[float]:
    """Return the values of ``COLUMNS`` in percent."""
    scores = ReferIoUMetric().compute_metrics(rows)
    return [scores[column] for column in COLUMNS]


def read_rows(path: str) -> list[dict]:
    """Read the rows of one file; stop with a reason where there are none."""
    try:
        rows = json.loads(Path(path).read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise SystemExit(
            f'cannot read result rows of {path}: {error}'
        ) from None
    if not isinstance(rows, list) or not rows:
        raise SystemExit(
            f'{path} holds no result rows; write them with '
            'tools/test.py CONFIG CHECKPOINT --out FILE.json'
        )
    return rows


def format_table(named_rows: dict[str, list[dict]]) -> str:
    """Return an aligned table with one line for every name."""
    width = max(len(name) for name in named_rows)
    header = ''.join(f'{column:>8}' for column in COLUMNS)
    lines = [' ' * width + header + '   expressions']
    for name, rows in named_rows.items():
        values = ''.join(f'{value:8.2f}' for value in score(rows))
        lines.append(f'{name:<{width}}{values}{len(rows):14d}')
    return '\n'.join(lines)


def main() -> None:
    """Read every file and print the table."""
    named_rows = {}
    for result in parse_args().results:
        name, has_name, path = result.partition('=')
        if not has_name:
            name, path = Path(result).stem, result
        named_rows[name] = read_rows(path)
    print(format_table(named_rows))


if __name__ == '__main__':
    main()
