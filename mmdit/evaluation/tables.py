"""Scores of result rows as tables, beside those of the paper."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmdit.files import read_json
from mmdit.resources import find_resource

from .refer_iou_metric import ReferIoUMetric

COLUMNS = ('mIoU', 'oIoU', 'P@0.5', 'P@0.7', 'P@0.9')
#: The columns of the paper's tables, in its order.
PAPER_COLUMNS = ('P@0.5', 'P@0.7', 'P@0.9', 'oIoU', 'mIoU')
PAPER = 'configs/dit/paper.csv'
#: Scores by data set and split.
Scores = Mapping[tuple[str, str], Mapping[str, float]]


def read_rows(path: str | Path) -> list[dict]:
    """Read the rows of a .json file of ``mmdit test --out``.

    Raises:
        ValueError: It cannot be read, or holds none.
    """
    try:
        rows = read_json(path, 'write it again with mmdit test --out')
    except OSError as error:
        raise ValueError(
            f'cannot read result rows of {path}: {error}'
        ) from None
    if not isinstance(rows, list) or not rows:
        raise ValueError(
            f'{path} holds no result rows; write them with '
            'mmdit test CONFIG CHECKPOINT --out FILE.json'
        )
    return rows


def group_rows(rows: Iterable[dict]) -> dict[tuple[str, str], list[dict]]:
    """Return the rows by data set and split, which older ones do not have."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        key = row.get('dataset', ''), row.get('split', '')
        groups.setdefault(key, []).append(row)
    return groups


def score_rows(rows: Sequence[dict]) -> dict[str, float]:
    """Return the metrics of rows in percent."""
    return ReferIoUMetric().compute_metrics(list(rows))


def format_table(
    lines: Iterable[tuple[str, Mapping[str, float], int]],
) -> str:
    """Return an aligned table.

    Args:
        lines: Name, scores in percent and number of expressions.
    """
    lines = list(lines)
    width = max(len(name) for name, *_ in lines)
    header = ''.join(f'{column:>8}' for column in COLUMNS)
    table = [' ' * width + header + '   expressions']
    for name, scores, number in lines:
        values = ''.join(f'{scores[column]:8.2f}' for column in COLUMNS)
        table.append(f'{name:<{width}}{values}{number:14d}')
    return '\n'.join(table)


def read_paper(model: str) -> Scores:
    """Return what the paper reports of a model, as far as it does.

    Args:
        model: Name of a config in ``configs/dit``, or its beginning up to the
            encoder, such as ``ldit_sam-vit-b``.
    """
    parts = Path(model).name.removesuffix('.py').split('_')
    name = '_'.join(parts[:2])
    if 'refcoco-joint' in model or parts[2:] == ['joint']:
        name += '_joint'
    if 'google' in model:
        return {}  # another split than the paper's
    with find_resource(PAPER).open(encoding='utf-8', newline='') as file:
        return {
            (row['dataset'], row['split']): {
                key: float(row[key]) for key in PAPER_COLUMNS if row[key]
            }
            for row in csv.DictReader(file)
            if row['model'] == name
        }


def list_models() -> list[str]:
    """Return the models that the paper reports."""
    with find_resource(PAPER).open(encoding='utf-8', newline='') as file:
        rows = csv.DictReader(file)
        return list(dict.fromkeys(row['model'] for row in rows))


def format_paper(scores: Scores, paper: Scores) -> str:
    """Return the line of the paper's table, and the paper's own below it.

    Args:
        scores: Measured, in percent, by data set and split.
        paper: As of :func:`read_paper`.
    """
    titles, ours, theirs = [], [], []
    for key, measured in scores.items():
        reported = paper.get(key, {})
        titles.append(f'{" ".join(key):<{7 * len(PAPER_COLUMNS)}}')
        ours.append(_cells(measured))
        theirs.append(_cells(reported))
    columns = ''.join(f'{column:>7}' for column in PAPER_COLUMNS)
    return '\n'.join(
        f'{name:<6}{" |".join(cells)}'.rstrip()
        for name, cells in (
            ('', titles),
            ('', [columns] * len(titles)),
            ('ours', ours),
            ('paper', theirs),
        )
    )


def _cells(scores: Mapping[str, float]) -> str:
    return ''.join(
        f'{scores[key]:7.2f}' if key in scores else f'{"-":>7}'
        for key in PAPER_COLUMNS
    )
