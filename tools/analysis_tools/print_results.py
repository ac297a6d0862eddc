"""Print scores from result rows: ``print_results.py NAME=results.json ...``.

The rows are what ``mmdit test --out`` writes, one for every expression.
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
from mmdit.runtime.drawing import overlay_name


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
    parser.add_argument(
        '--overlays',
        metavar='DIR',
        help='also name a good, a medium and a bad overlay of the first '
        'file, which mmdit test --show-dir wrote into this folder',
    )
    return parser.parse_args()


def name_overlays(rows: list[dict], folder: str) -> str:
    """Name overlays at the 90th, 50th and 10th percentile of IoU."""
    rows = sorted(rows, key=lambda row: row['iou'])
    lines = []
    for word, share in (('good', 0.9), ('medium', 0.5), ('bad', 0.1)):
        row = rows[int(share * len(rows))]
        path = Path(folder) / overlay_name(row['img_path'], row['sent_id'])
        lines.append(
            f'  {word:<8}  IoU {row["iou"]:.2f}  {path}  '
            f'\u201c{row["expression"]}\u201d'
        )
    return '\n'.join(lines)


def main() -> None:
    """Read every file and print the table."""
    args, lines, scores = parse_args(), [], {}
    first: list[dict] = []
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
            rows = read_rows(path)
        except ValueError as error:
            raise SystemExit(str(error)) from None
        first = first or rows
        groups = group_rows(rows)
        for key, part in groups.items():
            label = name if len(groups) == 1 else ' '.join((name, *key))
            if args.paper and key in scores:
                raise SystemExit(
                    f'two files hold rows of {" ".join(key)}; give those of '
                    'one model with --paper'
                )
            scores[key] = score_rows(part)
            lines.append((label, scores[key], len(part)))
    print(format_table(lines))
    if args.paper:
        print('\n' + format_paper(scores, read_paper(args.paper)))
    if args.overlays:
        print(f'\nOverlays:\n{name_overlays(first, args.overlays)}')


if __name__ == '__main__':
    main()
