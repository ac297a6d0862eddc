"""Print parameters and FLOPs: ``get_flops.py CONFIG [CONFIG ...]``.

No weights are read or downloaded, and no image is computed: the counts come
from shapes (``mmdit/models/complexity.py`` says what counts). One multiply-add
is 2 FLOPs; the tools of other MM projects print multiply-adds, half of it.
"""

import argparse
from pathlib import Path

from mmdit.engine.command_line import open_config
from mmdit.models.complexity import Complexity, count_config

COLUMNS = (
    'parameters (M)',
    'trainable (M)',
    'text encoder',
    'image encoder',
    'head',
    'total GFLOPs',
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Print parameters and GFLOPs of one forward pass of one '
        'image and its expressions, cut or padded to max_tokens of the config'
    )
    parser.add_argument('configs', nargs='+', metavar='CONFIG')
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='input size in pixels; the default is that of each config',
    )
    parser.add_argument(
        '--expressions',
        type=int,
        default=1,
        help='expressions of the image in one call (default: 1)',
    )
    parser.add_argument(
        '--markdown', action='store_true', help='print a markdown table'
    )
    return parser.parse_args()


def count(path: str, shape: list[int] | None, number: int) -> Complexity:
    """Count one config; stop with a reason where that is impossible."""
    try:
        cfg = open_config(path)
        size = None if shape is None else (shape[0], shape[1])
        return count_config(cfg.model, size, number)
    except (OSError, ValueError) as error:
        raise SystemExit(f'cannot count {path}: {error}') from None


def make_row(name: str, complexity: Complexity) -> list[str]:
    """Return the name and the values of ``COLUMNS``."""
    numbers = [
        complexity.parameters / 1e6,
        complexity.trainable / 1e6,
        *(flops / 1e9 for flops in complexity.flops.values()),
        complexity.total_flops / 1e9,
    ]
    return [name, *(f'{number:.1f}' for number in numbers)]


def format_markdown(rows: list[list[str]]) -> str:
    """Return a markdown table."""
    head = [['config', *COLUMNS], ['---', *['---:'] * len(COLUMNS)]]
    return '\n'.join(f'| {" | ".join(row)} |' for row in head + rows)


def format_table(rows: list[list[str]]) -> str:
    """Return an aligned table."""
    width = max(len(row[0]) for row in rows)
    lines = []
    for name, *values in [['', *COLUMNS], *rows]:
        columns = (
            f'{value:>{len(column) + 2}}'
            for value, column in zip(values, COLUMNS, strict=True)
        )
        lines.append(f'{name:<{width}}{"".join(columns)}')
    return '\n'.join(lines)


def main() -> None:
    """Count every config and print the table."""
    args = parse_args()
    rows = [
        make_row(Path(path).stem, count(path, args.shape, args.expressions))
        for path in args.configs
    ]
    print(format_markdown(rows) if args.markdown else format_table(rows))


if __name__ == '__main__':
    main()
