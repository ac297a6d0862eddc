"""Write a split of RefCOCO or its relatives as JSON lines.

``mmdit refer2jsonl data/refer val.jsonl --split val`` writes a row for each
sentence (docs/own_data.md); images stay where they are.
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from mmdit.files import open_text


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('data_root', help='as in the config')
    parser.add_argument('out', type=Path, help='file to write')
    parser.add_argument('--dataset', default='refcoco')
    parser.add_argument('--split-by', default='unc')
    parser.add_argument('--split', default='train')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Write a row for each sentence."""
    args = parse_args(argv)
    # Heavy: not before the arguments have been read.
    from mmdit.datasets import GRefCOCODataset, RefCOCODataset
    from mmdit.datasets.reading.refs import is_generalized

    folder = Path(args.data_root, args.dataset)
    is_parts = is_generalized(folder, args.split_by)
    dataset = (GRefCOCODataset if is_parts else RefCOCODataset)(
        data_root=args.data_root,
        name=args.dataset,
        split_by=args.split_by,
        split=args.split,
        sample_by='sentence',
    )
    with open_text(args.out) as file:
        for item in dataset:
            row = to_row(item, args.out.parent)
            file.write(json.dumps(row, ensure_ascii=False) + '\n')
    print(f'{len(dataset)} rows: {args.out}')


def to_row(item: dict, folder: Path) -> dict:
    """Return an item as a row whose paths start from ``folder``."""
    row = dict(
        id=item['sent_id'],
        image_id=item['image_id'],
        image=os.path.relpath(item['img_path'], folder),
        expression=item['expression'],
        mask=item['segmentation'],
        height=item['height'],
        width=item['width'],
    )
    if item.get('no_target'):
        row.update(mask=None, no_target=True)
    return row
