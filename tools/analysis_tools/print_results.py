"""Print scores from result rows: ``print_results.py NAME=results.json ...``.

The rows are what ``tools/test.py --out`` writes, one for every expression.
"""

import argparse
from pathlib import Path

from mmdit.evaluation.tables import (
    format_paper,
    format_table,
    group_rows,
    list_models,
    read_paper,
    read_rows,
    score_rows,
)


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
    parser.add_argument(
        '--paper',
        metavar='MODEL',
        help="also print all files together as a line of the paper's table, "
        "and the paper's line of a config of configs/dit below it: "
        + ', '.join(list_models()),
    )
    return parser.parse_args()


def main() -> None:
    """Read every file and print the table."""
    args, lines, scores = parse_args(), [], {}
    if args.paper and not read_paper(args.paper):
        raise SystemExit(
            f'the paper does not report {args.paper!r}; it has '
            + ', '.join(list_models())
        )
    for result in args.results:
        name, has_name, path = result.partition('=')
        if not has_name:
            name, path = Path(result).stem, result
        try:
            groups = group_rows(read_rows(path))
        except ValueError as error:
            raise SystemExit(str(error)) from None
        for key, rows in groups.items():
            label = name if len(groups) == 1 else ' '.join((name, *key))
            if args.paper and key in scores:
                raise SystemExit(
                    f'two files hold rows of {" ".join(key)}; give those of '
                    'one model with --paper'
                )
            scores[key] = score_rows(rows)
            lines.append((label, scores[key], len(rows)))
    print(format_table(lines))
    if args.paper:
        print('\n' + format_paper(scores, read_paper(args.paper)))


if __name__ == '__main__':
    main()
